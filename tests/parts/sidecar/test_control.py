"""Drain, sleep and wake: who may ask, what becomes of it, what is said of it (rayfleet_sidecar.control)."""

import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from pytest_aiohttp import AiohttpClient
from tests.parts.sidecar.scripted import HANGS, Reply, ScriptedEngine, error, page, scripted_engine

from rayfleet.model.engine import TrafficMetrics
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.testing import HandClock

Client = TestClient[web.Request, web.Application]
TOKEN = "open-sesame"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
PATHS = [("POST", "/drain"), ("DELETE", "/drain"), ("POST", "/sleep"), ("POST", "/wake")]


@pytest.fixture
async def engine() -> AsyncIterator[ScriptedEngine]:
    async with scripted_engine() as running:
        yield running


async def opened(engine: ScriptedEngine, aiohttp_client: AiohttpClient, **changes: Any) -> tuple[Client, HandClock]:
    plain: dict[str, Any] = {
        "engine": "scripted",
        "engine_url": engine.url,
        "model": "m",
        "judge_period": timedelta(milliseconds=5),
        "answer_limit": timedelta(seconds=LIMIT_SECONDS),
        "traffic": TrafficMetrics(running=("running",), steps=("steps_total",)),
        "sleep_path": "/sleep?level=1",
        "wake_path": "/wake",
        "token": TOKEN,
    }
    clock = HandClock()
    client = await aiohttp_client(make_app(SidecarSettings(**(plain | changes)), clock))
    await until_reason(client, "Ready")
    return client, clock


async def until_reason(client: Client, reason: str) -> None:
    async def look() -> str:
        content = await (await client.get("/ready")).json()
        assert content["ready"] is (content["reason"] == "Ready")
        return str(content["reason"])

    await until(look, reason, holds=lambda got: got == reason)


async def looked(engine: ScriptedEngine) -> None:
    looks = engine.count("/health") + 3
    await until(lambda: engine.count("/health") >= looks, "three looks")


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_nobody_may_without_a_token_and_is_told_the_way_out(
    method: str, path: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, _ = await opened(engine, aiohttp_client, token="")
    for headers in ({}, {"Authorization": "Bearer "}, SHOWN):
        answer = await client.request(method, path, headers=headers)
        assert (answer.status, (await answer.json())["error"]["code"]) == (403, "no_token")
        assert "RAYFLEET_SIDECAR_TOKEN" in (await answer.json())["error"]["message"]
    await until_reason(client, "Ready")


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_a_wrong_token_changes_nothing_and_no_token_is_ever_told(
    method: str, path: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client, _ = await opened(engine, aiohttp_client)
    for shown in ("", TOKEN, f"Bearer {TOKEN}x", f"bearer {TOKEN}", "Bearer öpen"):
        answer = await client.request(method, path, headers={"Authorization": shown})
        assert answer.status == 401
        assert TOKEN not in await answer.text()
    await client.request(method, path, headers=SHOWN)
    assert TOKEN not in caplog.text
    assert TOKEN not in await (await client.get("/status")).text()


async def test_a_drain_takes_the_engine_out_and_tells_what_is_left_until_nothing_is(
    engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, _ = await opened(engine, aiohttp_client)
    engine.replies["/metrics"] = page(running=2)
    first = await (await client.post("/drain", headers=SHOWN)).json()
    assert (first["leave"], first["in_flight"]) == ("EngineDraining", 2)
    await until_reason(client, "EngineDraining")
    engine.replies["/metrics"] = page(running=0)
    assert (await (await client.get("/inflight")).json())["in_flight"] == 0
    again = await (await client.post("/drain", headers=SHOWN)).json()
    assert (again["since"], again["in_flight"]) == (first["since"], 0)
    duty = (await (await client.get("/status")).json())["duty"]
    assert duty == {"leave": "EngineDraining", "since": first["since"]}
    assert (await client.delete("/drain", headers=SHOWN)).status == 200
    await until_reason(client, "Ready")


async def test_a_drained_engine_is_sent_no_canary(engine: ScriptedEngine, aiohttp_client: AiohttpClient) -> None:
    client, clock = await opened(engine, aiohttp_client)
    await client.post("/drain", headers=SHOWN)
    for _ in range(5):
        clock.advance(3)
        await looked(engine)
    assert engine.count("/v1/completions") == 1


@pytest.mark.parametrize(("method", "path"), [("GET", "/inflight"), ("POST", "/drain")])
async def test_a_canary_that_is_under_way_is_dropped_when_somebody_waits_for_the_last_request(
    method: str, path: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, clock = await opened(engine, aiohttp_client)
    engine.replies["/v1/completions"] = HANGS
    clock.advance(3)
    await until(lambda: engine.count("/v1/completions") == 2, "a canary")
    await client.request(method, path, headers=SHOWN)
    await until(lambda: engine.left == 1, "the canary is dropped")


async def test_trouble_of_the_engine_goes_before_a_drain(engine: ScriptedEngine, aiohttp_client: AiohttpClient) -> None:
    client, _ = await opened(engine, aiohttp_client)
    await client.post("/drain", headers=SHOWN)
    engine.replies["/health"] = Reply(status=503)
    await until_reason(client, "EngineFailing")


async def test_an_engine_sleeps_and_is_in_service_again_when_a_token_came(
    engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, _ = await opened(engine, aiohttp_client)
    assert (await client.post("/sleep", headers=SHOWN)).status == 200
    await until_reason(client, "EngineAsleep")
    assert any(head.startswith("POST /sleep?level=1 ") for head in engine.heads)
    assert (await client.delete("/drain", headers=SHOWN)).status == 409
    engine.replies["/v1/completions"] = error(500, "no memory")
    answer = await client.post("/wake", headers=SHOWN)
    assert (answer.status, "no memory" in await answer.text()) == (502, True)
    await until_reason(client, "EngineAsleep")
    engine.replies["/v1/completions"] = Reply(body=b'{"choices": [{"text": "a"}]}')
    assert (await client.post("/wake", headers=SHOWN)).status == 200
    await until_reason(client, "Ready")


@pytest.mark.parametrize("metrics", [page(running=1), Reply(status=500)])
async def test_an_engine_with_requests_or_with_who_knows_what_does_not_sleep(
    metrics: Reply, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, _ = await opened(engine, aiohttp_client)
    engine.replies["/metrics"] = metrics
    answer = await client.post("/sleep", headers=SHOWN)
    assert (answer.status, (await answer.json())["error"]["code"]) == (409, "busy")
    assert engine.count("/sleep") == 0
    await until_reason(client, "Ready")


@pytest.mark.parametrize("reply", [error(500, "not on this platform"), HANGS])
async def test_an_engine_that_will_not_sleep_stays_in_service(
    reply: Reply, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, _ = await opened(engine, aiohttp_client, operation_limit=timedelta(milliseconds=200))
    engine.replies["/sleep"] = reply
    answer = await client.post("/sleep", headers=SHOWN)
    assert (answer.status, (await answer.json())["error"]["code"]) == (502, "engine_refused")
    await until_reason(client, "Ready")


@pytest.mark.parametrize("path", ["/sleep", "/wake"])
async def test_an_engine_without_the_operation_is_said_to_have_none(
    path: str, engine: ScriptedEngine, aiohttp_client: AiohttpClient
) -> None:
    client, _ = await opened(engine, aiohttp_client, sleep_path="", wake_path="")
    answer = await client.post(path, headers=SHOWN)
    assert (answer.status, (await answer.json())["error"]["code"]) == (501, "not_supported")
    assert "scripted has no operation" in (await answer.json())["error"]["message"]
