"""Ten minutes of an engine that is full, or reads long prompts: not one verdict against it. Time passes by hand.

tests/engines/test_saturation.py does the same to real vLLM, whose metrics know nothing of a request until a first step
with it has ended: there its port does.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient

from rayfleet.model.engine import TrafficMetrics
from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.keys import JUDGE
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

TEN_MINUTES = 600
LOOK_SECONDS = 5.0  # as often as the engine's page is read
STEPS = "fake:steps_total"
TRAFFIC = TrafficMetrics(running=("fake:requests_running",), steps=(STEPS,))
Client = TestClient[web.Request, web.Application]


@dataclass(slots=True)
class Watched:
    """An engine with clients, and the sidecar beside it."""

    engine: FakeEngine
    client: Client
    clock: HandClock

    async def until_ready(self) -> None:
        """Wait for the first token."""
        await until(lambda: self.client.app[JUDGE].verdict().is_ready, "ready")

    async def until_canary(self) -> None:
        """Let time pass until the sidecar asks the idle engine."""
        count = self.engine.requests
        while self.engine.requests == count:
            await self.pass_time()

    async def pass_time(self) -> None:
        """Let five seconds pass; the judge has looked since."""
        judge = self.client.app[JUDGE]
        self.clock.advance(LOOK_SECONDS)
        for _ in range(2):  # the first may have begun before
            await self._look()
        response = await self.client.get("/ready")
        assert (response.status, judge.transitions) == (200, 2), await response.text()

    async def _look(self) -> None:
        judge = self.client.app[JUDGE]
        seen = judge.observation
        await until(lambda: judge.observation is not seen, "a look", every=0)


@pytest.fixture
async def watched(aiohttp_client: AiohttpClient) -> AsyncIterator[Watched]:
    async with fake_engine() as engine:
        clock = HandClock()
        settings = SidecarSettings(
            engine="fake",
            engine_url=engine.url,
            model=engine.model,
            judge_period=timedelta(milliseconds=1),
            answer_limit=timedelta(seconds=LIMIT_SECONDS),
            traffic=TRAFFIC,
            load_path="/load#server_load",
        )
        engine.page = page(0)
        yield Watched(engine, await aiohttp_client(make_app(settings, clock)), clock)


@asynccontextmanager
async def clients(engine: FakeEngine, count: int) -> AsyncIterator[None]:
    """Have requests in the engine that do not end before this does."""
    engine.fault = Fault.HANGS
    body = {"model": engine.model, "prompt": "x"}
    before = engine.running
    async with aiohttp.ClientSession() as session:
        asked = [asyncio.create_task(session.post(f"{engine.url}/v1/completions", json=body)) for _ in range(count)]
        await until(lambda: engine.running == before + count, "the requests run", every=0)
        yield
        engine.fault = Fault.NONE
        engine.release()
        assert [answer.status for answer in await asyncio.gather(*asked)] == [200] * count


def page(steps: int) -> str:
    return f"# TYPE {STEPS.removesuffix('_total')} counter\n{STEPS} {steps}\n"


# By what goes on: the requests in the engine, and its count of steps after so many seconds.
COURSES: dict[str, tuple[int, Callable[[float], int]]] = {
    "it is full and gets on": (64, int),
    "one prompt whose pieces take 110 s each": (1, lambda seconds: int(seconds // 110)),
    "it is full, and a step takes 110 s": (64, lambda seconds: int(seconds // 110)),
}


@pytest.mark.parametrize("name", COURSES)
@pytest.mark.parametrize("is_canary_first", [False, True])
@pytest.mark.parametrize("is_page_late", [False, True])
async def test_ten_minutes_of_work_bring_no_verdict(
    name: str, is_canary_first: bool, is_page_late: bool, watched: Watched
) -> None:
    """Also when the work comes upon a canary that is under way, and so is behind it; and where the page knows neither.

    A canary that is sent meanwhile waits as the others do.
    """
    count, steps = COURSES[name]
    watched.engine.is_page_late = is_page_late
    await watched.until_ready()
    if is_canary_first:
        watched.engine.fault = Fault.HANGS
        await watched.until_canary()
    async with clients(watched.engine, count):
        for passed in range(0, TEN_MINUTES, int(LOOK_SECONDS)):
            watched.engine.page = page(steps(passed))
            await watched.pass_time()
    assert watched.client.app[JUDGE].generations["failed"] == 0
