"""One look at every deadline, a few times a second, in place of a timer for each.

Whoever waits for something holds the loop time by which it must have happened, and moves it as bytes come: one
assignment. The look costs 0.1 us for each that waits. A deadline is heard of at most ``EVERY_SECONDS`` late.
"""

import asyncio
from typing import Protocol

EVERY_SECONDS = 0.2
_AT_ONCE = 50  # thousands may be late together; a refusal takes 25 us
NEVER = float("inf")


class Watched(Protocol):
    """Something with a deadline; ``due`` is a time of the loop's clock, or ``NEVER``."""

    due: float

    def expire(self, now: float) -> None:
        """Act on a deadline that has passed, or move ``due`` on."""
        ...


class Sweeper:
    """Looks at what is in ``watched``; whoever is done leaves it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.watched: set[Watched] = set()
        self._loop = loop
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look from now on, until ``stop``."""
        self._next = self._loop.call_later(EVERY_SECONDS, self._sweep)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _sweep(self) -> None:
        self.start()
        now = self._loop.time()
        self._expire([one for one in self.watched if one.due <= now])

    def _expire(self, late: list[Watched]) -> None:
        now = self._loop.time()
        for one in late[:_AT_ONCE]:
            if one in self.watched and one.due <= now:  # what expired before it may have ended it
                one.expire(now)
        if len(late) > _AT_ONCE:
            self._loop.call_soon(self._expire, late[_AT_ONCE:])
