"""The table of faults over real sockets: what an engine does is what ``/ready``, ``/status`` and ``/metrics`` say.

Time that matters to a verdict passes by hand; only answers that never come take the fraction of a second that is their
limit here.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpClient
from tests.parts.sidecar.fault_cases import CASES, CHAT, HEALTH, NODES, Case, Step
from tests.parts.sidecar.scripted import HANGS, TOKEN, Reply, ScriptedEngine, error, nodes, scripted_engine

from rayfleet.model.engine import TrafficMetrics
from rayfleet.testing.waiting import until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.keys import JUDGE
from rayfleet_sidecar.metrics.engine_page import PageState
from rayfleet_sidecar.metrics.own_families import REASONS
from rayfleet_sidecar.observation import Observation, ReadinessRules
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

TRAFFIC = TrafficMetrics(
    running=("running",), steps=("steps_total",), served=("served_total",), failed=("failed_total",)
)


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine() as running:
        yield running


@dataclass(slots=True)
class Site:
    """A sidecar beside the engine."""

    engine: ScriptedEngine
    client: TestClient[web.Request, web.Application]
    clock: HandClock

    async def looked(self, times: int = 3) -> None:
        """Wait until so many looks have ended; the first may have begun before."""
        for _ in range(times):
            await self._look_after(self.client.app[JUDGE].observation)

    async def _look_after(self, seen: Observation | None) -> None:
        await until(lambda: self.client.app[JUDGE].observation is not seen, "a look", every=0.002)

    async def ready(self) -> dict[str, Any]:
        answer = await self.client.get("/ready")
        content: dict[str, Any] = await answer.json()
        assert (answer.status == 200) is content["ready"] is (content["reason"] == "Ready")
        return content

    async def until_reason(self, reason: str) -> dict[str, Any]:
        return await until(self.ready, f"the reason {reason}", holds=lambda content: content["reason"] == reason)

    async def take(self, step: Step) -> None:
        self.engine.replies.update(step.replies)
        if step.is_gone:
            await self.engine.close()
        if step.replies and step.seconds:
            await self.looked()
        self.clock.advance(step.seconds)
        await self.looked()


async def opened(engine: ScriptedEngine, aiohttp_client: AiohttpClient, **changes: Any) -> Site:
    plain: dict[str, Any] = {
        "engine_url": engine.url,
        "model": "m",
        "rules": ReadinessRules(expected_nodes=2),
        "nodes_url": f"{engine.url}/nodes",
        "judge_period": timedelta(milliseconds=5),
        "answer_limit": timedelta(seconds=0.5),
        "traffic": TRAFFIC,
        "load_path": "/load#n",
    }
    clock = HandClock()
    return Site(engine, await aiohttp_client(make_app(SidecarSettings(**(plain | changes)), clock)), clock)


@pytest.mark.parametrize("name", CASES)
async def test_each_fault_has_its_words_on_every_page(
    name: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    case = CASES[name]
    engine.replies.update(case.replies)
    site = await opened(engine, aiohttp_client, **case.limits, **case.settings)
    if case.steps:
        await site.until_reason("Ready")
        for step in case.steps:
            await site.take(step)
    content = await site.until_reason(case.reason)
    await site.looked()
    content = await site.until_reason(case.reason)
    assert case.words in content["message"]
    status = await (await site.client.get("/status")).json()
    assert (status["reason"], status["stage"]) == (case.reason, case.stage)
    checks = {check["name"]: check for check in status["checks"]}
    assert list(checks) == ["RayNodes", "Health", "Generation", "Progress"]
    assert tuple(check for check in checks if checks[check]["passed"] is False) == case.failed
    assert all(check["reason"] and check["message"] and check["since"] for check in checks.values())
    assert await own_series(site) == expected_series(case, status, site.clock().date)
    assert await (await site.client.get("/healthz")).json() == {"status": "ok"}


async def own_series(site: Site) -> dict[tuple[str, ...], float]:
    """Return what ``/metrics`` says of the judge, the page and the requests, by names and labels but the engine's."""
    families = text_string_to_metric_families(await (await site.client.get("/metrics")).text())
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "engine")): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith(("rayfleet_sidecar_", "rayfleet_requests_"))
        and sample.name not in {"rayfleet_sidecar_engine_page_bytes", "rayfleet_sidecar_engine_page_seconds"}
    }


def expected_series(case: Case, status: dict[str, Any], now: datetime) -> dict[tuple[str, ...], float]:
    """Return what ``/metrics`` has to say of a case, whose counters are those of ``/status``."""
    ours = "rayfleet_sidecar_"
    return {
        (f"{ours}engine_ready",): case.reason == "Ready",
        **{(f"{ours}engine_state", reason): reason == case.reason for reason in REASONS},
        (f"{ours}state_seconds",): (now - datetime.fromisoformat(status["since"])).total_seconds(),
        (f"{ours}transitions_total",): status["transitions"],
        (f"{ours}judge_errors_total",): status["judge_errors"],
        **{(f"{ours}generations_total", result): count for result, count in status["generations"].items()},
        (f"{ours}engine_page_up",): case.page is PageState.OK,
        **{(f"{ours}engine_page_state", state): state is case.page for state in PageState},
        (f"{ours}engine_page_broken_lines",): case.page is PageState.UNREADABLE,
        **({("rayfleet_requests_in_flight",): case.in_flight} if case.in_flight is not None else {}),
    }


async def test_a_stage_that_takes_too_long_is_named(engine: ScriptedEngine, aiohttp_client: AiohttpClient) -> None:
    engine.replies[HEALTH] = error(503, "Loading model")
    site = await opened(engine, aiohttp_client)
    await site.until_reason("EngineLoading")
    site.clock.advance(15 * 60 + 1)
    await site.looked()
    words = "the engine is loading: Loading model (stalled in stage EngineLoad, which should be over in 15 min)"
    assert (await site.ready())["message"] == words
    assert (await (await site.client.get("/status")).json())["stalled_stage"] == "EngineLoad"


async def test_the_stages_of_a_start_are_told_in_their_order_and_anew_after_a_loss(
    engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    engine.replies.update({NODES: nodes("a"), HEALTH: HANGS})
    site = await opened(engine, aiohttp_client)
    for seconds, reason, replies in (
        (10, "RayNodesMissing", {NODES: nodes("a", "b"), HEALTH: error(503, "Loading model")}),
        (20, "EngineLoading", {HEALTH: Reply(), CHAT: HANGS}),
        (40, "Warming", {HEALTH: HANGS}),
        (1, "EngineUnreachable", {HEALTH: Reply(), CHAT: TOKEN}),
    ):
        await site.until_reason(reason)
        site.clock.advance(seconds)
        engine.replies.update(replies)
    await site.until_reason("Ready")
    status = await (await site.client.get("/status")).json()
    told = [(stage["name"], stage["seconds"]) for stage in status["stages"] if stage["seconds"]]
    assert told == [("RayNodes", 10), ("EngineLoad", 20), ("FirstToken", 40), ("EngineStart", 1)]
    assert (status["stage"], all(stage["is_over"] for stage in status["stages"])) == (None, True)
    await engine.close()
    await site.until_reason("EngineUnreachable")
    status = await (await site.client.get("/status")).json()
    assert [stage["name"] for stage in status["stages"]] == [status["stage"]] == ["EngineStart"]
