"""The sidecar beside an engine that has faults (rayfleet_sidecar)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Protocol

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpClient

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.clock import Clock, system_clock
from rayfleet_sidecar.observation import ReadinessRules
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

Client = TestClient[web.Request, web.Application]
NOBODY = "http://127.0.0.1:9"
# Where an answer never comes; elsewhere a busy machine has all the time that it needs.
SOON = timedelta(seconds=1)


class OpenSidecar(Protocol):
    """Starts a sidecar beside the engine; ``changes`` are to its settings."""

    def __call__(self, clock: Clock = system_clock, **changes: Any) -> Awaitable[Client]: ...


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with fake_engine() as running:
        yield running


@pytest.fixture
def sidecar(engine: FakeEngine, aiohttp_client: AiohttpClient) -> OpenSidecar:
    async def opened(clock: Clock = system_clock, **changes: Any) -> Client:
        plain: dict[str, Any] = {
            "engine": "fake",
            "engine_url": engine.url,
            "model": engine.model,
            "rules": ReadinessRules(expected_nodes=len(engine.alive_nodes), canary_every=timedelta()),
            "nodes_url": f"{engine.url}/nodes",
            "judge_period": timedelta(milliseconds=20),
            "answer_limit": timedelta(seconds=LIMIT_SECONDS),
        }
        return await aiohttp_client(make_app(SidecarSettings(**(plain | changes)), clock))

    return opened


async def ready_state(client: Client, is_expected: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
    """Return ``/ready``'s answer once it is as expected."""

    async def look() -> tuple[int, dict[str, Any]]:
        response = await client.get("/ready")
        return response.status, await response.json()

    _, content = await until(look, "/ready as expected", holds=lambda answer: is_expected(*answer), every=0)
    return content


def _reason(reason: str) -> Callable[[int, dict[str, Any]], bool]:
    return lambda status, content: (status == 200) == (reason == "Ready") and content["reason"] == reason


async def test_ready_comes_after_one_token_and_says_so(engine: FakeEngine, sidecar: OpenSidecar) -> None:
    engine.alive_nodes = ("127.0.0.2", "127.0.0.3")
    content = await ready_state(await sidecar(), _reason("Ready"))
    assert content["ready"] is True
    assert content["status"] == "ready"
    assert content["engine"] == "fake"
    assert engine.requests == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault.LOADING, "EngineLoading"),
        (Fault.BREAKS, "GenerationFailed"),
        (Fault.HANGS, "Warming"),
        (Fault.FROZEN, "EngineStarting"),
    ],
)
async def test_an_engine_that_cannot_generate_is_not_ready_whatever_its_health_says(
    fault: Fault, reason: str, engine: FakeEngine, sidecar: OpenSidecar
) -> None:
    engine.fault = fault
    limits: dict[str, Any] = {"answer_limit": SOON} if fault is Fault.FROZEN else {}
    await ready_state(await sidecar(**limits), _reason(reason))


async def test_a_fault_turns_ready_into_503_and_its_end_wants_a_new_token(
    engine: FakeEngine, sidecar: OpenSidecar
) -> None:
    client = await sidecar()
    await ready_state(client, _reason("Ready"))
    engine.fault = Fault.UNWELL
    await ready_state(client, _reason("EngineFailing"))
    engine.fault = Fault.NONE
    await ready_state(client, _reason("Ready"))
    assert engine.requests == 2


async def test_a_lost_ray_node_turns_ready_into_503(engine: FakeEngine, sidecar: OpenSidecar) -> None:
    engine.alive_nodes = ("a", "b")
    client = await sidecar()
    await ready_state(client, _reason("Ready"))
    engine.alive_nodes = ("a",)
    content = await ready_state(client, _reason("RayNodesMissing"))
    assert content["message"] == "1/2 Ray nodes are alive"


async def test_a_generation_without_end_has_a_limit(engine: FakeEngine, sidecar: OpenSidecar) -> None:
    engine.fault = Fault.HANGS
    client = await sidecar(token_limit=timedelta(milliseconds=50))
    content = await ready_state(client, _reason("GenerationFailed"))
    assert "no token within" in content["message"]


async def test_nothing_listening_is_starting_not_an_error(sidecar: OpenSidecar) -> None:
    client = await sidecar(engine_url=NOBODY)
    content = await ready_state(client, lambda _, content: "cannot connect" in content["message"])
    assert content["reason"] == "EngineStarting"
    assert content["message"].endswith(": cannot connect to 127.0.0.1:9: Connection refused")
    assert content["ready"] is False
    assert content["status"] == "not ready"
    assert await (await client.get("/healthz")).json() == {"status": "ok"}


async def test_metrics_are_its_own_and_the_engines(sidecar: OpenSidecar) -> None:
    client = await sidecar()
    await ready_state(client, _reason("Ready"))
    page = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_ready{engine="fake"} 1\n' in page
    assert 'rayfleet_sidecar_engine_page_up{engine="fake"} 1\n' in page
    assert "\nfake:requests_total 1\n" in page
    names = {family.name for family in text_string_to_metric_families(page)}
    assert {"rayfleet_sidecar_generations", "fake:requests"} <= names


async def test_metrics_stay_when_the_engine_is_gone(sidecar: OpenSidecar) -> None:
    client = await sidecar(engine_url=NOBODY)
    page = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_ready{engine="fake"} 0\n' in page


async def test_a_frozen_engine_turns_ready_into_503_and_ready_itself_is_answered_at_once(
    engine: FakeEngine, sidecar: OpenSidecar
) -> None:
    client = await sidecar(answer_limit=SOON)
    await ready_state(client, _reason("Ready"))
    engine.fault = Fault.FROZEN
    content = await ready_state(client, _reason("EngineUnreachable"))
    assert "no answer within 1 s" in content["message"]
    engine.fault = Fault.NONE
    await ready_state(client, _reason("Ready"))
    assert engine.requests == 2


async def test_a_refusal_after_being_ready_is_held_however_often_the_engine_is_looked_at(
    engine: FakeEngine, sidecar: OpenSidecar
) -> None:
    clock = HandClock()
    client = await sidecar(clock)
    await ready_state(client, _reason("Ready"))  # the first time nothing is held
    engine.fault = Fault.UNWELL
    await ready_state(client, _reason("EngineFailing"))
    engine.fault = Fault.NONE
    await ready_state(client, _reason("Warming"))
    clock.advance(1.499)
    tenth_look = engine.health_checks + 11  # the first of eleven may have begun before time passed
    await until(lambda: engine.health_checks >= tenth_look, "ten looks", every=0)
    assert (await client.get("/ready")).status == 503
    assert engine.requests == 1
    clock.advance(0.001)
    await ready_state(client, _reason("Ready"))
    assert engine.requests == 2


async def test_a_token_asked_for_before_a_fault_proves_nothing_after_it(
    engine: FakeEngine, sidecar: OpenSidecar
) -> None:
    engine.fault = Fault.HANGS
    client = await sidecar()
    await ready_state(client, _reason("Warming"))
    await until(lambda: engine.requests == 1, "a token is asked for", every=0)
    engine.fault = Fault.UNWELL
    await ready_state(client, _reason("EngineLoading"))
    await until(lambda: engine.aborted == 1, "the question is dropped", every=0)
    engine.fault = Fault.NONE
    await ready_state(client, _reason("Ready"))
    assert engine.requests == 2


async def test_an_engine_behind_a_key_is_asked_with_it(engine: FakeEngine, sidecar: OpenSidecar) -> None:
    engine.api_key = "k3y"
    await ready_state(await sidecar(api_key="k3y"), _reason("Ready"))
    content = await ready_state(await sidecar(), _reason("GenerationFailed"))
    assert content["message"] == "the one-token generation failed: status 401: Unauthorized"


async def test_an_answer_without_end_is_not_read_to_its_end(engine: FakeEngine, sidecar: OpenSidecar) -> None:
    engine.page = "fake:a 1\n" * 100_000
    client = await sidecar(most_page_bytes=1000)
    text = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_page_up{engine="fake"} 0\n' in text
    assert 'rayfleet_sidecar_engine_page_state{engine="fake",state="too_large"} 1\n' in text
    assert "fake:a" not in text
