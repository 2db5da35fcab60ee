"""Stopping: running answers may finish, new connections are refused, and what is left at the limit is told so."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta

import aiohttp
import pytest

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet_gateway.app import ENDED, make_app
from rayfleet_gateway.routes import Endpoint, RouteTable
from rayfleet_gateway.serving import make_runner
from rayfleet_gateway.settings import GatewaySettings
from rayfleet_gateway.testing import FixedTable, RunningGateway, running_gateway, table_for

BODY = {"model": "m", "stream": True}


async def _gateway(stack: AsyncExitStack, engine: FakeEngine, drain_seconds: float) -> RunningGateway:
    await stack.enter_async_context(fake_engine(engine))
    endpoint = Endpoint(address="127.0.0.1", port=int(engine.url.rsplit(":", 1)[1]))
    settings = GatewaySettings(drain=timedelta(seconds=drain_seconds))
    return await stack.enter_async_context(running_gateway(table_for("m", endpoint), settings))


async def test_a_live_stream_completes_and_new_connections_are_refused() -> None:
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        gateway = await _gateway(stack, FakeEngine(model="m", token_seconds=0.1), drain_seconds=10)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        response = await session.post(f"{gateway.url}/v1/completions", json=BODY)
        await response.content.readany()
        stopping = asyncio.create_task(gateway.runner.cleanup())
        while gateway.runner.sites:
            await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", gateway.port)
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
        await stopping
        assert gateway.counted() == {("m", "200", "ok"): 1}


async def test_a_stream_that_is_not_done_at_the_limit_ends_with_an_error() -> None:
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        engine = FakeEngine(model="m", token_seconds=60)
        gateway = await _gateway(stack, engine, drain_seconds=0.2)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        response = await session.post(f"{gateway.url}/v1/completions", json=BODY)
        await response.content.readany()
        stopping = asyncio.create_task(gateway.runner.cleanup())
        last = (await response.read()).rstrip().split(b"data: ")[-1]
        assert json.loads(last)["error"]["code"] == "gateway_stopping"
        await stopping
        assert gateway.counted() == {("m", "200", "cut"): 1}
        assert gateway.in_flight() == 0
        while engine.running:
            await asyncio.sleep(0.01)
        assert engine.aborted == 1


async def test_a_request_without_an_answer_at_the_limit_is_a_503() -> None:
    async with asyncio.timeout(20), AsyncExitStack() as stack:
        engine = FakeEngine(model="m", fault=Fault.HANGS)
        gateway = await _gateway(stack, engine, drain_seconds=0.2)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        asked = asyncio.create_task(session.post(f"{gateway.url}/v1/completions", json=BODY))
        while not engine.running:
            await asyncio.sleep(0.01)
        await gateway.runner.cleanup()
        response = await asked
        assert (response.status, (await response.json())["error"]["code"]) == (503, "gateway_stopping")
        assert gateway.counted() == {("m", "503", "cut"): 1}


class _BrokenTable(FixedTable):
    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        on_table(self.table)
        raise KeyError("metadata")


async def test_watches_that_end_by_a_fault_are_noticed_and_end_the_process_with_it() -> None:
    settings = GatewaySettings()
    app = make_app(settings, _BrokenTable(RouteTable()))
    runner = make_runner(app, settings)
    await runner.setup()
    async with asyncio.timeout(10):
        await app[ENDED].wait()
    with pytest.raises(KeyError):
        await runner.cleanup()
