"""A token bucket towards the API server, with a reserve for what must not wait behind bulk work.

Numbers are client-go's idea (QPS and burst); the reserve is for deletes, gates and leases.
"""

import asyncio
from collections.abc import Callable


class TokenBucket:
    """``rate_per_second`` tokens flow in, up to ``burst``; ordinary takers leave ``reserve`` tokens for urgent ones."""

    def __init__(
        self, *, rate_per_second: float, burst: int, reserve: int = 0, clock: Callable[[], float] | None = None
    ) -> None:
        if rate_per_second <= 0 or burst <= reserve:
            raise ValueError("a bucket needs a rate above 0 and a burst above its reserve")
        self._rate = rate_per_second
        self._burst = burst
        self._reserve = reserve
        self._clock = clock
        self._tokens = float(burst)
        self._filled_at: float | None = None

    async def take(self, *, is_urgent: bool = False) -> None:
        """Take one token, waiting for it when there is none."""
        while (delay_seconds := self.try_take(is_urgent=is_urgent)) > 0:
            await asyncio.sleep(delay_seconds)

    def try_take(self, *, is_urgent: bool = False) -> float:
        """Take a token and return 0, or take none and return the seconds until one may be there."""
        self._fill()
        floor = 0 if is_urgent else self._reserve
        if self._tokens >= floor + 1:
            self._tokens -= 1
            return 0.0
        return (floor + 1 - self._tokens) / self._rate

    def _fill(self) -> None:
        now = self._clock() if self._clock else asyncio.get_running_loop().time()
        if self._filled_at is not None:
            self._tokens = min(float(self._burst), self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
