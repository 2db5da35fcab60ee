"""Plain HTTP towards an API server, for tests that look at the answer itself: status, headers, bytes.

Our client hides what a conformance test is about, so this one hides nothing: no retries, no typed errors.
"""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import aiohttp
import orjson

from rayfleet.kube.address import KubeAddress, tls_context
from rayfleet.kube.sockets import Sockets
from rayfleet.model.json import Json
from rayfleet.testing.waiting import LIMIT_SECONDS

JSON: Final = "application/json"
MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    warnings: tuple[str, ...]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of a Status, empty when there is none."""
        return str(self.json.get("reason", ""))

    @property
    def causes(self) -> set[tuple[str, str]]:
        """Field and reason of each cause of a Status."""
        causes = self.json.get("details", {}).get("causes", ())
        return {(each.get("field", ""), each.get("reason", "")) for each in causes}


class RawApi:
    """One connection pool; an async context manager."""

    def __init__(self, address: KubeAddress) -> None:
        self.address = address
        self._sockets = Sockets()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=tls_context(self.address) or True, socket_factory=self._sockets.make)
        timeout = aiohttp.ClientTimeout(total=LIMIT_SECONDS)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            await self._sockets.closed()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; ``body`` is encoded as JSON unless it is bytes.

        The token goes along unless headers say otherwise.
        """
        encoded = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        data = None if encoded is None else io.BytesIO(encoded)  # aiohttp warns of large plain bytes
        async with self._opened.request(
            method,
            self.address.url + path,
            params=query or {},
            data=data,
            headers=self._headers(headers, has_body=data is not None),
        ) as response:
            content = await response.read()
            return Answer(
                status=response.status,
                headers=dict(response.headers),
                warnings=tuple(response.headers.getall("Warning", [])),
                body=content,
            )

    async def get(self, path: str, *, accept: str = JSON, **query: str) -> Answer:
        """Read."""
        return await self.call("GET", path, query=query, headers={"Accept": accept})

    async def post(self, path: str, body: object, **query: str) -> Answer:
        """Create."""
        return await self.call("POST", path, body, query=query)

    async def put(self, path: str, body: object, **query: str) -> Answer:
        """Replace."""
        return await self.call("PUT", path, body, query=query)

    async def patch(self, path: str, body: object, form: str = MERGE, **query: str) -> Answer:
        """Patch."""
        return await self.call("PATCH", path, body, query=query, headers={"Content-Type": form})

    async def delete(self, path: str, body: object = None, **query: str) -> Answer:
        """Delete."""
        return await self.call("DELETE", path, body, query=query)

    @contextlib.asynccontextmanager
    async def watching(self, path: str, *, accept: str = JSON, **query: str) -> AsyncIterator["Events"]:
        """Open a watch for the length of the block."""
        async with self._opened.request(
            "GET",
            self.address.url + path,
            params={"watch": "true", "timeoutSeconds": f"{LIMIT_SECONDS:.0f}"} | query,
            headers=self._headers({"Accept": accept}, has_body=False),
        ) as response:
            yield Events(response)

    def _headers(self, extra: Mapping[str, str] | None, *, has_body: bool) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.address.token}", "Accept": JSON}
        if has_body:
            headers["Content-Type"] = JSON
        return headers | dict(extra or {})

    @property
    def _opened(self) -> aiohttp.ClientSession:
        assert self._session is not None, "a RawApi is used inside `async with`"
        return self._session


class Events:
    """The events of one watch, in order."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._lines = b""
        self.status = response.status

    async def next(self, seconds: float = LIMIT_SECONDS) -> Json | None:
        """Return the next event, None when the server ended the watch. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while b"\n" not in self._lines:
                chunk = await self._response.content.readany()
                if not chunk:
                    return None
                self._lines += chunk
        line, _, self._lines = self._lines.partition(b"\n")
        event: Json = orjson.loads(line)
        return event

    async def take(self, count: int) -> list[Json]:
        """Return so many events that are no bookmarks."""
        events: list[Json] = []
        while len(events) < count:
            event = await self.next()
            assert event is not None, f"the watch ended after {events}"
            if event["type"] != "BOOKMARK":
                events.append(event)
        return events

    async def rest(self) -> list[Json]:
        """Return all events until the server ends the watch."""
        events: list[Json] = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events
