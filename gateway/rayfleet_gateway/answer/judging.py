"""Whether an answer that passed was whole, an engine's error, or cut. Pure.

An answer is whole when its framing is, and when what it tells says so: a stream of completions ends with ``[DONE]``,
Anthropic's messages with ``message_stop``, responses with one of their last events; a plain JSON answer that only the
connection's end ended must be JSON. Judged by the path, since each has its own end; others are judged by their framing
alone, and so is an answer without a body (to HEAD, a 304). What an engine packed (it was not asked to) is unpacked to
look at, member by member (RFC 1952, 2.2).
"""

import zlib
from collections.abc import Callable
from enum import Enum, auto
from http import HTTPStatus

import orjson

from rayfleet_gateway.answer.events import EventWatch, Usage, last_usage, told_usage
from rayfleet_gateway.answer.head import AnswerHead

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_TAIL_BYTES = 4 << 10
_PARSED_BYTES = 64 << 10
_UNPACKED_AT_ONCE = 256 << 10
_MOST_PIECES = 8  # of one chunk: what is packed tighter than any text is not looked into
_NO_USAGE = Usage()
_ENDS = {
    "/completions": frozenset({"[DONE]"}),
    "/messages": frozenset({"message_stop"}),
    "/responses": frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"}),
}


class Ended(Enum):
    """How the bytes ended."""

    FRAMED = auto()  # by their length or last chunk
    CLOSED = auto()  # with the connection, which was to end them
    CUT = auto()  # a reset, a fault of the framing, or a connection that ended too early


class Verdict(Enum):
    """What the whole answer was."""

    WHOLE = auto()
    ENGINE_ERROR = auto()
    CUT = auto()


class AnswerWatch:
    """``feed`` it every piece of one answer's body, in order, as the client gets it.

    ``is_done``: the client's answer ends here, whatever the engine says or fails to say after it.
    """

    __slots__ = ("_ends", "_events", "_has_body", "_head", "_is_broken", "_tail", "_unpacker", "feed")

    def __init__(self, head: AnswerHead, path: str, *, has_body: bool = True) -> None:
        self._head = head
        self._has_body = has_body
        self._ends: frozenset[str] = frozenset()
        self._events: EventWatch | None = None
        self._unpacker: zlib._Decompress | None = None
        self._tail = b""
        self._is_broken = False
        self.feed: Callable[[bytes], None] = self._keep_tail
        if head.is_event_stream:
            if head.status == HTTPStatus.OK:
                self._ends = _ENDS.get(path[path.rfind("/") :], self._ends)
            self._events = EventWatch(self._ends - {"[DONE]"})
            self.feed = self._events.feed
        if head.coding and head.coding != "identity":
            bits = _WINDOW_BITS.get(head.coding)
            self._unpacker = None if bits is None else zlib.decompressobj(bits)
            self.feed = self._unpack

    @property
    def has_error(self) -> bool:
        """Whether an error event was told."""
        return self._events is not None and self._events.has_error

    @property
    def is_done(self) -> bool:
        """Whether the last event was told, and the packing around it is whole."""
        return self._events is not None and self._events.is_done and (self._unpacker is None or self._unpacker.eof)

    @property
    def excess(self) -> int:
        """Once ``is_done``: how many bytes of the last piece came after the last event; 0 for what is packed."""
        return 0 if self._events is None or self._head.coding else self._events.excess

    @property
    def is_between_events(self) -> bool:
        """Whether an error event may follow what came so far."""
        return self._events is not None and not self._head.coding and self._events.is_between_events

    @property
    def usage(self) -> Usage:
        """The tokens that the answer told."""
        if self._events is not None:
            return self._events.usage
        return told_usage(last_usage(self._tail)) if b'"usage"' in self._tail else _NO_USAGE

    def verdict_at_end(self, ended: Ended) -> Verdict:
        """Return what the answer was, now that no more of it comes."""
        if not self._has_body:
            return Verdict.CUT if ended is Ended.CUT else Verdict.WHOLE
        if self._events is not None:
            self._events.finish()
            if self._events.has_error:
                return Verdict.ENGINE_ERROR
            if self.is_done or (self._events.has_end and self.is_between_events):
                return Verdict.WHOLE
        return Verdict.CUT if ended is Ended.CUT or not self._is_complete(ended) else Verdict.WHOLE

    def _is_complete(self, ended: Ended) -> bool:
        """Whether what came within a whole framing is whole too."""
        if self._head.coding and self._head.coding != "identity":
            if self._unpacker is None:
                return True  # nobody here looks into it
            if not self._unpacker.eof and self._head.length != 0:
                return False
        if self._events is not None:
            return self._events.has_end or not self._ends
        is_json = self._head.media.endswith(("/json", "+json"))  # lines of JSON are many texts
        return ended is not Ended.CLOSED or not is_json or _ends_as_json(self._tail)

    def _next_member(self) -> "zlib._Decompress":
        return zlib.decompressobj(_WINDOW_BITS[self._head.coding])

    def _keep_tail(self, chunk: bytes) -> None:
        """Keep the end, or the whole of what is short and has no framing to be judged by."""
        kept = _TAIL_BYTES if self._head.length is not None or self._head.is_chunked else _PARSED_BYTES
        self._tail = chunk[-kept:] if len(chunk) >= kept else (self._tail + chunk)[-kept:]

    def _unpack(self, chunk: bytes) -> None:
        """Unpack, to look at; what is broken never comes to its end."""
        for _ in range(_MOST_PIECES):
            if not chunk or self._unpacker is None or self._is_broken:
                return
            member = self._next_member() if self._unpacker.eof else self._unpacker
            try:
                plain = member.decompress(chunk, _UNPACKED_AT_ONCE)
            except zlib.error:
                self._is_broken = True  # behind a whole member it is no member, which readers leave alone
                return
            self._unpacker = member
            chunk = member.unconsumed_tail or member.unused_data
            if self._events is not None:
                self._events.feed(plain)
        self._unpacker = None


def _ends_as_json(tail: bytes) -> bool:
    """Whether a body may be whole JSON: one that is short is parsed, of another the end is looked at."""
    if len(tail) >= _PARSED_BYTES:
        return tail.rstrip()[-1:] in {b"}", b"]"}
    try:
        orjson.loads(tail)
    except orjson.JSONDecodeError:
        return False
    return True
