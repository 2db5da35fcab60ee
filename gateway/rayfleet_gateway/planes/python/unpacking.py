"""Packed bodies, a few at a time: unpacked in a thread, and held until they were looked through.

Some KB may unpack to the limit of a body, so that not the bytes that came are what costs: it is how many lie unpacked.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from rayfleet_gateway.model.errors import BodyTooLarge, UnreadableBody
from rayfleet_gateway.request.bodies import plain_body

_AT_ONCE = 2


class Unpacking:
    """Whoever ``enter``s hears of its turn, at once or later, and has to ``leave`` after it. ``inside``: how many."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="unpacking")
        self._waiting: deque[Callable[[], None]] = deque()
        self.inside = 0

    def enter(self, on_turn: Callable[[], None]) -> None:
        """Wait for a turn."""
        if self.inside < _AT_ONCE:
            self.inside += 1
            on_turn()
        else:
            self._waiting.append(on_turn)

    def leave(self) -> None:
        """End a turn; the next one begins in the loop's next step."""
        if self._waiting:
            self._loop.call_soon(self._waiting.popleft())
        else:
            self.inside -= 1

    def unpacked(
        self, body: bytes, coding: str, limit_bytes: int
    ) -> asyncio.Future[bytes | BodyTooLarge | UnreadableBody]:
        """Return the body to come, or what ``plain_body`` raises."""
        return self._loop.run_in_executor(self._threads, _unpacked, body, coding, limit_bytes)

    def close(self) -> None:
        """Begin nothing more."""
        self._waiting.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _unpacked(body: bytes, coding: str, limit_bytes: int) -> bytes | BodyTooLarge | UnreadableBody:
    """Return an error as a value: raised from its future, it would be in a circle with the frame that caught it.

    Its traceback holds all that was unpacked, and the collector of circles comes late where little is going on.
    """
    try:
        return plain_body(body, coding, limit_bytes)
    except (BodyTooLarge, UnreadableBody) as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
