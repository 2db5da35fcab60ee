"""Waiting for a claim with a limit: the only place where tests look again and again.

Other processes and servers tell nobody here when something is so: who waits for them asks, and says for what. None is
no answer yet; any other answer ends the waiting when it holds (when it is true, if no other question is put to it).
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

LIMIT_SECONDS = 60.0  # a machine that runs tests is busy
_LOOK_SECONDS = 0.02
_BLOCKING_LOOK_SECONDS = 0.1  # such looks start a process more often than not
_SHOWN_LETTERS = 4000
T = TypeVar("T")
_NOTHING = object()


class NotInTime(AssertionError):
    """Says what was waited for, how long, and what the last answer was."""

    def __init__(self, what: str, limit_seconds: float, last: object) -> None:
        shown = "no answer came" if last is _NOTHING else f"the last answer was {last!r}"
        super().__init__(f"not within {limit_seconds:g} s: {what}; {shown}"[:_SHOWN_LETTERS])


@overload
async def until(
    look: Callable[[], Awaitable[T | None]],
    what: str,
    limit: float = LIMIT_SECONDS,
    *,
    holds: Callable[[T], object] = bool,
    every: float = _LOOK_SECONDS,
) -> T: ...
@overload
async def until(
    look: Callable[[], T | None],
    what: str,
    limit: float = LIMIT_SECONDS,
    *,
    holds: Callable[[T], object] = bool,
    every: float = _LOOK_SECONDS,
) -> T: ...
async def until(
    look: Callable[[], object],
    what: str,
    limit: float = LIMIT_SECONDS,
    *,
    holds: Callable[[T], object] = bool,
    every: float = _LOOK_SECONDS,
) -> object:
    """Return the first answer of ``look`` that holds; a look that is still busy at the limit is cut off.

    ``limit`` and ``every``, the pause between two looks, are seconds. Raises NotInTime, and what ``look`` raises.
    """
    last: object = _NOTHING
    try:
        async with asyncio.timeout(limit) as running:
            while True:
                answer = look()
                last = await answer if inspect.isawaitable(answer) else answer
                if last is not None and holds(last):  # type: ignore[arg-type]  # the overloads bind it to the answer
                    return last
                await asyncio.sleep(every)
    except TimeoutError as error:
        if not running.expired():
            raise
        raise NotInTime(what, limit, last) from error


def wait_until(
    look: Callable[[], T | None],
    what: str,
    limit: float = LIMIT_SECONDS,
    *,
    holds: Callable[[T], object] = bool,
    every: float = _BLOCKING_LOOK_SECONDS,
) -> T:
    """As ``until``, for tests without an event loop; a look that is busy at the limit is waited for."""
    deadline = time.monotonic() + limit
    while True:
        answer = look()
        if answer is not None and holds(answer):
            return answer
        if time.monotonic() >= deadline:
            raise NotInTime(what, limit, answer)
        time.sleep(every)
