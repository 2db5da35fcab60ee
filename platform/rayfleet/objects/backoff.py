"""Delays that double from failure to failure. Pure.

The clock and the jitter are the caller's: this says only how long.
"""

from dataclasses import dataclass
from datetime import timedelta

_MOST_DOUBLINGS = 30  # of the smallest delay in use (5 ms) that is two months: the longest delay holds long before


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """``first`` after the first failure, then twice as long each time, at most ``longest``."""

    first: timedelta
    longest: timedelta

    def delay(self, failures: int) -> timedelta:
        """Return the pause after that many failures in a row: none after 0; with first 10 s, 40 s after the third."""
        if failures <= 0:
            return timedelta(0)
        return min(self.longest, self.first * (1 << min(failures - 1, _MOST_DOUBLINGS)))
