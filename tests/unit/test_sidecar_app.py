"""The sidecar beside an engine that has faults (rayfleet_sidecar)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rayfleet.model.errors import SettingsError
from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.pages import merged_page
from rayfleet_sidecar.settings import SidecarSettings, read_settings

Client = TestClient[web.Request, web.Application]
LIMIT_SECONDS = 10


@asynccontextmanager
async def sidecar(engine: FakeEngine, **changes: Any) -> AsyncIterator[Client]:
    settings = SidecarSettings(
        engine="fake",
        engine_url=engine.url,
        model=engine.model,
        expected_nodes=len(engine.alive_nodes),
        nodes_url=f"{engine.url}/nodes",
        judge_period=timedelta(milliseconds=20),
        answer_limit=timedelta(milliseconds=300),
        **changes,
    )
    async with TestClient(TestServer(make_app(settings))) as client:
        yield client


async def ready_state(client: Client, is_wanted: Callable[[int, dict[str, Any]], bool]) -> dict[str, Any]:
    """Return ``/ready``'s answer once it is as wanted."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            response = await client.get("/ready")
            content = await response.json()
            if is_wanted(response.status, content):
                return dict(content)


def _reason(reason: str) -> Callable[[int, dict[str, Any]], bool]:
    return lambda status, content: (status == 200) == (reason == "Ready") and content["reason"] == reason


async def test_ready_comes_after_one_token_and_says_so() -> None:
    async with fake_engine(FakeEngine(alive_nodes=("127.0.0.2", "127.0.0.3"))) as engine, sidecar(engine) as client:
        content = await ready_state(client, _reason("Ready"))
        assert content["ready"] is True
        assert content["engine"] == "fake"
        assert engine.requests == 1


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Fault.LOADING, "EngineLoading"), (Fault.BREAKS, "GenerationFailed"), (Fault.HANGS, "Warming")],
)
async def test_an_engine_that_cannot_generate_is_not_ready_whatever_its_health_says(fault: Fault, reason: str) -> None:
    async with fake_engine(FakeEngine(fault=fault)) as engine, sidecar(engine) as client:
        await ready_state(client, _reason(reason))


async def test_a_fault_turns_ready_into_503_and_its_end_wants_a_new_token() -> None:
    async with fake_engine() as engine, sidecar(engine) as client:
        await ready_state(client, _reason("Ready"))
        engine.fault = Fault.UNWELL
        await ready_state(client, _reason("EngineFailing"))
        engine.fault = Fault.NONE
        await ready_state(client, _reason("Ready"))
        assert engine.requests == 2


async def test_a_lost_ray_node_turns_ready_into_503() -> None:
    async with fake_engine(FakeEngine(alive_nodes=("a", "b"))) as engine, sidecar(engine) as client:
        await ready_state(client, _reason("Ready"))
        engine.alive_nodes = ("a",)
        content = await ready_state(client, _reason("RayNodesMissing"))
        assert content["message"] == "1/2 Ray nodes are alive"


async def test_a_generation_without_end_has_a_limit() -> None:
    async with (
        fake_engine(FakeEngine(fault=Fault.HANGS)) as engine,
        sidecar(engine, token_limit=timedelta(milliseconds=50)) as client,
    ):
        content = await ready_state(client, _reason("GenerationFailed"))
        assert "no token within" in content["message"]


async def test_nothing_listening_is_starting_not_an_error() -> None:
    engine = FakeEngine(url="http://127.0.0.1:9")
    async with sidecar(engine) as client:
        content = await ready_state(client, _reason("EngineStarting"))
        assert content["ready"] is False
        assert (await client.get("/healthz")).status == 200


async def test_metrics_are_its_own_and_the_engines() -> None:
    async with fake_engine() as engine, sidecar(engine) as client:
        await ready_state(client, _reason("Ready"))
        page = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_ready{engine="fake"} 1\n' in page
    assert "\nfake:requests_total 1\n" in page


async def test_metrics_stay_when_the_engine_is_gone() -> None:
    async with sidecar(FakeEngine(url="http://127.0.0.1:9")) as client:
        page = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_ready{engine="fake"} 0\n' in page


def test_an_engine_cannot_speak_under_the_sidecars_names() -> None:
    assert merged_page("own\n", "rayfleet_sidecar_engine_ready 1\n") == "own\n"
    assert merged_page("own\n", "a 1\n# EOF\n") == "own\na 1\n"


def test_the_peers_environment_is_read_and_flags_win() -> None:
    environment = {"INFERENCE_ENGINE": "vllm", "INFERENCE_ENGINE_ENDPOINT": "http://localhost:8000/"}
    assert read_settings([], environment).engine_url == "http://localhost:8000"
    assert read_settings(["--engine", "x"], environment).engine == "x"


@pytest.mark.parametrize("arguments", [["--expected-ray-nodes", "-1"], ["--expected-ray-nodes", "2"]])
def test_settings_that_do_not_go_together_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SettingsError, match="--expected-ray-nodes"):
        read_settings(arguments, {})
