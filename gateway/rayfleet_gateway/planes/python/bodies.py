"""A request's body while it is read: its framing, its limits, and its part in the budget of the process.

Bytes count in the budget from when they are here until the answer begins: what is announced and never sent costs
nobody anything. Time is looked at in windows: the first has to bring something, each later one its part at the least
rate. What came fast before does not count: a body that stops just before its end would be held for ever.
"""

import io
from dataclasses import dataclass

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.planes.python.framing import ChunkReader


@dataclass(slots=True)
class BodyBudget:
    """Bytes of requests in this process, and the most that there may be."""

    limit_bytes: int
    used_bytes: int = 0

    def has_room(self, size: int) -> bool:
        """Whether ``size`` more bytes may be held."""
        return self.used_bytes + size <= self.limit_bytes


class BodyReader:
    """Feed it the bytes after a head. ``length`` None: chunked.

    ``is_done``: the body is whole, and ``rest`` what came after it. ``error`` is what is wrong with its framing.
    ``is_behind``: see ``ChunkReader``.
    """

    __slots__ = ("_chunks", "_left", "_seen", "_whole", "error", "is_done", "rest", "size")

    def __init__(self, length: int | None) -> None:
        self._chunks = ChunkReader() if length is None else None
        self._left = length or 0
        self._whole = io.BytesIO()
        self.size = 0
        self.is_done = False
        self.error = ""
        self.rest = b""
        self._seen = 0

    @property
    def is_behind(self) -> bool:
        """Whether it has to be fed again, with nothing, in another step."""
        return self._chunks is not None and self._chunks.is_behind

    def feed(self, data: bytes) -> int:
        """Take the next bytes; return how many of them are the body's."""
        if self._chunks is None:
            content = data[: self._left] if len(data) > self._left else data
            self._left -= len(content)
            self.is_done = not self._left
            self.rest = data[len(content) :] if self.is_done else b""
        else:
            content = self._chunks.feed(data)
            self.is_done, self.error, self.rest = self._chunks.is_done, self._chunks.error, self._chunks.rest
        self._whole.write(content)
        self.size += len(content)
        return len(content)

    def is_in_time(self, part: float) -> bool:
        """Whether the window that ends now brought enough; ``part`` is what a later one has to bring, in bytes."""
        brought, is_first = self.size - self._seen, not self._seen
        self._seen = self.size
        return brought > 0 if is_first else brought >= part

    def whole(self) -> bytes:
        """Return the body, without a copy; nothing may be fed any more."""
        return self._whole.getvalue()


def refusal_of_body(body: BodyReader, limit_bytes: int, budget: BodyBudget) -> Refusal | None:
    """Return why no more of a body is read, None when nothing is wrong so far. Pure."""
    if body.error:
        return refusals.bad_request(f"The request's body is not framed as its headers say: {body.error}.")
    if body.size > limit_bytes:
        return refusals.too_large(limit_bytes)
    return None if budget.has_room(0) else refusals.overloaded()
