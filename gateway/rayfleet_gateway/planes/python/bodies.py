"""A request's body while it is read: its framing, its limits, and its part in the budget of the process.

Bytes count in the budget from when they are here until the answer begins: what is announced and never sent costs
nobody anything. A body that is slower than ``least_rate`` after a first ``start_seconds`` is refused; both are one
deadline that moves with what has come.
"""

import io
from dataclasses import dataclass

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
    """

    __slots__ = ("_chunks", "_left", "_whole", "error", "is_done", "rest", "size", "started")

    def __init__(self, length: int | None, started: float) -> None:
        self._chunks = ChunkReader() if length is None else None
        self._left = length or 0
        self._whole = io.BytesIO()
        self.size = 0
        self.is_done = False
        self.error = ""
        self.rest = b""
        self.started = started

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

    def whole(self) -> bytes:
        """Return the body, without a copy; nothing may be fed any more."""
        return self._whole.getvalue()
