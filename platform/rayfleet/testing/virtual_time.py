"""An event loop whose clock jumps to the next timer when nothing else is to do: hours of waiting take milliseconds.

``run_virtually(work())`` is ``asyncio.run`` on it. Only for work without input and output: a socket would be looked at
once and then waited for in virtual time. All that goes by the loop's clock (sleep, timeouts, ``loop.time()``) agrees.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
_RESOLUTION_SECONDS = 1e-6  # what a float can tell after centuries: a timer that is due must be seen to be
_START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits: where another loop would sleep, its time goes on."""

    def __init__(self) -> None:
        self._virtual_seconds = 0.0
        super().__init__(_Impatient(self))
        self._clock_resolution = _RESOLUTION_SECONDS

    def time(self) -> float:
        """Return the seconds since the loop was made."""
        return self._virtual_seconds

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._virtual_seconds += seconds


def run_virtually(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)


def virtual_now() -> datetime:
    """Return the date of the running loop's clock."""
    return _START + timedelta(seconds=asyncio.get_running_loop().time())


class _Impatient(selectors.SelectSelector):
    """Looks at its files without waiting, and tells the loop how long it would have waited."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to do, and nothing is waited for: a deadlock")
        if timeout > 0:
            self._loop.jump(timeout)
        return super().select(0)
