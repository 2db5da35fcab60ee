"""The judge's loop carries out what readiness says (rayfleet_sidecar.judge), at an engine of this file and by hand."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest

from rayfleet.model.engine import TrafficMetrics
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.observation import Answer, Observation
from rayfleet_sidecar.readiness import STALLED, Judgement, Reason
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

WELL = Observation(answer=Answer.OK)
UNWELL = Observation(answer=Answer.UNWELL)
Start = Callable[[], Judge]


class OwnEngine:
    """Answers as it is told. ``failure`` None: a token never comes; an error is raised instead of an answer."""

    def __init__(self) -> None:
        self.observation = WELL
        self.failure: str | None = ""
        self.look_error: Exception | None = None
        self.token_error: Exception | None = None
        self.page = ""
        self.known: int | None = 0
        self.looks = self.asked = self.ended = self.dropped = 0

    async def observed(self) -> Observation:
        self.looks += 1
        if self.look_error is not None:
            raise self.look_error
        return self.observation

    async def metrics_page(self) -> str:
        return self.page

    async def load(self) -> int | None:
        return self.known

    async def token_failure(self) -> str:
        self.asked += 1
        if self.failure is None:
            await self._forever()
        self.ended += 1
        if self.token_error is not None:
            raise self.token_error
        return self.failure or ""

    async def _forever(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.dropped += 1


@pytest.fixture
def engine() -> OwnEngine:
    return OwnEngine()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def start(engine: OwnEngine, clock: HandClock) -> AsyncIterator[Start]:
    """Yield what starts a judge of the engine as it is by then."""
    async with AsyncExitStack() as stack:

        def started() -> Judge:
            traffic = TrafficMetrics(running=("running",), steps=("steps",), served=("served",), failed=("failed",))
            judge = Judge(engine, SidecarSettings(judge_period=timedelta(milliseconds=1), traffic=traffic), clock)
            task = asyncio.create_task(judge.run())
            stack.push_async_callback(asyncio.wait, [task], timeout=LIMIT_SECONDS)
            stack.callback(task.cancel)
            return judge

        yield started
    assert engine.dropped + engine.ended == engine.asked  # no question outlives its judge


async def until_ready(judge: Judge) -> None:
    await until(judge.verdict, "the judge says ready", holds=lambda verdict: verdict.is_ready, every=0)


async def until_reason(judge: Judge, reason: Reason) -> None:
    def holds(judgement: Judgement) -> bool:
        return judgement.reason is reason

    await until(lambda: judge.judgement, f"the reason {reason}", holds=holds, every=0)


async def looked(engine: OwnEngine, times: int = 3) -> None:
    """Wait until that many looks have begun and all of them but the newest have ended."""
    last = engine.looks + times
    await until(lambda: engine.looks >= last, "enough looks", every=0)


async def test_an_engine_that_is_well_is_asked_once_and_is_ready(engine: OwnEngine, start: Start) -> None:
    judge = start()
    await until_ready(judge)
    await looked(engine)
    assert engine.asked == 1
    assert (judge.generations, judge.transitions) == ({"ok": 1, "failed": 0}, 2)


async def test_a_refusal_is_held_until_its_time_is_over(engine: OwnEngine, start: Start, clock: HandClock) -> None:
    judge = start()
    await until_ready(judge)
    engine.observation = UNWELL
    await until_reason(judge, Reason.ENGINE_FAILING)
    engine.observation = WELL
    clock.advance(1.499)
    await looked(engine)
    assert (judge.judgement.reason, engine.asked) == (Reason.WARMING, 1)
    clock.advance(0.001)
    await until_ready(judge)
    assert engine.asked == 2


async def test_a_question_to_an_engine_that_became_unwell_is_dropped(engine: OwnEngine, start: Start) -> None:
    engine.failure = None
    judge = start()
    await until(lambda: engine.asked == 1, "a token is asked for", every=0)
    engine.observation = UNWELL
    await until(lambda: engine.dropped == 1, "the question is dropped", every=0)
    engine.failure, engine.observation = "", WELL
    await until_ready(judge)
    assert (engine.asked, judge.generations) == (2, {"ok": 1, "failed": 0})


async def test_a_failed_token_is_asked_for_again_after_a_pause(
    engine: OwnEngine, start: Start, clock: HandClock
) -> None:
    engine.failure = "status 500"
    judge = start()
    await until_reason(judge, Reason.GENERATION_FAILED)
    engine.failure = ""
    await looked(engine)
    assert engine.asked == 1
    clock.advance(1)
    await until_ready(judge)
    assert judge.generations == {"ok": 1, "failed": 1}


async def test_a_judge_that_fails_unexpectedly_is_stale_and_recovers(
    engine: OwnEngine, start: Start, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    judge = start()
    await until_ready(judge)
    engine.look_error = RuntimeError("a bug")
    await until(lambda: judge.errors > 1, "looks fail", every=0)
    assert judge.verdict().is_ready  # the last word counts for a while
    clock.advance(2.001)
    assert (judge.verdict().is_ready, judge.verdict().reason) == (False, STALLED)
    engine.look_error = None
    await until_ready(judge)
    assert "judging failed" in caplog.text


async def test_an_unexpected_error_about_a_token_is_counted_told_and_got_over(
    engine: OwnEngine, start: Start, clock: HandClock, caplog: pytest.LogCaptureFixture
) -> None:
    engine.token_error = RuntimeError("a bug")
    judge = start()
    await until_reason(judge, Reason.GENERATION_FAILED)
    assert "RuntimeError in the sidecar" in judge.judgement.message
    assert judge.errors == 1
    assert "a bug" in caplog.text
    engine.token_error = None
    clock.advance(1)
    await until_ready(judge)


async def test_requests_that_do_not_get_on_end_a_readiness(engine: OwnEngine, start: Start, clock: HandClock) -> None:
    engine.page = "running 2\nsteps 7\n"
    judge = start()
    await until_ready(judge)
    clock.advance(120)
    await until_reason(judge, Reason.ENGINE_STALLED)
    engine.page = "running 2\nsteps 8\n"
    clock.advance(5)
    await until_ready(judge)
    assert engine.asked == 2


async def test_a_page_that_does_not_come_is_no_stall(engine: OwnEngine, start: Start, clock: HandClock) -> None:
    engine.page = "running 2\nsteps 7\n"
    judge = start()
    await until_ready(judge)
    engine.page = ""
    clock.advance(1000)
    await looked(engine)
    assert judge.verdict().is_ready


async def test_a_port_that_does_not_answer_makes_its_page_worthless(
    engine: OwnEngine, start: Start, clock: HandClock
) -> None:
    engine.page = "running 2\nsteps 7\n"
    judge = start()
    await until_ready(judge)
    engine.known = None
    clock.advance(1000)
    await looked(engine)
    assert judge.verdict().is_ready
    engine.known = 0
    clock.advance(5)
    await until_reason(judge, Reason.ENGINE_STALLED)


async def test_generations_that_fail_are_tried_by_a_token(engine: OwnEngine, start: Start, clock: HandClock) -> None:
    engine.page = "running 0\nserved 1\nfailed 0\n"
    judge = start()
    await until_ready(judge)
    engine.page, engine.failure = "running 0\nserved 1\nfailed 3\n", "status 500"
    clock.advance(5)
    await until_reason(judge, Reason.GENERATION_FAILED)
    assert engine.asked == 2


async def test_an_idle_engine_is_asked_again_and_one_that_is_silent_then_is_not_ready(
    engine: OwnEngine, start: Start, clock: HandClock
) -> None:
    engine.page = "running 0\nsteps 7\n"
    judge = start()
    await until_ready(judge)
    engine.failure = None
    clock.advance(3)
    await until(lambda: engine.asked == 2, "a canary", every=0)
    engine.page = "running 1\nsteps 7\n"
    await looked(engine)
    clock.advance(4)
    await until_reason(judge, Reason.CANARY_MISSED)
    await until(lambda: engine.dropped == 1, "the question is dropped", every=0)
    engine.failure, engine.page = "", "running 0\nsteps 7\n"
    clock.advance(1.5)
    await until_ready(judge)
    assert judge.generations == {"ok": 2, "failed": 0}


async def test_the_page_is_read_again_before_anybody_is_asked(
    engine: OwnEngine, start: Start, clock: HandClock
) -> None:
    engine.page = "running 0\nsteps 7\n"
    judge = start()
    await until_ready(judge)
    await looked(engine)
    engine.page = "running 0\nsteps 8\n"  # since the last reading a client was served
    clock.advance(3)
    await looked(engine)
    assert engine.asked == 1
    clock.advance(3)
    await until(lambda: engine.asked == 2, "a canary", every=0)


async def test_a_judge_that_ends_leaves_no_question_behind(engine: OwnEngine, start: Start) -> None:
    engine.failure = None
    start()
    # The fixture ends the judge, and counts.
    await until(lambda: engine.asked == 1, "a token is asked for", every=0)
