"""Waiting for a claim: what it returns, what ends it, and what it says when it gives up."""

import asyncio
from collections.abc import Iterator

import pytest

from rayfleet.testing.waiting import NotInTime, until, wait_until


def answers(*values: object) -> Iterator[object]:
    """Yield the values, the last one for ever."""
    yield from values
    while True:
        yield values[-1]


async def test_the_first_true_answer_is_returned() -> None:
    looks = answers(None, 0, "", [1], [2])
    assert await until(lambda: next(looks), "a list", every=0) == [1]


async def test_a_claim_may_be_awaited() -> None:
    looks = answers(0, 5)

    async def look() -> object:
        await asyncio.sleep(0)
        return next(looks)

    assert await until(look, "five", every=0) == 5


async def test_an_answer_holds_when_the_question_says_so_and_none_is_no_answer() -> None:
    looks = answers(None, [1], [])
    asked: list[object] = []

    def is_empty(answer: object) -> bool:
        asked.append(answer)
        return not answer

    assert await until(lambda: next(looks), "nothing left", holds=is_empty, every=0) == []
    assert asked == [[1], []]


async def test_giving_up_says_what_for_how_long_and_what_came_last() -> None:
    with pytest.raises(NotInTime, match=r"^not within 0\.05 s: two pods; the last answer was \['one'\]$"):
        await until(lambda: ["one"], "two pods", 0.05, holds=lambda pods: len(pods) == 2)


async def test_a_look_that_hangs_is_cut_off_at_the_limit() -> None:
    with pytest.raises(NotInTime, match="the end; no answer came"):
        await until(asyncio.Event().wait, "the end", 0.05)


async def test_a_timeout_of_the_look_itself_is_the_looks_own() -> None:
    async def look() -> bool:
        async with asyncio.timeout(0):
            return await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await until(look, "an event", 60)


def test_without_a_loop_it_is_the_same() -> None:
    looks = answers(None, False, "yes")
    assert wait_until(lambda: next(looks), "yes", every=0) == "yes"
    with pytest.raises(NotInTime, match=r"^not within 0\.02 s: two; the last answer was 1$"):
        wait_until(lambda: 1, "two", 0.02, holds=lambda number: number == 2, every=0.01)
