"""One request through the gateway: read, route, pick, ask, pass the answer on, count once.

The only mutable things are what runs now and the number of requests in flight per endpoint. Bytes pass unchanged in
both directions. Another endpoint is asked only when no connection was made: nothing was processed then (and see
upstream.py for stale connections).

A client never takes a broken answer for a whole one. The head of an answer is held until its first byte, so whatever
fails before it is an error with its own status. After it a stream of events ends with an error event and without
``[DONE]``; anything else, and a stream that broke within an event, ends with a cut connection. A stream of completions
that ends well but without ``[DONE]`` is a broken one: engines always send it there (clients take its absence for
success). Other paths have ends of their own and are not judged.

Limits: the route's ``timeouts.request`` (or ``first_byte_timeout``) runs from the request's head to the first byte of
the answer's body, over all attempts; then ``idle_timeout`` bounds each wait, for the engine as for the client.
"""

import asyncio
import logging
import random
from collections import Counter
from http import HTTPStatus

import aiohttp
from aiohttp import HttpVersion11, web

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.events import EventWatch
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.exchange_note import ExchangeNote, Phase
from rayfleet_gateway.model.errors import BodyTooLarge, BrokenOff, ExchangeError, NotConnected, UnreadableBody
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, Result
from rayfleet_gateway.pick.least_requests import picked_backend, picked_endpoint
from rayfleet_gateway.request.bodies import plain_body
from rayfleet_gateway.request.headers import forwarded_headers, joined_headers, returned_headers
from rayfleet_gateway.request.model_scan import chosen_model
from rayfleet_gateway.route.match import MODEL_HEADER
from rayfleet_gateway.route.table import RouteTable, Rule, has_dot_segment
from rayfleet_gateway.telemetry.counts import Telemetry
from rayfleet_gateway.upstream import Ask, Upstreams, next_chunk

log = logging.getLogger(__name__)

_QUOTED_BYTES = 64 << 10  # of an engine's error that is no JSON


class Refused(ExchangeError):
    """Ends an exchange with an answer of the gateway's own."""

    def __init__(self, refusal: Refusal, result: Result = Result.REFUSED) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.result = result


class Forwarder:
    """Forwards requests; one for all requests of a gateway."""

    def __init__(self, settings: GatewaySettings, upstreams: Upstreams, telemetry: Telemetry) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._telemetry = telemetry
        self._in_flight: Counter[Endpoint] = Counter()
        self._running: set[ExchangeNote] = set()

    async def serve(self, request: web.Request, table: RouteTable) -> web.StreamResponse:
        """Return the answer to one request, by the table as it is now.

        Counts exactly one outcome, also when cancelled.
        """
        note = ExchangeNote(request)
        self._running.add(note)
        try:
            return await self._answered(note, table)
        except (asyncio.CancelledError, ConnectionResetError):
            note.result = Result.CLIENT_GONE
            raise
        finally:
            self._running.discard(note)
            self._telemetry.count(note.outcome())

    def cut(self) -> None:
        """End every exchange now, each with an error: the time to finish is over."""
        for note in tuple(self._running):
            note.cut()

    async def _answered(self, note: ExchangeNote, table: RouteTable) -> web.StreamResponse:
        """Turn every way in which an exchange may fail into an answer, or into the end of one that has begun."""
        try:
            return await self._served(note, table)
        except Refused as refused:
            refusal, note.result = refused.refusal, refused.result
        except asyncio.CancelledError:
            if not note.is_cut:
                raise
            note.uncancel()
            refusal, note.result = refusals.stopping(), Result.CUT
        except BrokenOff as error:
            refusal, note.result = refusals.upstream_error(note.model, str(error)), Result.UPSTREAM_ERROR
        except ConnectionResetError:
            raise
        except Exception:
            log.exception("request failed", extra={"request_id": note.request_id})
            refusal, note.result = refusals.internal(note.request_id), Result.FAILED
        if note.response is not None:
            return await _broken_off(note, note.response, refusal)
        note.status = refusal.status
        return refusal_response(refusal, note.request_id)

    async def _served(self, note: ExchangeNote, table: RouteTable) -> web.StreamResponse:
        body = await self._read(note.request)
        rule, model = _routed(note.request, body, table, self._settings.body_limit_bytes)
        note.name_model(model, is_known=model in table.by_model)
        allowed = self._settings.first_byte_timeout if rule.request_timeout is None else rule.request_timeout
        ends_at = note.started + allowed.total_seconds() if allowed else None
        try:
            async with asyncio.timeout_at(ends_at) as limit:
                upstream, endpoint = await self._connected(note, rule, body)
                try:
                    return await self._passed_on(note, upstream, limit)
                finally:
                    upstream.close()  # a client that is gone takes its upstream connection with it, so the engine stops
                    self._leave(endpoint, note)
        except TimeoutError:
            raise _expired(note) from None

    async def _read(self, request: web.Request) -> bytes:
        limit = self._settings.body_limit_bytes
        if (request.content_length or 0) > limit:
            raise Refused(refusals.too_large(limit))
        try:
            async with asyncio.timeout(self._settings.idle_timeout.total_seconds()):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise Refused(refusals.too_large(limit)) from None
        except web.RequestPayloadError as error:
            raise Refused(refusals.bad_request("The request's body is not framed as its headers say.")) from error
        except TimeoutError:
            raise Refused(refusals.slow_request()) from None

    async def _connected(self, note: ExchangeNote, rule: Rule, body: bytes) -> tuple[aiohttp.ClientResponse, Endpoint]:
        """Return an answer (head read) and whose it is, already counted as in flight there."""
        request = note.request
        ask = Ask(
            method=request.method,
            target=str(request.rel_url),
            headers=forwarded_headers(request.headers, note.request_id),
            body=body,
        )
        tried: set[Endpoint] = set()
        failure = ""
        while len(tried) < self._settings.attempts and (endpoint := self._picked(rule, tried)) is not None:
            if tried:
                self._telemetry.tallies.retries.add("not_connected")
            tried.add(endpoint)
            self._enter(endpoint, note)
            try:
                return await self._upstreams.ask(endpoint, ask), endpoint
            except NotConnected as error:
                self._leave(endpoint, note)
                failure = str(error)
            except BaseException:
                self._leave(endpoint, note)
                raise
        if failure:
            raise Refused(refusals.upstream_error(note.model, failure), Result.UPSTREAM_ERROR)
        raise Refused(refusals.model_not_ready(note.model))

    def _picked(self, rule: Rule, tried: set[Endpoint]) -> Endpoint | None:
        backend = picked_backend(rule.backends, tried, random.random())  # noqa: S311 - spreads load, guards nothing
        if backend is None:
            return None
        return picked_endpoint(backend.endpoints, self._in_flight, tried, random.random())  # noqa: S311 - as above

    async def _passed_on(
        self, note: ExchangeNote, upstream: aiohttp.ClientResponse, limit: asyncio.Timeout
    ) -> web.StreamResponse:
        note.status = upstream.status
        if _is_unreadable_error(upstream):
            raise Refused(await _quoted(note.model, upstream), _result_of(upstream.status))
        chunk = await next_chunk(upstream)
        watch = EventWatch() if _is_plain_event_stream(upstream) else None
        response = await _begun(note, upstream, watch)
        clock, idle_seconds = asyncio.get_running_loop().time, self._settings.idle_timeout.total_seconds()
        while chunk:
            if watch is not None:
                watch.feed(chunk)
            note.phase = Phase.WRITING
            asked_by = clock() + 1
            limit.reschedule(asked_by - 1 + idle_seconds)
            await response.write(chunk)
            if clock() > asked_by:  # the client took its time; the endpoint has its own
                limit.reschedule(clock() + idle_seconds)
            note.phase = Phase.READING
            chunk = await next_chunk(upstream)
        if (
            watch is not None
            and upstream.status == HTTPStatus.OK
            and not watch.has_error
            and _is_cut_short(note, watch)
        ):
            raise BrokenOff("it ended before its answer did")
        note.result = Result.ENGINE_ERROR if watch is not None and watch.has_error else _result_of(upstream.status)
        await response.write_eof()
        return response

    def _enter(self, endpoint: Endpoint, note: ExchangeNote) -> None:
        self._in_flight[endpoint] += 1
        self._telemetry.series(note.label).in_flight += 1

    def _leave(self, endpoint: Endpoint, note: ExchangeNote) -> None:
        self._telemetry.series(note.label).in_flight -= 1
        self._in_flight[endpoint] -= 1
        if not self._in_flight[endpoint]:
            del self._in_flight[endpoint]  # addresses come and go for years


def refusal_response(refusal: Refusal, request_id: str) -> web.Response:
    """Return the HTTP answer for a refusal."""
    headers = {**refusal.headers, "X-Request-Id": request_id}
    return web.Response(status=refusal.status, body=refusal.body(), content_type="application/json", headers=headers)


def _routed(request: web.Request, body: bytes, table: RouteTable, limit_bytes: int) -> tuple[Rule, str]:
    path = request.path
    if has_dot_segment(path) or not table.has_path(request.host, path):
        raise Refused(refusals.path_not_found(path))
    if request.method != "POST":
        raise Refused(refusals.method_not_allowed(path, "POST"))
    headers = joined_headers(request.headers)
    if len(request.headers.getall(MODEL_HEADER, ())) > 1:
        raise Refused(refusals.bad_request("The request has the header `model` twice.", param="model"))
    try:
        model = chosen_model(headers.get(MODEL_HEADER), plain_body(body, headers.get("content-encoding"), limit_bytes))
    except BodyTooLarge:
        raise Refused(refusals.too_large(limit_bytes)) from None
    except UnreadableBody as error:
        raise Refused(refusals.bad_request(str(error), param="model")) from error
    rule = table.rule_for(
        method=request.method,
        host=request.host,
        path=path,
        query=request.rel_url.raw_query_string,
        headers=headers,
        model=model,
    )
    if rule is None:
        raise Refused(refusals.model_not_found(model, table.models))
    return rule, model


async def _begun(note: ExchangeNote, upstream: aiohttp.ClientResponse, watch: EventWatch | None) -> web.StreamResponse:
    """Send the head: the first byte, or the end of an answer without any, is there."""
    headers = returned_headers(upstream.headers, note.request_id)
    if watch is not None:
        headers.popall("Content-Length", None)  # an error event may have to follow
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=headers)
    if "Content-Length" not in headers and note.request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    note.begin(response, watch)
    await response.prepare(note.request)
    return response


async def _broken_off(note: ExchangeNote, response: web.StreamResponse, refusal: Refusal) -> web.StreamResponse:
    """End an answer that began well so that nobody takes it for whole."""
    facts = {"model": note.model, "request_id": note.request_id, "reason": refusal.message}
    log.warning("answer broken off", extra=facts)
    if note.watch is not None and note.watch.is_between_events and note.phase is not Phase.WRITING:
        await response.write(refusal.event())
        await response.write_eof()
    elif note.request.transport is not None:
        note.request.transport.abort()
    return response


def _expired(note: ExchangeNote) -> Exception:
    match note.phase:
        case Phase.ASKED:
            return Refused(refusals.upstream_timeout(note.model, "no first byte in time"), Result.UPSTREAM_ERROR)
        case Phase.READING:
            return BrokenOff("it was silent for too long")
        case Phase.WRITING:
            if note.request.transport is not None:
                note.request.transport.abort()
            return ConnectionResetError("the client took nothing for too long")


def _is_plain_event_stream(upstream: aiohttp.ClientResponse) -> bool:
    return upstream.content_type == "text/event-stream" and "Content-Encoding" not in upstream.headers


def _is_cut_short(note: ExchangeNote, watch: EventWatch) -> bool:
    return note.request.path.endswith("/completions") and not watch.is_done


def _is_unreadable_error(upstream: aiohttp.ClientResponse) -> bool:
    """Whether it is an error that OpenAI's clients cannot read: a proxy's page or a server's one word."""
    is_readable = upstream.content_type.endswith("json") or upstream.content_type == "text/event-stream"
    return upstream.status >= HTTPStatus.BAD_REQUEST and not is_readable and "Content-Encoding" not in upstream.headers


async def _quoted(model: str, upstream: aiohttp.ClientResponse) -> Refusal:
    body = b""
    while len(body) < _QUOTED_BYTES and (chunk := await next_chunk(upstream)):
        body += chunk
    return refusals.quoted_error(model, upstream.status, body.decode("utf-8", "replace"), upstream.headers)


def _result_of(status: int) -> Result:
    if status < HTTPStatus.BAD_REQUEST:
        return Result.OK
    return Result.ENGINE_4XX if status < HTTPStatus.INTERNAL_SERVER_ERROR else Result.ENGINE_5XX
