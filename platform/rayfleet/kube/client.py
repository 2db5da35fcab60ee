"""The client: plain dictionaries over aiohttp, one method per verb of the Kubernetes API.

The only place (with the watch and lease modules beside it) that speaks to an API server. Raw JSON because generated
models cost a hundred times the CPU per pod. Every method raises the leaves of ``rayfleet.kube.errors``; a
``TooManyRequests`` is waited out a few times first, since the server says when.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import aiohttp
import orjson

from rayfleet.kube.address import KubeAddress, tls_context
from rayfleet.kube.errors import ApiError, Gone, TooManyRequests, Unreachable, decode_error
from rayfleet.kube.requests import (
    FIELD_MANAGER,
    JsonPatch,
    PatchForm,
    Request,
    collection_path,
    object_path,
    selector_query,
)
from rayfleet.kube.server_clock import ServerClock
from rayfleet.kube.sockets import Sockets
from rayfleet.kube.throttle import TokenBucket
from rayfleet.kube.watching import LineSplitter, WatchEvent, decode_watch_line
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import EVENTS, ResourceType
from rayfleet.objects.meta import name_of, namespace_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Limits of one client.

    100/200 keeps 1,000 fleets per shard moving and is far below a server's own fairness limits. Events have a rate of
    their own beside it, a tenth: who must wait is joined by what is said of the same meanwhile.
    """

    request_timeout: timedelta = timedelta(seconds=30)
    connect_timeout: timedelta = timedelta(seconds=5)
    queries_per_second: float = 100
    burst: int = 200
    reserve: int = 20
    event_queries_per_second: float = 10
    event_burst: int = 50
    busy_retries: int = 3
    busy_retry_limit: timedelta = timedelta(seconds=10)
    user_agent: str = "rayfleet"


def limited(queries_per_second: float, burst: int) -> ClientSettings:
    """Return settings with another rate; a tenth of the burst, at most the usual part, is kept for what is urgent."""
    reserve = min(ClientSettings().reserve, burst // 10)
    return ClientSettings(queries_per_second=queries_per_second, burst=burst, reserve=reserve)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectList:
    """A whole list: every page, and the resourceVersion to watch from."""

    items: tuple[Json, ...]
    resource_version: str


class KubeClient:
    """An async context manager; leaving it closes the connections."""

    def __init__(self, address: KubeAddress, settings: ClientSettings | None = None) -> None:
        self.address = address
        self.settings = settings or ClientSettings()
        self.clock = ServerClock()
        self._credentials = address.who()
        self._bucket = TokenBucket(
            rate_per_second=self.settings.queries_per_second, burst=self.settings.burst, reserve=self.settings.reserve
        )
        self._talk_bucket = TokenBucket(
            rate_per_second=self.settings.event_queries_per_second, burst=self.settings.event_burst
        )
        self._sockets = Sockets()
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        try:
            context = tls_context(self.address)
        except OSError as error:  # ssl.SSLError is one too
            raise Unreachable(f"the certificates for {self.address.url} cannot be used: {error}") from error
        self._opened = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=context if context is not None else True, limit=0, socket_factory=self._sockets.make
            ),
            headers={"User-Agent": self.settings.user_agent, "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(
                total=self.settings.request_timeout.total_seconds(),
                sock_connect=self.settings.connect_timeout.total_seconds(),
            ),
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None
            await self._sockets.closed()

    async def get(self, resource: ResourceType, name: str, namespace: str | None = None) -> Json:
        """Return one object. Raises NotFound."""
        path = object_path(resource, name, namespace)
        return await self._json(Request(method="GET", path=path, is_talk=resource is EVENTS))

    async def list(
        self,
        resource: ResourceType,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
    ) -> ObjectList:
        """Return every object, read page by page (``limit`` each, 0 for one page); namespace None lists all of them.

        When a continue token expires half-way the list is read again in one page, as client-go's pager does.
        """
        query = selector_query(label_selector, field_selector)
        path = collection_path(resource, namespace)
        try:
            return await self._pages(path, query, limit)
        except Gone:
            return await self._pages(path, query, 0)

    async def create(
        self, resource: ResourceType, manifest: ReadOnlyJson, *, dry_run: bool = False, subresource: str = ""
    ) -> Json:
        """Create an object and return it as stored; the namespace is the manifest's. Raises AlreadyExists, Invalid.

        With ``subresource`` it is posted there (``binding``, ``eviction``), below the manifest's name.
        """
        path = collection_path(resource, namespace_of(manifest), is_strict=True)
        if subresource:
            path = object_path(resource, name_of(manifest), namespace_of(manifest), subresource)
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        body = orjson.dumps(manifest)
        return await self._json(Request(method="POST", path=path, query=query, body=body, is_talk=resource is EVENTS))

    async def replace(self, resource: ResourceType, manifest: ReadOnlyJson, *, subresource: str = "") -> Json:
        """Replace an object whole and return it as stored.

        Raises Conflict when its resourceVersion is not the newest.
        """
        path = object_path(resource, name_of(manifest), namespace_of(manifest), subresource)
        query = {"fieldManager": FIELD_MANAGER}
        return await self._json(Request(method="PUT", path=path, query=query, body=orjson.dumps(manifest)))

    async def patch(
        self,
        resource: ResourceType,
        key: ObjectKey,
        patch: JsonPatch,
        *,
        form: PatchForm = PatchForm.MERGE,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Json:
        """Change an object and return it as stored; with ``dry_run`` as it would be, and nothing is.

        A ``metadata.resourceVersion`` or ``metadata.uid`` in a merge patch is a precondition (Conflict). ``APPLY``
        forces.
        """
        query = {"fieldManager": FIELD_MANAGER} | ({"force": "true"} if form is PatchForm.APPLY else {})
        query |= {"dryRun": "All"} if dry_run else {}
        path = object_path(resource, key.name, key.namespace, subresource)
        body = orjson.dumps(patch)
        return await self._json(
            Request(
                method="PATCH",
                path=path,
                query=query,
                body=body,
                content_type=form.value,
                is_talk=resource is EVENTS,
            )
        )

    async def delete(
        self,
        resource: ResourceType,
        key: ObjectKey,
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: Propagation = Propagation.BACKGROUND,
        grace_period_seconds: int | None = None,
    ) -> None:
        """Ask for an object's deletion. Raises NotFound when absent.

        Conflict when ``uid`` or ``resource_version`` is given and another's.
        """
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation.value}
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if asked := {name: value for name, value in preconditions.items() if value}:
            options["preconditions"] = asked
        if grace_period_seconds is not None:
            options["gracePeriodSeconds"] = grace_period_seconds
        path = object_path(resource, key.name, key.namespace)
        await self.send(Request(method="DELETE", path=path, body=orjson.dumps(options)))

    async def watch(  # noqa: PLR0913 - the API's own parameters; all optional ones by name
        self,
        resource: ResourceType,
        namespace: str | None = None,
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        timeout: timedelta = timedelta(minutes=5),
        stall_limit: timedelta = timedelta(seconds=90),
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield the events after ``resource_version``, bookmarks among them.

        Ends when the server's ``timeout`` is over.

        Raises Gone when the version is too old (by status or by an ERROR event), Unreachable when the connection breaks
        or nothing, not even a bookmark (one a minute), came for ``stall_limit``.
        """
        query = selector_query(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(max(1, int(timeout.total_seconds()))),
        }
        splitter = LineSplitter()
        async with contextlib.aclosing(self.stream(collection_path(resource, namespace), query, stall_limit)) as chunks:
            async for chunk in chunks:
                for line in splitter.feed(chunk):
                    yield decode_watch_line(line)

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, stall_limit: timedelta | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the body of a GET as it comes (logs with ``follow``).

        Unreachable after ``stall_limit`` without a byte.
        """
        seconds = stall_limit.total_seconds() if stall_limit else None
        connecting = self.settings.connect_timeout.total_seconds()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=connecting, sock_read=seconds)
        request = Request(method="GET", path=path, query=query or {})
        await self._bucket.take()
        try:
            async with self._session.request(**await self._arguments(request), timeout=timeout) as response:
                if response.status >= 400:
                    raise _decode_response(response, await response.read())
                try:
                    async for chunk in response.content.iter_any():
                        yield chunk
                finally:
                    _cut(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        accept: str = "application/json",
    ) -> bytes:
        """Return the body of any request (discovery, ``/readyz``, tables by ``accept``); errors as everywhere."""
        return await self.send(Request(method=method, path=path, query=query or {}, body=body, accept=accept))

    async def _pages(self, path: str, query: Mapping[str, str], limit: int) -> ObjectList:
        items: list[Json] = []
        token = ""
        while True:
            page = {"limit": str(limit)} if limit else {}
            if token:
                page["continue"] = token
            answer = await self._json(Request(method="GET", path=path, query={**query, **page}))
            items += _with_type(answer)
            meta = answer["metadata"]
            token = meta.get("continue") or ""
            if not token:
                return ObjectList(items=tuple(items), resource_version=meta["resourceVersion"])

    async def _json(self, request: Request) -> Json:
        body = await self.send(request)
        try:
            answer: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise ApiError(
                f"{request.method} {request.path}: the answer is no JSON; is {self.address.url} an API server?"
            ) from error
        if not isinstance(answer, dict):
            raise ApiError(
                f"{request.method} {request.path}: the answer is no object; is {self.address.url} an API server?"
            )
        return answer

    async def send(self, request: Request) -> bytes:
        """Send any request and return the body; every call but ``stream`` goes through here.

        Waits out a busy server.
        """
        for attempt in range(self.settings.busy_retries + 1):
            try:
                return await self._once(request)
            except TooManyRequests as error:
                if attempt == self.settings.busy_retries or error.retry_after > self.settings.busy_retry_limit:
                    raise
                await asyncio.sleep(error.retry_after.total_seconds())
        raise AssertionError("the loop returns or raises")

    async def _once(self, request: Request) -> bytes:
        bucket = self._talk_bucket if request.is_talk else self._bucket
        await bucket.take(is_urgent=request.method == "DELETE")
        asked_at = self.clock.local()
        try:
            async with self._session.request(**await self._arguments(request)) as response:
                self.clock.hear(response.headers.get(aiohttp.hdrs.DATE, ""), asked_at)
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if response.status >= 400:
            raise _decode_response(response, body)
        return body

    async def _arguments(self, request: Request) -> dict[str, Any]:
        headers = {"Accept": request.accept}
        if request.body is not None:
            headers["Content-Type"] = request.content_type
        if authorization := await self._credentials.authorization():
            headers["Authorization"] = authorization
        arguments = {
            "method": request.method,
            "url": self.address.url.rstrip("/") + request.path,
            "params": request.query,
            "headers": headers,
            "data": request.body,
        }
        if self.address.server_name:
            arguments["server_hostname"] = self.address.server_name
        return arguments

    def _unreachable(self, error: Exception) -> Unreachable:
        problem = str(error) or type(error).__name__
        way_out = "Is the API server running, and is this its address?"
        is_refused = isinstance(error, aiohttp.ClientConnectorError)
        return Unreachable(f"{self.address.url} does not answer: {problem}", way_out=way_out, is_refused=is_refused)

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            raise RuntimeError("a KubeClient is used inside `async with`")
        return self._opened


def _with_type(answer: ReadOnlyJson) -> list[Json]:
    """Return the items with their apiVersion and kind, which a list leaves out for built-in kinds."""
    kind = str(answer.get("kind", "")).removesuffix("List")
    version = answer.get("apiVersion", "")
    return [{"apiVersion": version, "kind": kind} | item for item in answer.get("items") or ()]


def _cut(response: aiohttp.ClientResponse) -> None:
    """End an endless answer at once; a polite TLS farewell would wait for a server that goes on talking."""
    connection = response.connection
    if not response.content.at_eof() and connection is not None and connection.transport is not None:
        connection.transport.abort()


def _decode_response(response: aiohttp.ClientResponse, body: bytes) -> ApiError:
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = {
            "message": f"{response.method} {response.url.path}: {response.status} {body[:200].decode(errors='replace')}"
        }
    header = response.headers.get("Retry-After", "")
    retry_after = timedelta(seconds=int(header)) if header.isdigit() else None
    return decode_error(response.status, status if isinstance(status, dict) else {}, retry_after)
