"""The faces of the sidecar never disagree: ``/ready``, ``/status``, ``/metrics`` and the termination message.

Each case brings an engine and its sidecar into a state, and then every face has to tell the same of it: whether it is
ready, why, since when, in which words. Time passes by hand, so two questions one after the other are asked at one
moment.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient
from tests.parts.sidecar.scripted import HANGS, Reply, ScriptedEngine, error, nodes, scripted_engine

from rayfleet.model.engine import TrafficMetrics
from rayfleet.testing.metric_pages import read_classic
from rayfleet.testing.waiting import until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.settings import EvidenceSettings, SidecarSettings
from rayfleet_sidecar.testing import HandClock

LIMIT_SECONDS = 30
SHOWN = {"Authorization": "Bearer open-sesame"}


class Site:
    """A sidecar beside an engine by script, and what its faces say."""

    def __init__(
        self, engine: ScriptedEngine, client: TestClient[web.Request, web.Application], clock: HandClock, folder: Path
    ) -> None:
        self.engine, self.client, self.clock = engine, client, clock
        self._message = folder / "message"

    async def tell(self, path: str) -> None:
        async with self.client.post(path, headers=SHOWN) as answer:
            assert answer.status == 200

    async def ready(self) -> dict[str, Any]:
        async with self.client.get("/ready") as answer:
            content: dict[str, Any] = await answer.json()
            assert (answer.status == 200) is content["ready"]
        return content

    async def until_reason(self, reason: str) -> None:
        await until(self.ready, reason, LIMIT_SECONDS, holds=lambda content: content["reason"] == reason)

    async def status(self) -> dict[str, Any]:
        async with self.client.get("/status") as answer:
            content: dict[str, Any] = await answer.json()
        return content

    async def series(self) -> dict[str, float]:
        """Return the sidecar's own series by name, those of reasons by the reason."""
        async with self.client.get("/metrics") as answer:
            families = read_classic(await answer.text())
        samples = [sample for family in families for sample in family.samples]
        return {
            sample.labels.get("reason", sample.name): sample.value
            for sample in samples
            if sample.name.startswith("rayfleet_sidecar_")
        }

    async def termination(self) -> str:
        return await until(self._message.read_text, "evidence", LIMIT_SECONDS, holds=lambda text: "evidence: " in text)


async def is_ready(site: Site) -> None:
    await site.until_reason("Ready")
    site.clock.advance(1)


async def drains(site: Site) -> None:
    await site.until_reason("Ready")
    site.clock.advance(1)
    await site.tell("/drain")
    site.clock.advance(1)


async def sleeps(site: Site) -> None:
    await site.until_reason("Ready")
    site.clock.advance(1)
    await site.tell("/sleep")
    site.clock.advance(1)


async def fails_while_it_drains(site: Site) -> None:
    await drains(site)
    site.engine.replies["/health"] = error(503, "EngineDeadError")


async def loses_a_node_while_it_sleeps(site: Site) -> None:
    await sleeps(site)
    site.engine.replies["/nodes"] = nodes("a", dead=("b",))


async def judge_stands_still(site: Site) -> None:
    await site.until_reason("Ready")
    await _hang(site)


async def judge_stands_still_while_it_drains(site: Site) -> None:
    await drains(site)
    await _hang(site)


async def loads_too_long(site: Site) -> None:
    await site.until_reason("EngineLoading")
    site.clock.advance(15 * 60 + 1)
    await until(site.ready, "it is said", LIMIT_SECONDS, holds=lambda content: "stalled in stage" in content["message"])


async def _hang(site: Site) -> None:
    """Let a look begin that does not end, and time pass meanwhile."""

    def questions() -> int:
        return site.engine.count("/health") + site.engine.count("/nodes")

    asked = questions()
    site.engine.replies.update({"/health": HANGS, "/nodes": HANGS})
    await until(lambda: questions() > asked, "a look that hangs", LIMIT_SECONDS)  # one of both may be answered by now
    site.clock.advance(3)


Deed = Callable[[Site], Awaitable[None]]
LOADING = {"/health": error(503, "Loading model")}
CASES: dict[str, tuple[Deed, str, bool, dict[str, Reply]]] = {
    # what happens, the reason then, whether a ready engine was lost, what the engine says from the start
    "is ready": (is_ready, "Ready", False, {}),
    "drains": (drains, "EngineDraining", False, {}),
    "sleeps": (sleeps, "EngineAsleep", False, {}),
    "fails while it drains": (fails_while_it_drains, "EngineFailing", True, {}),
    "loses a node while it sleeps": (loses_a_node_while_it_sleeps, "RayNodesMissing", True, {}),
    "the judge stands still": (judge_stands_still, "JudgeStalled", False, {}),
    "the judge stands still while it drains": (judge_stands_still_while_it_drains, "JudgeStalled", False, {}),
    "loads too long": (loads_too_long, "EngineLoading", False, LOADING),
}


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine() as running:
        yield running


async def opened(engine: ScriptedEngine, aiohttp_client: AiohttpClient, folder: Path) -> Site:
    (folder / "message").touch()
    clock = HandClock()
    settings = SidecarSettings(
        engine_url=engine.url,
        model="m",
        rules=ReadinessRules(expected_nodes=2),
        nodes_url=f"{engine.url}/nodes",
        judge_period=timedelta(milliseconds=5),
        answer_limit=timedelta(seconds=60),
        traffic=TrafficMetrics(running=("running",), steps=("steps_total",)),
        sleep_path="/sleep",
        wake_path="/wake",
        token="open-sesame",
        evidence=EvidenceSettings(folder=str(folder / "kept"), termination_log=str(folder / "message"), logs=""),
    )
    return Site(engine, await aiohttp_client(make_app(settings, clock)), clock, folder)


@pytest.mark.parametrize("name", CASES)
async def test_every_face_tells_the_same(
    name: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient, tmp_path: Path
) -> None:
    happens, reason, is_lost, replies = CASES[name]
    engine.replies.update(replies)
    site = await opened(engine, aiohttp_client, tmp_path)
    await happens(site)
    await site.until_reason(reason)
    ready, status, series = await site.ready(), await site.status(), await site.series()
    shared = ("ready", "reason", "message", "since", "engine")
    assert {name: status[name] for name in shared} == {name: ready[name] for name in shared}
    assert series["rayfleet_sidecar_engine_ready"] == ready["ready"] == (reason == "Ready")
    assert [name for name, value in series.items() if value and "_" not in name] == [reason]
    passed = site.clock().date - datetime.fromisoformat(ready["since"])
    assert series["rayfleet_sidecar_state_seconds"] == passed.total_seconds()
    if is_lost:
        assert (await site.termination()).splitlines()[0] == f"{reason}: {ready['message']}"
