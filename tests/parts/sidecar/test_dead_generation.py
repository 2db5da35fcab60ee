"""An engine with a healthy port and a dead generation never becomes ready, and the fleet's condition says why.

vLLM over two pipeline stages with ``--enforce-eager`` answers ``/health`` with 200 while no token ever comes. Its
sidecar is asked over HTTP as the controllers ask, and what it says goes through both planners. Time passes by hand.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient
from tests.parts.sidecar.scripted import CLOSES, HANGS, Reply, ScriptedEngine, error, said, scripted_engine

from rayfleet.controllers.sidecar_looks import LookSettings, asking
from rayfleet.controllers.sidecar_questions import refusal_in, words_after
from rayfleet.objects.conditions import condition_of
from rayfleet.planning.observed import SidecarWords
from rayfleet.testing import kubelet
from rayfleet.testing.good_fleet import good_fleet
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.waiting import until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.keys import JUDGE
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

LIMIT_SECONDS = 30
DEAD = {
    "hangs": (HANGS, "no token within"),
    "answers 500": (error(500, "EngineDeadError"), "EngineDeadError"),
    "closes": (CLOSES, "failed"),
    "answers 200 with an error": (error(200, "the engine is dead"), "without a choice"),
    "answers 200 with nothing": (said({"choices": []}), "without a choice"),
}
Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine() as running:
        yield running


async def opened(engine: ScriptedEngine, aiohttp_client: AiohttpClient, clock: HandClock) -> Client:
    settings = SidecarSettings(
        engine_url=engine.url,
        model="m",
        rules=ReadinessRules(expected_nodes=2),
        nodes_url=f"{engine.url}/nodes",
        judge_period=timedelta(milliseconds=5),
        answer_limit=timedelta(seconds=20),
        token_limit=timedelta(milliseconds=100),
    )
    return await aiohttp_client(make_app(settings, clock))


async def failed_again(client: Client, times: int) -> None:
    """Wait until so many more generations have failed, and the judge has looked since."""
    judge = client.app[JUDGE]
    count = judge.generations["failed"] + times
    await until(lambda: judge.generations["failed"] >= count, "a failed generation", LIMIT_SECONDS)
    seen = judge.observation
    await until(lambda: judge.observation is not seen, "a look", LIMIT_SECONDS)


def fleet_beside(said: SidecarWords) -> PlannerWorld:
    """Return a world whose one head runs, is not ready, and has a sidecar that says that."""
    world = PlannerWorld()
    raw = good_fleet({"metadata.namespace": "default", "spec.replicas": 1})
    world.apply_fleet(raw)
    world.passes()
    (name,) = world.names()
    (cluster,) = world.clusters()
    status = kubelet.SITUATIONS["loading"](world.now, kubelet.SPEC_CONTAINERS)
    world.show_pod(name, kubelet.RayPod(name=said.pod, ray_cluster=name), status)
    worker = kubelet.RayPod(name="worker", ray_cluster=name, group="a", containers=("ray",))
    world.show_pod(name, worker, kubelet.ready(world.now, ("ray",)))
    world.words[cluster.meta.uid] = said
    for _ in range(3):
        world.passes()
    return world


@pytest.mark.parametrize("name", DEAD)
async def test_it_is_never_ready_and_the_fleet_says_why(
    name: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    reply, words = DEAD[name]
    engine.replies["/v1/completions"] = reply
    clock = HandClock()
    client = await opened(engine, aiohttp_client, clock)
    told: set[tuple[int, str]] = set()
    for _ in range(6):  # an hour
        await failed_again(client, 1)
        answer = await client.get("/ready")
        told.add((answer.status, (await answer.json())["reason"]))
        clock.advance(600)
    assert {status for status, _ in told} == {503}
    assert "Ready" not in {reason for _, reason in told}
    await failed_again(client, 1)
    async with asking(LookSettings(patience=timedelta(seconds=LIMIT_SECONDS))) as ask:
        answered = await ask("127.0.0.1", client.port or 0, "/ready")
    said_now = words_after(SidecarWords(pod="head"), refusal_in(answered), PlannerWorld().now)
    assert said_now.reason == "GenerationFailed"
    ready = condition_of(fleet_beside(said_now).fleet, "Ready")
    assert ready is not None
    assert ready["status"] == "False"
    assert "GenerationFailed" in ready["message"]
    assert words in ready["message"]


async def test_it_is_ready_when_a_token_comes_after_all(engine: ScriptedEngine, aiohttp_client: AiohttpClient) -> None:
    """What is held against it is the generation alone."""
    engine.replies["/v1/completions"] = error(500, "EngineDeadError")
    clock = HandClock()
    client = await opened(engine, aiohttp_client, clock)
    await failed_again(client, 1)
    engine.replies["/v1/completions"] = Reply(body=b'{"choices": [{"text": "x"}]}')
    clock.advance(600)

    async def is_ready() -> bool:
        return (await client.get("/ready")).status == 200

    await until(is_ready, "ready", LIMIT_SECONDS)
