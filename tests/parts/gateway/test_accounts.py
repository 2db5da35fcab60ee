"""What operators learn of served requests: the metrics page and the access log of a gateway that runs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from pytest_aiohttp import AiohttpServer

from rayfleet.testing.ports import held_ports
from rayfleet.testing.waiting import until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.planes.python.account import Account
from rayfleet_gateway.testing import GatewayServer, table_for

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PREFIX = "rayfleet_gateway_"
SECRET = "sk-live-do-not-log"
CHUNK = b'data: {"choices": [{"text": "x"}]}\n\n'


async def engine(aiohttp_server: AiohttpServer, handler: Handler) -> Endpoint:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    return Endpoint(address="127.0.0.1", port=server.port or 0)


async def answer(request: web.Request) -> web.StreamResponse:
    await request.read()
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    return web.json_response({"choices": [], "usage": usage})


async def page(gateway: GatewayServer) -> dict[tuple[str, ...], float]:
    """Return the metrics: (name, label values in the order of their names) -> value."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway.admin_url}/metrics") as response:
        text = await response.text()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(each) for each in path.read_text(encoding="utf-8").splitlines()]


async def ask(session: aiohttp.ClientSession, **more: object) -> int:
    body = {"model": "m", "prompt": "what is hidden here", **more}
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with session.post(f"/v1/completions?key={SECRET}", json=body, headers=headers) as response:
        await response.read()
        return response.status


async def raw(port: int, text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    received = await reader.read()
    writer.close()
    return received


async def test_what_the_gateway_answers_by_itself_is_counted_and_logged_too(tmp_path: Path) -> None:
    path, origin = tmp_path / "log", {"Origin": "https://chat.example"}
    settings = GatewaySettings(access_log=str(path), cors_origins=frozenset({"https://chat.example"}))
    async with GatewayServer(table_for("m"), settings) as gateway, aiohttp.ClientSession(gateway.url) as session:
        listed = await session.get("/v1/models", headers={"X-Request-Id": "list-1"})
        length = len(await listed.read())
        await session.options("/v1/completions", headers=origin | {"Access-Control-Request-Method": "POST"})
        assert gateway.counted() == {("unknown", "200", "ok"): 1, ("unknown", "204", "ok"): 1}
    shown = [[each[name] for name in ("method", "path", "status", "result", "answer_bytes")] for each in lines(path)]
    assert shown == [["GET", "/v1/models", 200, "ok", length], ["OPTIONS", "/v1/completions", 204, "ok", 0]]
    assert [each["client"] for each in lines(path)] == ["127.0.0.1"] * 2
    assert lines(path)[0]["request_id"] == listed.headers["X-Request-Id"] == "list-1"


async def test_each_request_is_counted_once_and_logged_in_one_line(
    aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    endpoint = await engine(aiohttp_server, answer)
    async with GatewayServer(table_for("m", endpoint), GatewaySettings(access_log=str(path))) as gateway:
        async with aiohttp.ClientSession(gateway.url) as session:
            assert await ask(session) == 200
            assert await ask(session, model="nope") == 404
        assert b" 400 " in (await raw(gateway.port, b"NO HTTP\r\n\r\n"))[:20]
        assert b" 431 " in (await raw(gateway.port, b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000))[:20]
        seen = await page(gateway)
    answers = {key[1:]: value for key, value in seen.items() if key[0] == f"{PREFIX}answers_total"}
    assert answers == {("ok", "200"): 1, ("refused", "404"): 1, ("refused", "400"): 1, ("refused", "431"): 1}
    assert seen[f"{PREFIX}requests_total", "unknown", "refused"] == 3
    logged = lines(path)
    assert [(each["model"], each["status"]) for each in logged] == [
        ("m", 200),
        ("unknown", 404),
        ("unknown", 400),
        ("unknown", 431),
    ]
    assert (logged[0]["endpoint"], logged[0]["attempts"], logged[0]["completion_tokens"]) == (str(endpoint), 1, 5)
    assert all(each["code"] for each in logged[1:])


async def test_a_log_line_holds_no_secret_and_no_prompt(aiohttp_server: AiohttpServer, tmp_path: Path) -> None:
    path = tmp_path / "log"
    endpoint = await engine(aiohttp_server, answer)
    gateway = GatewayServer(table_for("m", endpoint), GatewaySettings(access_log=str(path)))
    async with gateway, aiohttp.ClientSession(gateway.url) as session:
        await ask(session)
        await ask(session, model=SECRET)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) == 2
    assert SECRET not in text
    assert "hidden" not in text


async def test_gaps_of_a_stream_are_those_between_its_pieces(aiohttp_server: AiohttpServer) -> None:
    go_on = asyncio.Event()

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(4):
            await response.write(CHUNK)
            await go_on.wait()
            go_on.clear()
        await response.write(b"data: [DONE]\n\n")
        return response

    async with (
        GatewayServer(table_for("m", await engine(aiohttp_server, stream))) as gateway,
        aiohttp.ClientSession(gateway.url) as session,
        session.post("/v1/completions", json={"model": "m", "prompt": "x", "stream": True}) as response,
    ):
        for _ in range(4):
            assert await response.content.readexactly(len(CHUNK)) == CHUNK
            go_on.set()
        await response.read()
        seen = await page(gateway)
    assert seen[f"{PREFIX}inter_token_seconds_count",] == 3
    assert seen["gen_ai_server_time_to_first_token_seconds_count", "text_completion"] == 1


async def test_a_retry_counts_by_what_failed_and_waits_in_no_queue(
    aiohttp_server: AiohttpServer, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    with held_ports(1) as (port,):  # nobody listens there
        table = table_for("m", Endpoint(address="127.0.0.1", port=port), await engine(aiohttp_server, answer))
        async with GatewayServer(table, GatewaySettings(access_log=str(path))) as gateway:
            async with aiohttp.ClientSession(gateway.url) as session:
                while not (await page(gateway)).get((f"{PREFIX}retries_total", "not_connected")):
                    assert await ask(session) == 200
            seen = await page(gateway)
    assert seen[f"{PREFIX}retries_total", "not_connected"] == 1
    assert [each["attempts"] for each in lines(path)][-1] == 2


def test_a_queue_ends_with_the_first_try() -> None:
    account = Account("127.0.0.1", started=10.0)
    account.note_asked(10.5)
    account.note_asked(12.0)
    assert (account.first_asked_at, account.asked_at) == (10.5, 12.0)


async def test_what_is_held_now_is_on_the_page(aiohttp_server: AiohttpServer) -> None:
    table = table_for("m", await engine(aiohttp_server, answer))
    async with GatewayServer(table, GatewaySettings(body_start_timeout=timedelta(minutes=5))) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head + b"x" * 400)
        seen = await until(lambda: page(gateway), "it is here", holds=lambda now: now[f"{PREFIX}body_bytes",] == 400)
        assert seen[f"{PREFIX}connections_open",] == 1
        writer.close()
        seen = await until(lambda: page(gateway), "it left", holds=lambda now: not now[f"{PREFIX}connections_open",])
    assert seen[f"{PREFIX}body_bytes",] == 0
    assert seen[f"{PREFIX}requests_total", "unknown", "client_gone"] == 1
