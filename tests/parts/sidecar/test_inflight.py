"""The engine's requests as the sidecar counts them, and who waits for their end: preStop hooks, run by a real bash.

The sidecar is the real one, beside an engine of the test kit.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rayfleet.model.engine import TrafficMetrics
from rayfleet.model.json import Json
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.planning.drain_hooks import head_hook, worker_hook
from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.clock import Clock, system_clock
from rayfleet_sidecar.main import serve
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

HOST = f"127.78.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"  # tests run side by side, and the port is the same
URL = f"http://{HOST}:{SIDECAR_PORT}"
TRAFFIC = TrafficMetrics(running=("fake:requests_running",), steps=("fake:requests_total",))


@dataclass(slots=True)
class Site:
    """An engine and whoever asks it."""

    engine: FakeEngine
    session: aiohttp.ClientSession
    stack: AsyncExitStack

    def settings(self, **changes: Any) -> SidecarSettings:
        plain: dict[str, Any] = {
            "host": HOST,
            "engine_url": self.engine.url,
            "model": self.engine.model,
            "judge_period": timedelta(milliseconds=20),
            "answer_limit": timedelta(seconds=LIMIT_SECONDS),
            "traffic": TRAFFIC,
            "traffic_period": timedelta(0),
            "rules": ReadinessRules(canary_every=timedelta()),
        }
        return SidecarSettings(**(plain | changes))

    async def open(self, clock: Clock = system_clock, **changes: Any) -> None:
        runner = web.AppRunner(make_app(self.settings(**changes), clock), access_log=None, shutdown_timeout=1)
        await runner.setup()
        self.stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, HOST, SIDECAR_PORT).start()
        await self.until_ready()

    async def until_ready(self) -> None:
        await until(lambda: self.get("/ready"), "ready", holds=lambda answer: answer[0] == 200)

    async def get(self, path: str) -> tuple[int, Json]:
        try:
            async with self.session.get(f"{URL}{path}") as answer:
                return answer.status, await answer.json()
        except aiohttp.ClientError:
            return 0, {}

    @asynccontextmanager
    async def requests(self, count: int) -> AsyncIterator[None]:
        """Have that many requests in the engine that are not answered."""
        self.engine.fault = Fault.HANGS
        body = {"model": self.engine.model, "prompt": "Hello"}

        async def ask() -> None:
            async with self.session.post(f"{self.engine.url}/v1/completions", json=body) as answer:
                await answer.read()

        tasks = [asyncio.create_task(ask()) for _ in range(count)]
        try:
            await until(lambda: self.engine.running == count, "the engine has the requests", every=0)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await until(lambda: self.engine.running == 0, "the engine has none", every=0)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(fake_engine())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Site(engine, session, stack)


async def test_the_requests_are_those_of_this_moment(site: Site) -> None:
    await site.open(traffic_period=timedelta(hours=1))
    async with site.requests(3):
        status, content = await site.get("/inflight")
        assert (status, content["in_flight"]) == (200, 3)
        assert await site.get("/inflight") == (status, content), "since is when they came to be as many"
        async with site.session.get(f"{URL}/metrics") as answer:
            assert 'rayfleet_requests_in_flight{engine="engine"} 3\n' in await answer.text()
    status, later = await site.get("/inflight")
    assert (status, later["in_flight"], later["since"] > content["since"]) == (200, 0, True)


async def test_requests_that_the_engines_port_alone_knows_are_waited_for_too(site: Site) -> None:
    site.engine.is_page_late = True
    await site.open(load_path="/load#server_load")
    async with site.requests(3):
        status, content = await site.get("/inflight")
        assert (status, content["in_flight"]) == (200, 3)
        async with site.session.get(f"{URL}/metrics") as answer:
            assert 'rayfleet_requests_in_flight{engine="engine"} 3\n' in await answer.text()
    status, content = await site.get("/inflight")
    assert (status, content["in_flight"]) == (200, 0)


async def test_an_engine_that_does_not_answer_tells_no_number(site: Site) -> None:
    await site.open(answer_limit=timedelta(seconds=0.5))
    site.engine.fault = Fault.FROZEN
    status, content = await site.get("/inflight")
    assert (status, content["in_flight"], content["reason"]) == (503, None, "MetricsMissing")


@pytest.mark.parametrize(
    ("traffic", "reason"),
    [(TrafficMetrics(), "MetricsUnknown"), (TrafficMetrics(running=("other:running",)), "MetricsMissing")],
)
async def test_metrics_that_do_not_count_requests_tell_no_number(
    site: Site, traffic: TrafficMetrics, reason: str
) -> None:
    await site.open(traffic=traffic)
    status, content = await site.get("/inflight")
    assert (status, content["in_flight"], content["reason"]) == (503, None, reason)
    async with site.session.get(f"{URL}/metrics") as answer:
        assert "rayfleet_requests_in_flight" not in await answer.text()


async def test_requests_that_are_stuck_are_no_number_to_wait_for(site: Site) -> None:
    clock = HandClock()
    await site.open(clock, rules=ReadinessRules(stale_after=timedelta(days=1)))
    async with site.requests(1):
        await until(lambda: site.get("/inflight"), "it is counted", holds=lambda got: got[0] == 200)
        clock.advance(120)
        status, content = await until(lambda: site.get("/inflight"), "it is stuck", holds=lambda got: got[0] == 503)
        assert (status, content["reason"]) == (503, "EngineStalled")
        assert (await site.get("/ready"))[1]["reason"] == "EngineStalled"


async def test_a_sidecar_that_is_to_end_serves_while_the_engine_does(site: Site) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(serve(site.settings(linger=timedelta(hours=1)), stop))
    await site.until_ready()
    stop.set()
    looks = site.engine.health_checks + 10
    await until(lambda: site.engine.health_checks > looks, "it goes on looking", every=0)
    assert (await site.get("/inflight"))[0] == 200
    await site.stack.aclose()  # the engine ends
    async with asyncio.timeout(LIMIT_SECONDS):
        await task


async def test_a_sidecar_that_may_not_linger_ends_at_once(site: Site) -> None:
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(LIMIT_SECONDS):
        await serve(site.settings(), stop)


Hook = Callable[[int], Json]
HOOKS = [pytest.param(head_hook, id="head"), pytest.param(worker_hook, id="worker")]


@asynccontextmanager
async def running(hook: Hook, drain_seconds: int) -> AsyncIterator[asyncio.subprocess.Process]:
    words = hook(drain_seconds)["preStop"]["exec"]["command"]
    environment = {"PATH": "/usr/bin:/bin", "POD_IP": HOST, "FQ_RAY_IP": HOST}
    process = await asyncio.create_subprocess_exec(*words, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ends(process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await process.wait()


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_hook_waits_for_the_requests_and_no_longer(site: Site, hook: Hook) -> None:
    await site.open(traffic_period=timedelta(hours=1))  # so that all who read the engine's metrics are the hook
    async with running(hook, 3600) as process:
        async with site.requests(1):
            looks = site.engine.page_reads + 5
            await until(lambda: site.engine.page_reads >= looks, "five questions")
            assert process.returncode is None
        await ends(process)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("drain_seconds", [0, 1])
async def test_a_hook_ends_at_its_limit(site: Site, hook: Hook, drain_seconds: int) -> None:
    await site.open()
    async with running(hook, drain_seconds) as process, site.requests(1):
        await ends(process)


@pytest.mark.parametrize("hook", HOOKS)
async def test_a_hook_waits_for_nobody_when_nobody_can_tell(site: Site, hook: Hook) -> None:
    async with running(hook, 3600) as process:  # no sidecar: the head is gone
        await ends(process)
