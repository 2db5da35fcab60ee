"""The sidecar beside an engine that has faults (rayfleet_sidecar)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.parser import text_string_to_metric_families

from rayfleet.model.errors import SettingsError
from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.pages import usable_page
from rayfleet_sidecar.settings import SidecarSettings, read_settings

Client = TestClient[web.Request, web.Application]
LIMIT_SECONDS = 10
DATA = Path(__file__).parents[2] / "data"


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
        content = await ready_state(client, lambda _, content: "cannot connect" in content["message"])
        assert content["reason"] == "EngineStarting"
        assert content["message"].endswith(": cannot connect to 127.0.0.1:9: Connection refused")
        assert content["ready"] is False
        assert content["status"] == "not ready"
        assert await (await client.get("/healthz")).json() == {"status": "ok"}


async def test_metrics_are_its_own_and_the_engines() -> None:
    async with fake_engine() as engine, sidecar(engine) as client:
        await ready_state(client, _reason("Ready"))
        page = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_ready{engine="fake"} 1\n' in page
    assert 'rayfleet_sidecar_engine_page_up{engine="fake"} 1\n' in page
    assert "\nfake:requests_total 1\n" in page
    names = {family.name for family in text_string_to_metric_families(page)}
    assert {"rayfleet_sidecar_generations", "fake:requests"} <= names


async def test_metrics_stay_when_the_engine_is_gone() -> None:
    async with sidecar(FakeEngine(url="http://127.0.0.1:9")) as client:
        page = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_ready{engine="fake"} 0\n' in page


async def test_a_frozen_engine_turns_ready_into_503_and_ready_itself_is_answered_at_once() -> None:
    async with fake_engine() as engine, sidecar(engine) as client:
        await ready_state(client, _reason("Ready"))
        engine.fault = Fault.FROZEN
        content = await ready_state(client, _reason("EngineUnreachable"))
        assert "no answer within 0.3 s" in content["message"]
        engine.fault = Fault.NONE
        await ready_state(client, _reason("Ready"))
        assert engine.requests == 2


async def test_a_refusal_after_being_ready_is_held_so_that_a_probe_sees_it() -> None:
    async with fake_engine() as engine, sidecar(engine, shortest_refusal=timedelta(hours=1)) as client:
        await ready_state(client, _reason("Ready"))  # the first time nothing is held
        engine.fault = Fault.UNWELL
        await ready_state(client, _reason("EngineFailing"))
        engine.fault = Fault.NONE
        await ready_state(client, _reason("Warming"))
        await asyncio.sleep(0.2)  # ten looks
        assert (await client.get("/ready")).status == 503
        assert engine.requests == 1


async def test_a_token_asked_for_before_a_fault_proves_nothing_after_it() -> None:
    async with fake_engine(FakeEngine(fault=Fault.HANGS)) as engine, sidecar(engine) as client:
        await ready_state(client, _reason("Warming"))
        await until(lambda: engine.requests == 1)
        engine.fault = Fault.UNWELL
        await ready_state(client, _reason("EngineLoading"))
        await until(lambda: engine.aborted == 1)
        engine.fault = Fault.NONE
        await ready_state(client, _reason("Ready"))
        assert engine.requests == 2


async def test_an_engine_behind_a_key_is_asked_with_it() -> None:
    async with fake_engine(FakeEngine(api_key="k3y")) as engine:
        async with sidecar(engine, api_key="k3y") as client:
            await ready_state(client, _reason("Ready"))
        async with sidecar(engine) as client:
            content = await ready_state(client, _reason("GenerationFailed"))
            assert content["message"] == "the one-token generation failed: status 401: Unauthorized"


async def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    page = "fake:a 1\n" * 100_000
    async with fake_engine(FakeEngine(page=page)) as engine, sidecar(engine, most_page_bytes=1000) as client:
        text = await (await client.get("/metrics")).text()
    assert 'rayfleet_sidecar_engine_page_up{engine="fake"} 0\n' in text
    assert "fake:a" not in text


async def test_a_judge_that_fails_unexpectedly_is_stale_and_recovers(caplog: pytest.LogCaptureFixture) -> None:
    async with fake_engine() as engine, ClientSession() as session:
        settings = SidecarSettings(engine_url=engine.url, model=engine.model, judge_period=timedelta(milliseconds=5))
        judge = BreakableJudge(replace(settings, stale_after=timedelta(milliseconds=50)), session)
        task = asyncio.create_task(judge.run())
        await until(lambda: judge.judgement.is_ready and not judge.is_stale)
        judge.is_broken = True
        await until(lambda: judge.is_stale and judge.errors > 1)
        judge.is_broken = False
        await until(lambda: not judge.is_stale)
        task.cancel()
        await asyncio.wait([task])
    assert "judging failed" in caplog.text


class BreakableJudge(Judge):
    is_broken = False

    async def _look(self) -> None:
        if self.is_broken:
            raise RuntimeError("a bug")
        await super()._look()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not is_so():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("page", "usable"),
    [
        ("a 1\n# EOF\n", "a 1\n"),
        ('# TYPE a:b counter\na:b{x="1 } y",z=""} 1.5e+09 1700000000\n', None),
        ("a NaN\na_bucket +Inf\na -Inf\n", None),
        ('{"running": 3}', ""),
        ("a 1\nb{x=", ""),
        ("rayfleet_sidecar_engine_ready 1\n", ""),
        ("# TYPE rayfleet_sidecar_engine_ready gauge\n", ""),
        ("", ""),
    ],
)
def test_an_engines_page_follows_only_when_it_spoils_nothing(page: str, usable: str | None) -> None:
    assert usable_page(page) == (page if usable is None else usable)


@pytest.mark.parametrize("name", ["vllm-metrics.txt", "llamacpp-metrics.txt"])
def test_a_recorded_page_of_a_real_engine_is_usable(name: str) -> None:
    page = (DATA / name).read_text(encoding="utf-8")
    assert usable_page(page).count("\n") > 10


def test_the_peers_environment_is_read_and_flags_win() -> None:
    environment = {"INFERENCE_ENGINE": "vllm", "INFERENCE_ENGINE_ENDPOINT": "http://localhost:8000/"}
    assert read_settings([], environment).engine_url == "http://localhost:8000"
    assert read_settings(["--engine", "x"], environment).engine == "x"
    assert "k3y" not in repr(read_settings([], {"INFERENCE_ENGINE_API_KEY": "k3y"}))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expected-ray-nodes", "-1"], "--expected-ray-nodes: -1 is negative"),
        (["--expected-ray-nodes", "2"], "--expected-ray-nodes without --ray-nodes-url"),
        (["--port", "0"], "--port: 0 is not a port"),
        (["--engine-url", "127.0.0.1:8000"], "--engine-url: '127.0.0.1:8000' is no URL"),
        (["--engine-url", "http://a:99999"], "--engine-url: 'http://a:99999' is no URL"),
        (["--ray-nodes-url", "http://$(POD_IP):8081/nodes"], "--ray-nodes-url: .* holds a variable"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_settings(arguments, {})
