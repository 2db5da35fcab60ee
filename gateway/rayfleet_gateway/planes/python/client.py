"""One connection of a client: requests in, one after the other, each handed to an exchange; answers out.

A request is read whole before it is forwarded: its model is in its body. Pipelined requests are served in order; while
one is served, what follows is kept up to a bound, and then not read. A connection that is not kept ends in two steps:
our side first, then, when the client has read what was written or after a moment, the rest. Closing at once would
reset what the client has not read yet.

Whoever does not say what it wants in time is told so: ``head_timeout`` for a head, ``body_start_timeout`` and
``body_least_rate`` for a body, ``keep_alive_timeout`` between requests.
"""

import asyncio
import logging
from typing import cast

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.errors import HeadRefused
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.planes.python.admitting import OwnAnswer, own_answer
from rayfleet_gateway.planes.python.bodies import BodyReader, refusal_of_body
from rayfleet_gateway.planes.python.deadlines import NEVER
from rayfleet_gateway.planes.python.exchange import Exchange
from rayfleet_gateway.planes.python.heads import END, refusal_of_begun, request_head
from rayfleet_gateway.planes.python.known import KnownHead
from rayfleet_gateway.planes.python.own_answers import answer_own, refuse_unread
from rayfleet_gateway.planes.python.resets import reset
from rayfleet_gateway.planes.python.shared import Shared
from rayfleet_gateway.planes.python.stages import BODY, CLOSED, HEAD, LINGERING, SERVED

log = logging.getLogger(__name__)

_REQUESTS_AT_ONCE = 16  # answered without waiting, before the loop's other work has its turn
_KEPT_BYTES = 64 << 10  # of requests behind the one that is served
_READ_THROUGH_BYTES = 64 << 10  # a body up to this is read before a refusal, so that the connection can be kept
_UNSENT_BYTES = 64 << 10  # to a client that does not read; then its engine is not read either
_LINGER_SECONDS = 2.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection(asyncio.Protocol):
    """Made by the listener for each connection. ``is_paused``: the client is behind with reading."""

    __slots__ = (
        "_body",
        "_exchange",
        "_is_advancing",
        "_is_reading_paused",
        "_is_unread",
        "_known",
        "_refusal",
        "_rest",
        "_searched",
        "_shared",
        "_stage",
        "_started",
        "_transport",
        "address",
        "due",
        "is_paused",
    )

    def __init__(self, shared: Shared) -> None:
        self.address = ""
        self.due = NEVER
        self.is_paused = False
        self._is_reading_paused = False
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._stage = HEAD
        self._rest = b""
        self._searched = 0
        self._started = 0.0
        self._body: BodyReader | None = None
        self._exchange: Exchange | None = None
        self._known: KnownHead | None = None
        self._refusal: Refusal | None = None
        self._is_advancing = False
        self._is_unread = False  # a body is still to come that nobody reads

    @property
    def idle_since(self) -> float:
        """When it began to wait, of one that waits for a request."""
        return self._started

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a head, if there is room for one more client."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        shared = self._shared
        self._started = shared.loop.time()
        has_room = shared.has_room_for_client()
        shared.telemetry.tallies.connections += 1
        shared.connections[self] = None
        shared.sweeper.watched.add(self)
        if has_room:
            shared.idle[self] = None
            self.due = self._started + shared.head_seconds
        else:
            shared.telemetry.tallies.connections_refused += 1
            self._refuse_head(refusals.overloaded("has as many connections"))
            self._transport.close()  # to wait for its end would take what there are too many of

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        if self._stage is LINGERING:
            return
        self._rest = self._rest + data if self._rest else data
        if self._stage is not SERVED:
            self._advance()
        if len(self._rest) > _KEPT_BYTES and (self._stage is SERVED or self.is_paused):
            self._pause_reading()

    def eof_received(self) -> None:
        """A client that writes no more is gone: the transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """End what runs."""
        shared = self._shared
        self._stage = CLOSED
        self.due = NEVER
        shared.connections.pop(self, None)
        shared.idle.pop(self, None)
        shared.begun.pop(self, None)
        shared.sweeper.watched.discard(self)
        if self._body is not None:
            shared.bodies.used_bytes -= self._body.size
            self._body = None
        self._rest, self._known = b"", None
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.leave()

    def pause_writing(self) -> None:
        """The client is behind."""
        self.is_paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self.is_paused = False
        if self._exchange is not None:
            self._exchange.resume()
        self._advance_later()

    def expire(self, now: float) -> None:
        """Act on a deadline that has passed."""
        if self._stage is BODY and self._body is not None:
            window_seconds = self._shared.body_start_seconds
            if self._body.is_in_time(self._shared.settings.body_least_rate * window_seconds):
                self.due = now + window_seconds
            else:
                self._refuse_body(refusals.slow_request())
        elif self.is_paused and self._stage is HEAD:
            self.reset()
        elif self._stage is HEAD and self._rest:
            self._refuse_head(refusals.slow_request("head"))
        elif self._stage is LINGERING and self._has_unsent(now):
            self.due = now + _LINGER_SECONDS
        else:
            self.close()

    # What an exchange calls.

    def write(self, data: bytes) -> None:
        """Send bytes; without effect once the connection is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def may_keep(self, head: RequestHead) -> bool:
        """Whether the connection serves another request after this one."""
        return head.is_keep_alive and not head.is_http_10 and not self._is_unread and not self._shared.is_leaving

    def reset(self) -> None:
        """End the connection so that the client sees that it broke."""
        if self._transport is not None:
            reset(self._transport)

    def on_over(self, *, is_kept: bool) -> None:
        """Go on after an answer."""
        self._exchange = None
        if self._stage is CLOSED:
            return
        if not is_kept:
            self._linger()
            return
        shared = self._shared
        self._stage = HEAD
        self._searched = 0
        self._started = shared.loop.time()
        self.due = self._started + shared.keep_alive_seconds
        self._resume_reading()
        if not self._rest:
            shared.idle[self] = None
        elif not self._is_advancing:
            self._advance()

    def close(self) -> None:
        """End the connection; what was written is still sent."""
        if self._transport is not None:
            if self._stage is LINGERING:
                self._transport.abort()
            else:
                self._transport.close()

    def end(self) -> None:
        """End the connection because the process ends: a request that is not whole yet is told so."""
        if self._exchange is not None:
            self._exchange.cut()
        elif self._stage is not LINGERING:
            self.close()

    # Steps.

    def _has_unsent(self, now: float) -> bool:
        """Whether a client that is behind may still take what was written."""
        unsent = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return unsent > 0 and now < self._started + self._shared.idle_seconds

    def _advance(self) -> None:
        """Read as many requests as are there, and can be answered, a few at a time."""
        self._is_advancing = True
        try:
            for _ in range(_REQUESTS_AT_ONCE):
                is_on = self._take_head() if self._stage is HEAD else self._take_body()
                if not is_on or (self._stage is not HEAD and self._stage is not BODY):
                    return
        finally:
            self._is_advancing = False
        self._pause_reading()  # one turn of the loop reads a socket again and again
        self._shared.loop.call_soon(self._advance_later)

    def _advance_later(self) -> None:
        if not self._is_advancing and (self._stage is HEAD or self._stage is BODY):
            self._resume_reading()
            self._advance()

    def _pause_reading(self) -> None:
        if not self._is_reading_paused and self._transport is not None and not self._transport.is_closing():
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._is_reading_paused and self._transport is not None and not self._transport.is_closing():
            self._is_reading_paused = False
            self._transport.resume_reading()

    def _take_head(self) -> bool:
        """Take a head; return whether there is more to do now."""
        shared = self._shared
        if not self._searched:
            if self._rest.startswith(b"\r\n"):  # an empty line before a request is no fault (RFC 9112, 2.2)
                self._rest = self._rest[2:]
            if not self._rest:
                return False
            shared.idle.pop(self, None)
            if self.is_paused:  # answers wait for a client that does not read: no more of them
                self.due = shared.loop.time() + shared.idle_seconds
                return False
            self._started = shared.loop.time()
            self.due = self._started + shared.head_seconds
        known, rest = self._known, self._rest
        if known is None or not known.begins(rest):
            known = self._read_head(rest)
            if known is None:
                return False
            self._known = known if known.is_kept else None
        end = known.size
        self._rest = rest[end:] if end < len(rest) else b""
        if self._searched:
            self._searched = 0
            shared.begun.pop(self, None)
        if known.allowed_in is shared.tables.table and (known.head.length or 0) <= shared.settings.body_limit_bytes:
            self._exchange = Exchange(shared, self, known, self._started)
            return self._begin(known.head)
        return self._admit(known)

    def _read_head(self, rest: bytes) -> KnownHead | None:
        """Return the head at the beginning of ``rest``; None when it is not whole, or refused."""
        limit = self._shared.settings.head_limit_bytes
        end = rest.find(END, max(0, self._searched - 3))
        if end < 0 or end > limit:
            refusal = refusal_of_begun(rest, self._searched, limit)
            self._searched = len(rest)
            self._shared.begun[self] = None
            if refusal is not None:
                self._refuse_head(refusal)
            return None
        raw = rest[: end + len(END)]
        try:
            return KnownHead(raw, request_head(raw))
        except HeadRefused as error:
            self._refuse_head(refusals.of_head(error))
            return None

    def _admit(self, known: KnownHead) -> bool:
        """Look at what a head alone says; return whether there is more to do now."""
        shared, head, length = self._shared, known.head, known.head.length
        own = own_answer(shared, head)
        if isinstance(own, OwnAnswer):
            self._is_unread = length != 0
            is_kept = answer_own(shared, self, known, own, self._started)
            self.on_over(is_kept=is_kept)
            return is_kept
        self._exchange = Exchange(shared, self, known, self._started)
        if own is None:
            known.allowed_in = shared.tables.table
        elif length is None or length > _READ_THROUGH_BYTES or head.expects_continue:
            self._is_unread = True
            self._exchange.refuse(own)
            return False
        self._refusal = own
        return self._begin(head)

    def _begin(self, head: RequestHead) -> bool:
        """Go on to the body of a request; return whether there is more to do now."""
        shared, length = self._shared, head.length
        if length is not None and length <= len(self._rest):
            body, self._rest = self._rest[:length], self._rest[length:]
            self._hand_over(body)
            return True
        if head.expects_continue and not self._rest:
            self.write(_CONTINUE)
        self._stage = BODY
        self._body = BodyReader(length)
        self.due = self._started + shared.body_start_seconds
        return bool(self._rest)

    def _take_body(self) -> bool:
        """Take what is there of a body; return whether there is more to do now."""
        body, shared = self._body, self._shared
        assert body is not None
        data, self._rest = self._rest, b""
        shared.bodies.used_bytes += body.feed(data)
        refusal = refusal_of_body(body, shared.settings.body_limit_bytes, shared.bodies)
        if refusal is not None:
            self._refuse_body(refusal)
        elif body.is_done:
            self._rest = body.rest
            self._body = None
            shared.bodies.used_bytes -= body.size
            self._hand_over(body.whole())
            return True
        return self._body is not None and body.is_behind

    def _hand_over(self, body: bytes) -> None:
        """Let the exchange go on with a whole body."""
        exchange, shared = self._exchange, self._shared
        assert exchange is not None
        self._stage = SERVED
        self.due = NEVER
        if self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            exchange.refuse(refusal)
        elif not shared.bodies.has_room(len(body)):
            exchange.refuse(refusals.overloaded())
        else:
            shared.bodies.used_bytes += len(body)
            exchange.begin(body)

    def _refuse_body(self, refusal: Refusal) -> None:
        body, exchange = self._body, self._exchange
        assert body is not None
        assert exchange is not None
        self._body, self._is_unread = None, True
        self._shared.bodies.used_bytes -= body.size
        exchange.refuse(refusal)

    def _refuse_head(self, refusal: Refusal) -> None:
        """Answer what is no request, and end the connection."""
        refuse_unread(self._shared, self, refusal, self._started)
        self._linger()

    def _linger(self) -> None:
        """End our side; the client's ends when it has read, or after a moment."""
        transport, shared = self._transport, self._shared
        self._stage, self._rest = LINGERING, b""
        shared.idle.pop(self, None)
        shared.begun.pop(self, None)
        self._started = shared.loop.time()
        self.due = self._started + _LINGER_SECONDS
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        self._resume_reading()
