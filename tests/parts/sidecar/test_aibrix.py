"""The sidecar in the place of aibrix_runtime (rayfleet_sidecar.aibrix): its paths, its words, and the truth."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet_sidecar.aibrix import LATER, EngineAnswer, models_answer
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.clock import system_clock
from rayfleet_sidecar.settings import SidecarSettings, read_aibrix_settings

NOBODY = "http://127.0.0.1:9"
Client = TestClient[web.Request, web.Application]
# aibrix 0.8.0, app.py and runtime/model_runtime_api.py.
PEERS_PATHS = {
    ("GET", "/healthz"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/v1/models"),
    ("POST", "/v1/lora_adapter/load"),
    ("POST", "/v1/lora_adapter/unload"),
    ("POST", "/v1/model/download"),
    ("GET", "/v1/model/list"),
    ("POST", "/v1/runtime/models/activate"),
    ("POST", "/v1/runtime/models/deactivate"),
    ("POST", "/v1/runtime/models/kv-limit"),
    ("POST", "/v1/runtime/models/sleep"),
    ("POST", "/v1/runtime/models/wake"),
    ("GET", "/v1/runtime/models"),
    ("GET", "/v1/runtime/snapshot"),
}


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


async def beside(stack: AsyncExitStack, engine_url: str, **changes: Any) -> Client:
    plain: dict[str, Any] = {"engine_url": engine_url, "judge_period": timedelta(hours=1)}
    client = TestClient(TestServer(make_app(SidecarSettings(**(plain | changes)), system_clock)))
    await client.start_server()
    stack.push_async_callback(client.close)
    return client


async def engine_of(stack: AsyncExitStack, **changes: Any) -> FakeEngine:
    return await stack.enter_async_context(fake_engine(FakeEngine(**changes)))


def routes(client: Client) -> set[tuple[str, str]]:
    assert client.app is not None
    return {(route.method, route.resource.canonical) for route in client.app.router.routes() if route.resource}


async def test_each_path_of_the_peers_is_answered(stack: AsyncExitStack) -> None:
    assert routes(await beside(stack, NOBODY)) >= PEERS_PATHS


@pytest.mark.parametrize(("method", "path"), LATER)
async def test_what_the_sidecar_does_not_do_is_refused_with_the_reason(
    stack: AsyncExitStack, method: str, path: str
) -> None:
    client = await beside(stack, NOBODY)
    async with client.request(method, path, json={"lora_name": "a", "lora_path": "/etc"}) as response:
        content = await response.json()
    assert response.status == 501
    assert content.keys() == {"object", "message", "type", "param", "code"}
    assert (content["object"], content["code"], content["param"]) == ("error", 501, None)
    assert content["message"].startswith("this sidecar ")


async def test_the_models_are_the_engines(stack: AsyncExitStack) -> None:
    engine = await engine_of(stack)
    client = await beside(stack, engine.url)
    async with client.get("/v1/models") as response:
        assert response.status == 200
        assert [card["id"] for card in (await response.json())["data"]] == [engine.model]


async def test_the_engine_is_asked_for_its_models_as_the_caller(stack: AsyncExitStack) -> None:
    engine = await engine_of(stack, api_key="k3y")
    client = await beside(stack, engine.url, api_key="k3y")
    async with client.get("/v1/models") as response:
        assert response.status == 200
    async with client.get("/v1/models", headers={"Authorization": "Bearer wrong"}) as response:
        assert response.status == 401


async def test_an_engine_that_is_not_there_is_said_at_once(stack: AsyncExitStack) -> None:
    client = await beside(stack, NOBODY)
    async with client.get("/v1/models") as response:
        content = await response.json()
    assert (response.status, content["type"], content["code"]) == (502, "ConnectionError", 502)
    assert "Connection refused" in content["message"]


async def test_an_engine_that_hangs_is_said_after_the_limit(stack: AsyncExitStack) -> None:
    engine = await engine_of(stack, fault=Fault.FROZEN)
    client = await beside(stack, engine.url, answer_limit=timedelta(milliseconds=50))
    async with client.get("/v1/models") as response:
        content = await response.json()
    assert (response.status, content["type"]) == (504, "TimeoutError")
    assert "no answer within 0.05 s" in content["message"]


def test_an_answer_that_is_no_json_is_not_passed_on() -> None:
    response = models_answer(EngineAnswer(status=200, text="<html>"))
    assert response.status == 502
    assert response.text is not None
    assert "status 200 and no JSON" in response.text


async def test_ready_is_the_truth_where_the_peers_is_constant(stack: AsyncExitStack) -> None:
    client = await beside(stack, NOBODY)
    async with client.get("/ready") as response:
        assert (response.status, (await response.json())["status"]) == (503, "not ready")
    async with client.get("/healthz") as response:
        assert (response.status, await response.json()) == (200, {"status": "ok"})


def test_its_flags_and_defaults_are_taken() -> None:
    plain = read_aibrix_settings([], {})
    assert (plain.host, plain.port, plain.engine) == ("0.0.0.0", 8080, "vllm")
    assert plain.engine_url == "http://localhost:8000"
    told = read_aibrix_settings(["--host", "127.0.0.9", "--enable-fastapi-docs", "--port", "9"], {})
    assert (told.host, told.port) == ("127.0.0.9", 9)


def test_its_environment_is_taken() -> None:
    environment = {
        "INFERENCE_ENGINE": "sglang",
        "INFERENCE_ENGINE_ENDPOINT": "http://a:1",
        "INFERENCE_ENGINE_API_KEY": "k3y",
        "METRIC_SCRAPE_PATH": "/m",
    }
    settings = read_aibrix_settings([], environment)
    assert (settings.engine, settings.engine_url, settings.api_key) == ("sglang", "http://a:1", "k3y")
    assert settings.metrics_path == "/m"
