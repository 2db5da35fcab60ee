"""One connection to an engine: a request out, its answer in, its framing followed to the last byte.

A connection is in one stage at a time. ``IDLE``: in the pool; a byte or an end then is the end of it. ``HEAD``: asked,
the answer's head is not whole. ``CONTENT``: the answer's body passes. ``FINISHING``: whoever asked has all it wants;
what is left is read and dropped for a moment, so that the connection can be used again. ``CLOSED``.

The asker hears of everything in the same step of the loop in which it came. It is let go before it hears of the
answer's last byte, so that the connection can serve the next request at once.
"""

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Protocol, cast

from rayfleet_gateway.answer.head import AnswerHead
from rayfleet_gateway.model.errors import BrokenOff
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.planes.python.deadlines import NEVER
from rayfleet_gateway.planes.python.framing import ChunkReader
from rayfleet_gateway.planes.python.heads import END, AnswerHeads

_FINISHING_SECONDS = 1.0
_FINISHING_BYTES = 64 << 10
_AT_ONCE_BYTES = 16 << 10  # a body up to this is one write together with its head
_MOST_INTERIM = 20  # heads of 1xx before the one that counts
_HTTP = b"HTTP/1."
_UNTIL_CLOSE = -1
_CHUNKED = -2
ENDED_EARLY = "it ended before its answer did"


class Asker(Protocol):
    """What waits for an answer."""

    def on_head(self, head: AnswerHead) -> None:
        """The head is whole; the asker may leave the connection now."""
        ...

    def on_content(self, content: bytes, *, is_last: bool) -> None:
        """The next bytes of the body; empty only together with ``is_last``, after which the connection is not its."""
        ...

    def on_broken(self, failure: Failure, reason: str) -> None:
        """The answer will not be whole; the connection is closed."""
        ...


class Shelf(Protocol):
    """Where the connections of one endpoint are kept. ``buffer`` is where all connections read to."""

    answer_heads: AnswerHeads
    endpoint: Endpoint
    buffer: memoryview
    head_limit_bytes: int

    def opened(self, connection: "UpstreamConnection") -> None:
        """Note a new connection."""
        ...

    def give_back(self, connection: "UpstreamConnection") -> None:
        """Keep a connection for the next request."""
        ...

    def withdraw(self, connection: "UpstreamConnection") -> None:
        """Let no request have the connection again."""
        ...

    def closed(self, connection: "UpstreamConnection") -> None:
        """Forget a connection."""
        ...


class Stage(Enum):
    """See the module."""

    IDLE = auto()
    HEAD = auto()
    CONTENT = auto()
    FINISHING = auto()
    CLOSED = auto()


_IDLE, _HEAD, _CONTENT, _FINISHING, _CLOSED = Stage  # an attribute of an Enum costs four times a name
_OK, _SWITCHING, _CONTINUE = HTTPStatus.OK, HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.CONTINUE


class UpstreamConnection(asyncio.BufferedProtocol):
    """Made by the pool. ``was_used``: it has answered a request before; ``has_answered``: a byte of an answer came."""

    __slots__ = (
        "_asker",
        "_begun",
        "_dropped",
        "_has_eof",
        "_interim",
        "_is_behind",
        "_is_paused",
        "_is_reusable",
        "_left",
        "_length",
        "_method",
        "_reader",
        "_stage",
        "_transport",
        "due",
        "has_answered",
        "shelf",
        "was_used",
    )

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.due = NEVER
        self.was_used = False
        self.has_answered = False
        self._asker: Asker | None = None
        self._stage = _IDLE
        self._begun = b""
        self._reader = ChunkReader()
        self._left = self._length = self._interim = 0
        self._dropped = 0
        self._has_eof = self._is_paused = self._is_behind = self._is_reusable = False
        self._method = ""
        self._transport: asyncio.Transport | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Whose connection it is."""
        return self.shelf.endpoint

    @property
    def is_usable(self) -> bool:
        """Whether a request may be sent."""
        return self._stage is _IDLE and self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)
        self.shelf.opened(self)

    def ask(self, asker: Asker, method: str, head: bytes, body: bytes) -> None:
        """Send a request, of which ``head`` is all but the body."""
        assert self._transport is not None
        self._asker = asker
        self._stage = _HEAD
        self._method = method
        self._begun = b""
        self._interim = 0
        self.has_answered = False
        self.due = NEVER
        if not body:
            self._transport.write(head)
        elif len(body) <= _AT_ONCE_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def leave(self) -> None:
        """End it: whoever asked wants no more, so the engine shall stop."""
        self._asker = None
        self._close()

    def finish(self, now: float) -> None:
        """Go on without whoever asked, to the end of an answer that should come at once."""
        if self._stage is _CONTENT and self._length != _UNTIL_CLOSE:
            self._asker = None
            self._stage = _FINISHING
            self._dropped = 0
            self.due = now + _FINISHING_SECONDS
            self.resume()
        else:
            self.leave()

    def pause(self) -> None:
        """Read no more until ``resume``."""
        if not self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = True
            if not self._is_behind:
                self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._is_paused and self._transport is not None and not self._transport.is_closing():
            self._is_paused = False
            if not self._is_behind:
                self._transport.resume_reading()

    def expire(self, now: float) -> None:  # noqa: ARG002 - the sweeper's signature
        """Close a connection that was idle, or did not finish, for too long."""
        self._close()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where the loop puts what it reads: one place for all connections, emptied in the same step."""
        return self.shelf.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        data = bytes(self.shelf.buffer[:nbytes])
        if self._stage is _CONTENT:
            self._take_content(data)
        elif self._stage is _HEAD:
            self._take_head(data)
        elif self._stage is _FINISHING:
            self._dropped += nbytes
            self._take_content(data)
            if self._dropped > _FINISHING_BYTES:
                self._close()
        else:
            self._close()  # nobody asked: what comes now must not become the next answer

    def eof_received(self) -> None:
        """Note a proper end; the transport closes itself."""
        self._has_eof = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits what the end of the connection means for its answer."""
        stage, asker = self._stage, self._asker
        self._stage, self._asker = _CLOSED, None
        self.due = NEVER
        self.shelf.closed(self)
        if asker is None:
            return
        if stage is _HEAD:
            asker.on_broken(Failure.RESET, _end_before_head(exc))
        elif self._length == _UNTIL_CLOSE and self._has_eof and exc is None:
            asker.on_content(b"", is_last=True)
        else:
            asker.on_broken(Failure.BROKEN_OFF, ENDED_EARLY)

    def _take_head(self, data: bytes) -> None:
        self.has_answered = True
        data = self._begun + data if self._begun else data
        self._begun = b""
        while self._stage is _HEAD:
            end = data.find(END) + len(END)
            is_whole = end >= len(END)
            size = end if is_whole else len(data)
            if size > self.shelf.head_limit_bytes or data[: len(_HTTP)] != _HTTP[:size]:
                self._break(Failure.NOT_HTTP, "its answer is not HTTP")
                return
            if not is_whole:
                self._begun = data
                return
            rest = data[end:]
            try:
                head, is_kept = self.shelf.answer_heads.read(data[:end], method=self._method)
            except BrokenOff as error:
                self._break(Failure.NOT_HTTP, str(error))
                return
            if head.status >= _OK:
                self._begin(head, is_kept=is_kept)
                if self._stage is _CONTENT and (rest or not self._length):
                    self._take_content(rest)
                return  # when the answer was whole, the connection may be waiting for the next one's head by now
            self._pass_over(head)
            data = rest

    def _pass_over(self, head: AnswerHead) -> None:
        """Let a head of 1xx go: another follows, but not without end."""
        self._interim += 1
        if head.status == _SWITCHING:
            self._break(Failure.NOT_HTTP, "its answer is an upgrade that nobody asked for")
        elif head.status < _CONTINUE or self._interim > _MOST_INTERIM:
            self._break(Failure.NOT_HTTP, "its answer does not come to an end")

    def _begin(self, head: AnswerHead, *, is_kept: bool) -> None:
        assert self._asker is not None
        self._stage = _CONTENT
        if head.is_chunked:
            self._length = _CHUNKED
            self._reader = ChunkReader()
        else:
            self._length = self._left = _UNTIL_CLOSE if head.length is None else head.length
        self._is_reusable = is_kept and self._length != _UNTIL_CLOSE
        self._asker.on_head(head)

    def _take_content(self, data: bytes) -> None:
        if self._length == _CHUNKED:
            content = self._reader.feed(data)
            is_last = self._reader.is_done
            self._is_reusable = self._is_reusable and not self._reader.rest
        elif self._length == _UNTIL_CLOSE:
            content, is_last = data, False
        else:
            content = data
            if len(data) > self._left:
                content = data[: self._left]
                self._is_reusable = False
            self._left -= len(content)
            is_last = not self._left
        asker = self._asker
        if is_last:
            self._asker = None
            self._end()
        if asker is not None and (content or is_last):
            asker.on_content(content, is_last=is_last)
        if self._length == _CHUNKED and self._stage is not _CLOSED:
            if self._reader.error:
                self._break(Failure.BROKEN_OFF, self._reader.error)
            elif self._reader.is_behind:
                self._catch_up()

    def _catch_up(self) -> None:
        """Look at the rest of what was read in another step, and read no more before that."""
        if not self._is_behind:
            self._is_behind = True
            if self._transport is not None and not self._is_paused:
                self._transport.pause_reading()
        asyncio.get_running_loop().call_soon(self._on_turn)

    def _on_turn(self) -> None:
        if (self._stage is not _CONTENT and self._stage is not _FINISHING) or self._transport is None:
            return
        self._is_behind = False
        if not self._is_paused:
            self._transport.resume_reading()
        self._take_content(b"")

    def _end(self) -> None:
        """Go back into the pool after a whole answer, if that can be."""
        assert self._transport is not None
        self._stage = _IDLE
        self.was_used = True
        self.resume()
        if self._is_reusable and not self._transport.get_write_buffer_size() and not self._transport.is_closing():
            self.shelf.give_back(self)
        else:
            self._close()

    def _break(self, failure: Failure, reason: str) -> None:
        asker, self._asker = self._asker, None
        self._close()
        if asker is not None:
            asker.on_broken(failure, reason)

    def _close(self) -> None:
        self._stage = _CLOSED
        self.due = NEVER
        self.shelf.withdraw(self)
        if self._transport is not None:
            self._transport.abort()


def _end_before_head(exc: Exception | None) -> str:
    if isinstance(exc, OSError) and exc.strerror:
        return f"the connection broke ({exc.strerror})"
    return "it closed the connection without an answer"
