"""One request through the gateway: read, route, pick, forward, stream back, count once.

The only mutable thing is the number of requests in flight per endpoint. Bytes pass unchanged in both directions; hop-by-hop headers
(RFC 9110, 7.6.1) do not. Another endpoint is tried only when the connection was refused or not made: nothing was processed then.
"""

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus

import aiohttp
from aiohttp import web
from multidict import CIMultiDict

from rayfleet_gateway import errors
from rayfleet_gateway.errors import Refusal
from rayfleet_gateway.model_read import UnreadableBody, chosen_model
from rayfleet_gateway.picking import picked_backend, picked_endpoint
from rayfleet_gateway.routes import MODEL_HEADER, Endpoint, RouteTable, Rule
from rayfleet_gateway.settings import GatewaySettings
from rayfleet_gateway.telemetry import Outcome, Telemetry

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
UNKNOWN = "unknown"
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class _Refused(Exception):  # noqa: N818 - carries an answer, not an error of ours
    """Ends an exchange with an answer of the gateway's own."""

    def __init__(self, refusal: Refusal, result: str = "refused") -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.result = result


class Forwarder:
    """Forwards requests over one client session; shared by all requests of a gateway."""

    def __init__(self, settings: GatewaySettings, session: aiohttp.ClientSession, telemetry: Telemetry) -> None:
        self._settings = settings
        self._session = session
        self._telemetry = telemetry
        self._in_flight: Counter[Endpoint] = Counter()

    async def serve(self, request: web.Request, table: RouteTable) -> web.StreamResponse:
        """Return the answer to one request, by the table as it is now; counts exactly one outcome, also when cancelled."""
        exchange = _Exchange(request)
        try:
            response = await self._served(exchange, table)
        except _Refused as refused:
            exchange.result = refused.result
            response = refusal_response(refused.refusal, exchange.request_id)
            exchange.status = response.status
        except (asyncio.CancelledError, ConnectionResetError):
            exchange.result = "client_gone"
            raise
        finally:
            self._telemetry.count(exchange.outcome())
        return response

    async def _served(self, exchange: "_Exchange", table: RouteTable) -> web.StreamResponse:
        request = exchange.request
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise _Refused(errors.too_large(self._settings.body_limit_bytes)) from None
        rule, model = _routed(request, body, table)
        exchange.model = model if model in table.by_model else UNKNOWN
        upstream, endpoint = await self._connected(exchange, rule, model, body)
        try:
            return await self._streamed(exchange, upstream, model)
        finally:
            upstream.close()  # a client that is gone takes its upstream connection with it, so the engine stops
            self._leave(endpoint, exchange)

    async def _connected(
        self, exchange: "_Exchange", rule: Rule, model: str, body: bytes
    ) -> tuple[aiohttp.ClientResponse, Endpoint]:
        """Return the upstream's answer (head read) and whose it is, already counted as in flight there."""
        tried: set[Endpoint] = set()
        failure = ""
        while len(tried) < self._settings.attempts and (endpoint := self._picked(rule, tried)) is not None:
            if tried:
                self._telemetry.retries.labels(exchange.model).inc()
            tried.add(endpoint)
            self._enter(endpoint, exchange)
            try:
                return await self._asked(exchange, endpoint, rule, model, body), endpoint
            except aiohttp.ClientConnectorError as error:
                failure = f"no connection ({error.os_error.strerror or error})"
                self._leave(endpoint, exchange)
            except aiohttp.ConnectionTimeoutError:
                failure = "no connection in time"
                self._leave(endpoint, exchange)
            except BaseException:
                self._leave(endpoint, exchange)
                raise
        if failure:
            raise _Refused(errors.upstream_error(model, failure), result="upstream_error")
        raise _Refused(errors.model_not_ready(model))

    def _picked(self, rule: Rule, tried: set[Endpoint]) -> Endpoint | None:
        backend = picked_backend(rule.backends, tried, random.random())  # noqa: S311 - spreads load, guards nothing
        if backend is None:
            return None
        return picked_endpoint(backend.endpoints, self._in_flight, tried, random.random())  # noqa: S311 - as above

    async def _asked(
        self, exchange: "_Exchange", endpoint: Endpoint, rule: Rule, model: str, body: bytes
    ) -> aiohttp.ClientResponse:
        """Send the request; failures after the connection stood are the client's to hear, those before are the caller's."""
        try:
            return await self._sent(exchange.request, endpoint, body, rule.request_timeout, exchange.request_id)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise
        except TimeoutError:
            refusal = errors.upstream_timeout(model, "no first byte in time")
            raise _Refused(refusal, result="upstream_error") from None
        except aiohttp.ClientError as error:
            refusal = errors.upstream_error(model, str(error) or type(error).__name__)
            raise _Refused(refusal, result="upstream_error") from error

    async def _sent(
        self, request: web.Request, endpoint: Endpoint, body: bytes, limit: timedelta | None, request_id: str
    ) -> aiohttp.ClientResponse:
        settings = self._settings
        seconds = (limit or settings.first_byte_timeout).total_seconds()
        async with asyncio.timeout(seconds):
            return await self._session.request(
                request.method,
                f"http://{endpoint.address}:{endpoint.port}{request.rel_url}",
                headers=forwarded_headers(request.headers, request_id),
                data=body or None,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    sock_connect=settings.connect_timeout.total_seconds(),
                    sock_read=settings.idle_timeout.total_seconds(),
                ),
            )

    async def _streamed(
        self, exchange: "_Exchange", upstream: aiohttp.ClientResponse, model: str
    ) -> web.StreamResponse:
        headers = returned_headers(upstream.headers)
        headers[REQUEST_ID] = exchange.request_id
        response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
        exchange.status = upstream.status
        is_events = upstream.content_type == "text/event-stream"
        if upstream.content_length is None:
            response.enable_chunked_encoding()
        await response.prepare(exchange.request)
        try:
            async for chunk in upstream.content.iter_any():
                exchange.note_byte()
                await response.write(chunk)
        except (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, TimeoutError) as error:
            exchange.result = "upstream_error"
            await self._broken(exchange, response, is_events=is_events, model=model, error=error)
            return response
        exchange.result = "ok" if upstream.status < 400 else f"{upstream.status // 100}xx"
        await response.write_eof()
        return response

    async def _broken(
        self, exchange: "_Exchange", response: web.StreamResponse, *, is_events: bool, model: str, error: Exception
    ) -> None:
        """End an answer that began well so that nobody takes it for whole: an error event, or a cut connection."""
        reason = str(error) or type(error).__name__
        log.warning("upstream ended early", extra={"model": model, "request_id": exchange.request_id, "reason": reason})
        if is_events:
            await response.write(b"\n\n" + errors.upstream_error(model, "it ended before its answer").event())
            await response.write_eof()
            return
        if exchange.request.transport is not None:
            exchange.request.transport.abort()

    def _enter(self, endpoint: Endpoint, exchange: "_Exchange") -> None:
        self._in_flight[endpoint] += 1
        self._telemetry.in_flight.labels(exchange.model).inc()

    def _leave(self, endpoint: Endpoint, exchange: "_Exchange") -> None:
        self._telemetry.in_flight.labels(exchange.model).dec()
        self._in_flight[endpoint] -= 1
        if not self._in_flight[endpoint]:
            del self._in_flight[endpoint]  # addresses come and go for years


class _Exchange:
    """What is noted about a request while it runs."""

    def __init__(self, request: web.Request) -> None:
        self.request = request
        self.request_id = request.headers.get(REQUEST_ID) or uuid.uuid4().hex
        self.model = UNKNOWN
        self.status = 0
        self.result = "failed"
        self._started = asyncio.get_running_loop().time()
        self._first_byte: float | None = None

    def note_byte(self) -> None:
        """Note the time of the first byte of the answer."""
        if self._first_byte is None:
            self._first_byte = asyncio.get_running_loop().time() - self._started

    def outcome(self) -> Outcome:
        """Return the accounting event."""
        return Outcome(
            model=self.model,
            status=self.status,
            result=self.result,
            seconds=asyncio.get_running_loop().time() - self._started,
            first_byte_seconds=self._first_byte,
        )


def refusal_response(refusal: Refusal, request_id: str) -> web.Response:
    """Return the HTTP answer for a refusal."""
    headers = {**refusal.headers, REQUEST_ID: request_id}
    return web.Response(status=refusal.status, body=refusal.body(), content_type="application/json", headers=headers)


def forwarded_headers(headers: Mapping[str, str], request_id: str) -> CIMultiDict[str]:
    """Return what goes upstream: everything but hop-by-hop headers, Host and length (the client sets those). Pure."""
    dropped = _HOP_BY_HOP | _named_by_connection(headers) | {"host", "content-length", "expect", REQUEST_ID.lower()}
    kept = CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)
    kept[REQUEST_ID] = request_id
    return kept


def returned_headers(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Return what goes back to the client: everything but hop-by-hop headers. Pure."""
    dropped = _HOP_BY_HOP | _named_by_connection(headers) | {REQUEST_ID.lower()}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _named_by_connection(headers: Mapping[str, str]) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in headers.get("Connection", "").split(",") if word.strip())


def _routed(request: web.Request, body: bytes, table: RouteTable) -> tuple[Rule, str]:
    path = request.path
    if not table.has_path(path):
        raise _Refused(errors.path_not_found(path))
    if request.method != "POST":
        refusal = Refusal(
            status=HTTPStatus.METHOD_NOT_ALLOWED,
            code="method_not_allowed",
            message=f"{path} takes POST.",
            headers={"Allow": "POST"},
        )
        raise _Refused(refusal)
    try:
        model = chosen_model(request.headers.get(MODEL_HEADER), body)
    except UnreadableBody as error:
        raise _Refused(errors.bad_request(str(error), param="model")) from error
    headers = {name.lower(): value for name, value in request.headers.items()}
    rule = table.rule_for(method=request.method, path=path, model=model, headers=headers)
    if rule is None:
        raise _Refused(errors.model_not_found(model, table.models))
    return rule, model
