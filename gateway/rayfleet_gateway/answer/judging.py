"""Whether an answer that passed was whole, an engine's error, or cut. Pure.

An answer is whole when its framing is, and when what it tells says so: completions end with ``[DONE]``, Anthropic's
messages with ``message_stop``, responses with one of their last events. Judged by the path, since each has its own end.
"""

from enum import Enum, auto
from http import HTTPStatus

from rayfleet_gateway.answer.events import EventWatch
from rayfleet_gateway.answer.head import AnswerHead


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
    """Feed it every piece of one answer's body, in order, as the client gets it."""

    __slots__ = ("_head", "_path", "_watch", "has_error", "is_done", "usage")

    def __init__(self, head: AnswerHead, path: str) -> None:
        self._head = head
        self._path = path
        self._watch = EventWatch() if head.is_event_stream and not head.coding else None
        self.is_done = False
        self.has_error = False
        self.usage: tuple[int | None, int | None] = (None, None)

    def feed(self, chunk: bytes) -> None:
        """Note the next bytes."""
        watch = self._watch
        if watch is not None:
            watch.feed(chunk)
            self.has_error = watch.has_error
            self.is_done = watch.is_done

    @property
    def is_between_events(self) -> bool:
        """Whether an error event may follow what came so far."""
        return self._watch is not None and self._watch.is_between_events

    def verdict_at_end(self, ended: Ended) -> Verdict:
        """Return what the answer was, now that no more of it comes."""
        if self.has_error:
            return Verdict.ENGINE_ERROR
        if self.is_done:
            return Verdict.WHOLE
        is_judged = (
            self._watch is not None and self._head.status == HTTPStatus.OK and self._path.endswith("/completions")
        )
        return Verdict.CUT if ended is Ended.CUT or is_judged else Verdict.WHOLE
