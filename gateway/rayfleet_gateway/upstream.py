"""Asks one endpoint: connections, and the one case in which a request is sent twice.

A pooled connection may be closed by its server at the moment it is used again (idle limits, a process that stops). The
request was not processed then, and a client must not hear of it. aiohttp repeats only idempotent methods, so it is done
here, and only when all hold: the connection was a used one, it ended before any byte of an answer, and at once
(``stale_limit``: a request that had been at work for longer is the client's to repeat). The second time is on a new
connection, so a request is sent at most twice.
"""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from rayfleet_gateway.model.errors import BrokenOff, NotConnected
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint

_WHOLE_BYTES = 1 << 20  # larger bodies are written in pieces, so that other requests get their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request as it goes out. ``target`` is path and query, byte for byte as the client wrote them."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes


class Upstreams:
    """Two client sessions: ``pooled`` keeps connections, ``fresh`` never does."""

    def __init__(self, settings: GatewaySettings, pooled: aiohttp.ClientSession, fresh: aiohttp.ClientSession) -> None:
        self._pooled = pooled
        self._fresh = fresh
        self._stale_seconds = settings.stale_limit.total_seconds()

    async def ask(self, endpoint: Endpoint, ask: Ask) -> aiohttp.ClientResponse:
        """Return the answer, its head read. Raises NotConnected and BrokenOff; limits are the caller's."""
        loop = asyncio.get_running_loop()
        note = SimpleNamespace(is_reused=False)
        started = loop.time()
        try:
            return await _sent(self._pooled, endpoint, ask, note)
        except aiohttp.ClientError as error:
            is_stale = note.is_reused and _is_unanswered(error) and loop.time() - started < self._stale_seconds
            if not is_stale:
                raise _failure(error) from error
        try:
            return await _sent(self._fresh, endpoint, ask, note)
        except aiohttp.ClientError as error:
            raise _failure(error) from error


@asynccontextmanager
async def open_upstreams(settings: GatewaySettings) -> AsyncIterator[Upstreams]:
    """Open and close the sessions."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    # Shorter than any engine keeps an idle connection (uvicorn, vLLM: 5 s): requests should not meet one that is just
    # closing.
    pooled = aiohttp.TCPConnector(limit=0, keepalive_timeout=3)
    fresh = aiohttp.TCPConnector(limit=0, force_close=True)
    async with _session(settings, pooled, [trace]) as one, _session(settings, fresh, []) as other:
        yield Upstreams(settings, one, other)


async def next_chunk(upstream: aiohttp.ClientResponse) -> bytes:
    """Return the next bytes of an answer as they came, empty at its end. Raises BrokenOff."""
    try:
        return await upstream.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        raise BrokenOff(_reason(error)) from error


def _session(
    settings: GatewaySettings, connector: aiohttp.TCPConnector, traces: list[aiohttp.TraceConfig]
) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        max_line_size=settings.head_limit_bytes,
        max_field_size=settings.head_limit_bytes,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout.total_seconds()),
        trace_configs=traces,
    )


async def _sent(
    session: aiohttp.ClientSession, endpoint: Endpoint, ask: Ask, note: SimpleNamespace
) -> aiohttp.ClientResponse:
    body = ask.body if len(ask.body) <= _WHOLE_BYTES else io.BytesIO(ask.body)
    return await session.request(
        ask.method,
        URL(f"http://{endpoint}{ask.target}", encoded=True),
        headers=ask.headers,
        data=body or None,
        allow_redirects=False,
        trace_request_ctx=note,
    )


async def _note_reuse(
    session: aiohttp.ClientSession,  # noqa: ARG001 - aiohttp's signature
    context: SimpleNamespace,
    parameters: aiohttp.TraceConnectionReuseconnParams,  # noqa: ARG001 - aiohttp's signature
) -> None:
    context.trace_request_ctx.is_reused = True


def _is_unanswered(error: aiohttp.ClientError) -> bool:
    """Whether the connection ended without a byte of an answer; a head that began is in the error."""
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return isinstance(error.message, str)
    return isinstance(error, aiohttp.ClientOSError | aiohttp.ClientConnectionResetError)


def _failure(error: aiohttp.ClientError) -> NotConnected | BrokenOff:
    if isinstance(error, aiohttp.ClientConnectorError):
        return NotConnected(f"no connection ({error.os_error.strerror or error.os_error})")
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return NotConnected("no connection in time")
    return BrokenOff(_reason(error))


def _reason(error: Exception) -> str:
    """Return what happened, without addresses: clients read it."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"its answer is not HTTP ({error.message.splitlines()[0] if error.message else error.status})"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "it ended before its answer did"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    if isinstance(error, OSError) and error.strerror:
        return f"the connection broke ({error.strerror})"
    return str(error) or type(error).__name__
