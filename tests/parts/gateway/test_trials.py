"""A request that tries an endpoint which was ejected: whatever comes of it, another one answers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.pick.health import due_at_once
from rayfleet_gateway.testing import GatewayServer, OpenGateway, table_for


@pytest.fixture
async def silent() -> AsyncIterator[Endpoint]:
    over = asyncio.Event()

    async def says_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(says_nothing, "127.0.0.1", 0) as server:
        yield Endpoint(address="127.0.0.1", port=server.sockets[0].getsockname()[1])
        over.set()


async def test_a_trial_that_says_nothing_leaves_half_of_the_time_to_another(
    silent: Endpoint, aiohttp_server: AiohttpServer, open_gateway: OpenGateway
) -> None:
    async def answers(_: web.Request) -> web.StreamResponse:
        return web.json_response({})

    app = web.Application()
    app.router.add_post("/v1/completions", answers)
    well = await aiohttp_server(app, shutdown_timeout=0.1)
    table = table_for("m", silent, Endpoint(address="127.0.0.1", port=well.port or 0), timeout=timedelta(seconds=2))
    gateway = GatewayServer(table)
    client = await open_gateway(gateway)
    book, now = gateway.gateway.book, asyncio.get_running_loop().time()
    state = next(each for each in book.states() if each.endpoint == silent)
    while not state.is_ejected:
        book.note(state, Failure.RESET, now, is_trial=False)
    state.health = due_at_once(state.health, now - 1)
    response = await client.post("/v1/completions", json={"model": "m"})
    assert response.status == 200
    assert gateway.counted() == {("m", "200", "ok"): 1}
    assert state.is_ejected
    assert state.in_flight == 0
