"""The driver's API over servers that speak llama.cpp's HTTP: real sockets, small servers that break on purpose."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_llamacpp.membership import RayNode, Reason, Slot, SlotState, Verdict
from rayfleet_llamacpp.proxy import NODE_HEADER, Proxy

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CHAT = "/v1/chat/completions"
EVENTS = (b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n', b"data: [DONE]\n\n")


@dataclass
class Members:
    """Servers as the proxy sees them."""

    slots: tuple[Slot, ...] = ()
    nodes: tuple[RayNode, ...] = ()
    is_draining: bool = False
    reason: Reason | None = None

    def verdict(self) -> Verdict:
        return Verdict(reason=self.reason, message="as told")


@dataclass
class Site:
    """A proxy, a client of it, and the servers behind."""

    client: TestClient[web.Request, web.Application]
    proxy: Proxy
    members: Members
    servers: list[TestServer] = field(default_factory=list)

    async def add(self, handler: Handler, metrics: str = "") -> TestServer:
        async def page(_: web.Request) -> web.Response:
            return web.Response(text=metrics)

        application = web.Application()
        application.add_routes([web.post("/{path:.*}", handler), web.get("/metrics", page)])
        server = TestServer(application)
        await server.start_server()
        self.servers.append(server)
        index = len(self.members.slots)
        slot = Slot(index=index, state=SlotState.SERVING, node=f"node{index}", url=str(server.make_url("")).rstrip("/"))
        self.members.slots = (*self.members.slots, slot)
        return server


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy = Proxy("smollm2", session)
        members = Members()
        proxy.replica = members
        application = web.Application()
        application.add_routes(proxy.routes())
        server = TestServer(application)
        await server.start_server()
        async with TestClient(server) as client:
            made = Site(client, proxy, members)
            yield made
            for other in made.servers:
                await other.close()


async def answers(_: web.Request) -> web.Response:
    return web.json_response({"ok": True})


def streams(*chunks: bytes, is_cut: bool = False) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if is_cut:
            assert request.transport is not None
            request.transport.close()
        return response

    return handler


async def breaks(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_a_stream_passes_byte_for_byte(site: Site) -> None:
    await site.add(streams(*EVENTS))
    answer = await site.client.post(CHAT, json={"model": "smollm2"})
    assert await answer.read() == b"".join(EVENTS)
    assert answer.headers[NODE_HEADER] == "node0"
    assert answer.content_type == "text/event-stream"


async def test_a_cut_stream_ends_with_an_error_and_without_done(site: Site) -> None:
    await site.add(streams(EVENTS[0], b'data: {"n"', is_cut=True))
    answer = await site.client.post(CHAT, json={})
    content = await answer.read()
    assert content.startswith(EVENTS[0])
    error = content.removeprefix(EVENTS[0])  # half an event was not passed on
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "engine_lost"


async def test_requests_go_round_while_all_are_idle(site: Site) -> None:
    await site.add(answers)
    await site.add(answers)
    seen = [(await site.client.post(CHAT, json={})).headers[NODE_HEADER] for _ in range(4)]
    assert seen == ["node0", "node1", "node0", "node1"]


async def test_a_server_that_breaks_before_its_answer_is_passed_over(site: Site) -> None:
    await site.add(breaks)
    await site.add(answers)
    answer = await site.client.post(CHAT, json={})
    assert (answer.status, answer.headers[NODE_HEADER]) == (200, "node1")


async def test_when_every_server_breaks_the_client_is_told_to_come_again(site: Site) -> None:
    await site.add(breaks)
    await site.add(breaks)
    answer = await site.client.post(CHAT, json={})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert "the connection to every server broke" in (await answer.json())["error"]["message"]


async def test_a_client_that_leaves_closes_the_stream_behind(site: Site) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(EVENTS[0])
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return response

    await site.add(endless)
    answer = await site.client.post(CHAT, json={})
    await begun.wait()
    assert site.proxy.running_requests == 1
    answer.close()
    async with asyncio.timeout(LIMIT_SECONDS):
        await cancelled.wait()
    await until(lambda: not site.proxy.running_requests, "no request runs", every=0)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_body"),
        (b'{"model": "other"}', 404, "model_not_found"),
        (b'{"model": 1}', 400, "invalid_body"),
    ],
)
async def test_a_wrong_request_never_reaches_a_server(site: Site, body: bytes, status: int, code: str) -> None:
    await site.add(breaks)
    answer = await site.client.post(CHAT, data=body)
    assert (answer.status, (await answer.json())["error"]["code"]) == (status, code)


async def test_without_a_server_the_reason_is_told(site: Site) -> None:
    site.members.reason = Reason.LOADING
    answer = await site.client.post(CHAT, json={})
    assert (answer.status, (await answer.json())["error"]["code"]) == (503, "loading")
    health = await site.client.get("/health")
    assert (health.status, (await health.json())["reason"]) == (503, "loading")


async def test_an_engine_that_drains_takes_nothing_new(site: Site) -> None:
    await site.add(answers)
    site.members.is_draining = True
    assert (await site.client.post(CHAT, json={})).status == 503


async def test_a_healthy_engine_says_so(site: Site) -> None:
    await site.add(answers)
    health = await site.client.get("/health")
    assert (health.status, (await health.json())["status"]) == (200, "ok")


async def test_the_served_model_is_listed(site: Site) -> None:
    content = await (await site.client.get("/v1/models")).json()
    assert [model["id"] for model in content["data"]] == ["smollm2"]


async def test_counters_of_a_lost_server_are_kept(site: Site) -> None:
    page = "# TYPE llamacpp:tokens_predicted_total counter\nllamacpp:tokens_predicted_total {}\n"
    await site.add(answers, page.format(5))
    await site.add(answers, page.format(7))

    async def shown() -> str:
        return await (await site.client.get("/metrics")).text()

    total = "llamacpp:tokens_predicted_total 12\n"
    await until(shown, "both servers have shown their page", holds=lambda text: total in text)
    lost, kept = site.members.slots
    site.members.slots = (lost.moved(SlotState.LOST, cause="test"), kept)
    site.proxy.keep_counts(lost)
    assert total in await shown()


def _own_lines(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("rayfleet_llamacpp_"))
    return {name.removeprefix("rayfleet_llamacpp_"): float(value) for name, _, value in lines}


async def _with_steps(site: Site, servers: int) -> dict[str, float]:
    """Return the metrics once that many servers have shown theirs: the page waits half a second for each."""

    def are_all_there(own: dict[str, float]) -> bool:
        return all(f'steps_total{{server="{number}"}}' in own for number in range(servers))

    return await until(lambda: _own_metrics(site), "every server has shown its steps", holds=are_all_there)


async def _own_metrics(site: Site) -> dict[str, float]:
    return _own_lines(await (await site.client.get("/metrics")).text())


async def test_requests_are_counted_for_each_server_with_its_steps(site: Site) -> None:
    released = asyncio.Event()

    async def waits(_: web.Request) -> web.Response:
        await released.wait()
        return web.json_response({"ok": True})

    await site.add(waits, "llamacpp:n_decode_total 5\nllamacpp:prompt_tokens_total 2\n")
    await site.add(answers, "llamacpp:n_decode_total 1\n")
    task = asyncio.create_task(site.client.post(CHAT, json={}))
    await until(lambda: site.proxy.running_requests == 1, "it is taken", every=0)
    shown = await _with_steps(site, 2)
    assert shown['requests_running{server="0"}'] == 1
    assert shown['requests_running{server="1"}'] == 0
    assert (shown['steps_total{server="0"}'], shown['steps_total{server="1"}']) == (7, 1)
    released.set()
    await task
    assert (await _own_metrics(site))['requests_running{server="0"}'] == 0


async def test_a_client_that_does_not_read_is_not_the_servers_to_wait_for(site: Site) -> None:
    async def floods(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        with suppress(ConnectionResetError):
            while True:
                await response.write(b"data: " + b"x" * 100_000 + b"\n\n")
        return response

    await site.add(floods)
    answer = await site.client.post(CHAT, json={})
    shown = await until(
        lambda: _own_metrics(site), "it waits", holds=lambda own: own['requests_read_slowly{server="0"}'] == 1
    )
    assert shown['requests_running{server="0"}'] == 0
    answer.close()
    await until(lambda: not site.proxy.running_requests, "it is over", every=0)
    assert (await _own_metrics(site))['requests_read_slowly{server="0"}'] == 0


async def test_a_server_that_hangs_is_shown_as_it_was(site: Site) -> None:
    hangs = asyncio.Event()

    async def page(_: web.Request) -> web.Response:
        if hangs.is_set():
            await asyncio.sleep(600)
        return web.Response(text="llamacpp:n_decode_total 5\n")

    application = web.Application()
    application.add_routes([web.get("/metrics", page)])
    server = TestServer(application)
    await server.start_server()
    site.servers.append(server)
    slot = Slot(index=0, state=SlotState.SERVING, node="node0", url=str(server.make_url("")).rstrip("/"))
    site.members.slots = (slot,)
    assert (await _with_steps(site, 1))['steps_total{server="0"}'] == 5
    hangs.set()
    assert (await _own_metrics(site))['steps_total{server="0"}'] == 5


@pytest.mark.parametrize(
    ("status", "counted"), [(200, (1, 0)), (400, (0, 0)), (404, (0, 0)), (500, (0, 1)), (503, (0, 1))]
)
async def test_answers_are_counted_by_whose_fault_they_are(site: Site, status: int, counted: tuple[int, int]) -> None:
    async def says(_: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    await site.add(says)
    await site.client.post(CHAT, json={})
    shown = await _own_metrics(site)
    assert (shown['answers_total{result="ok"}'], shown['answers_total{result="failed"}']) == counted


@pytest.mark.parametrize(("is_cut", "counted"), [(False, (1, 0)), (True, (0, 1))])
async def test_a_stream_is_counted_at_its_end(site: Site, is_cut: bool, counted: tuple[int, int]) -> None:
    await site.add(streams(*EVENTS, is_cut=is_cut))
    await (await site.client.post(CHAT, json={})).read()
    shown = await _own_metrics(site)
    assert (shown['answers_total{result="ok"}'], shown['answers_total{result="failed"}']) == counted


async def test_an_error_of_a_server_comes_in_openais_shape(site: Site) -> None:
    async def refuses(_: web.Request) -> web.Response:
        return web.json_response(
            {"error": {"code": 400, "message": "bad", "type": "invalid_request_error"}}, status=400
        )

    await site.add(refuses)
    answer = await site.client.post(CHAT, json={})
    expected = {"message": "bad", "type": "invalid_request_error", "param": None, "code": "400"}
    assert (answer.status, await answer.json()) == (400, {"error": expected})


WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
CALL = b'data: {"choices": [{"delta": {"tool_calls": [{"index": 0}]}}]}\n\n'


def with_tools(choice: object, **more: object) -> dict[str, object]:
    return {"model": "smollm2", "messages": [], "tools": [WEATHER], "tool_choice": choice, **more}


@pytest.mark.parametrize("choice", ["required", NAMED])
async def test_an_answer_that_owes_a_tool_and_calls_none_is_an_error_with_its_field(site: Site, choice: object) -> None:
    await site.add(answers)
    answer = await site.client.post(CHAT, json=with_tools(choice))
    error = (await answer.json())["error"]
    assert (answer.status, error["param"], error["code"]) == (400, "tool_choice", "no_tool_called")
    assert "called no tool" in error["message"]


@pytest.mark.parametrize("choice", ["auto", "none"])
async def test_an_answer_that_owes_no_tool_passes_as_it_is(site: Site, choice: str) -> None:
    await site.add(answers)
    answer = await site.client.post(CHAT, json=with_tools(choice))
    assert (answer.status, await answer.json()) == (200, {"ok": True})


async def test_an_answer_that_calls_its_tool_passes_as_it_is(site: Site) -> None:
    async def calls(_: web.Request) -> web.Response:
        return web.json_response({"choices": [{"message": {"tool_calls": []}}]})

    await site.add(calls)
    assert (await site.client.post(CHAT, json=with_tools("required"))).status == 200


async def test_a_stream_that_owes_a_tool_and_calls_none_ends_with_an_error_and_without_done(site: Site) -> None:
    await site.add(streams(*EVENTS))
    content = await (await site.client.post(CHAT, json=with_tools("required", stream=True))).read()
    assert content.startswith(EVENTS[0] + EVENTS[1])
    assert b"[DONE]" not in content
    assert json.loads(content.split(b"data: ")[-1])["error"]["code"] == "no_tool_called"


async def test_a_stream_that_calls_its_tool_passes_byte_for_byte(site: Site) -> None:
    await site.add(streams(EVENTS[0], CALL, EVENTS[2]))
    content = await (await site.client.post(CHAT, json=with_tools("required", stream=True))).read()
    assert content == EVENTS[0] + CALL + EVENTS[2]
