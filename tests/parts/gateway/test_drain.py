"""Stopping: running answers may finish, new connections are refused, and what is left at the limit is told so."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet.testing.waiting import until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.testing import FixedTable, GatewayServer, OpenGateway, endpoint_of, gateway_of, table_for

pytestmark = pytest.mark.timeout(20)
BODY = {"model": "m", "stream": True}


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with fake_engine(FakeEngine(model="m")) as running:
        yield running


def _gateway(engine: FakeEngine, drain_seconds: float) -> GatewayServer:
    settings = GatewaySettings(drain=timedelta(seconds=drain_seconds))
    return GatewayServer(table_for("m", endpoint_of(engine.url)), settings)


async def test_a_live_stream_completes_and_new_connections_are_refused(
    engine: FakeEngine, open_gateway: OpenGateway
) -> None:
    engine.token_seconds = 0.1
    gateway = _gateway(engine, drain_seconds=10)
    client = await open_gateway(gateway)
    response = await client.post("/v1/completions", json=BODY)
    await response.content.readany()
    port = gateway.port
    stopping = asyncio.create_task(gateway.close())
    await until(lambda: not gateway.gateway.plane.port, "nobody listens any more", every=0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    assert (await response.read()).endswith(b"data: [DONE]\n\n")
    await stopping
    assert gateway.counted() == {("m", "200", "ok"): 1}


async def test_a_stream_that_is_not_done_at_the_limit_ends_with_an_error(
    engine: FakeEngine, open_gateway: OpenGateway
) -> None:
    engine.token_seconds = 60
    gateway = _gateway(engine, drain_seconds=0.2)
    client = await open_gateway(gateway)
    response = await client.post("/v1/completions", json=BODY)
    await response.content.readany()
    stopping = asyncio.create_task(gateway.close())
    last = (await response.read()).rstrip().split(b"data: ")[-1]
    assert json.loads(last)["error"]["code"] == "gateway_stopping"
    await stopping
    assert gateway.counted() == {("m", "200", "cut"): 1}
    assert gateway.in_flight() == 0
    await until(lambda: not engine.running, "the engine has stopped")
    assert engine.aborted == 1


async def test_a_request_without_an_answer_at_the_limit_is_a_503(engine: FakeEngine, open_gateway: OpenGateway) -> None:
    engine.fault = Fault.HANGS
    gateway = _gateway(engine, drain_seconds=0.2)
    client = await open_gateway(gateway)
    asked = asyncio.create_task(client.request("POST", "/v1/completions", json=BODY))
    await until(lambda: engine.running, "the engine is at work")
    await gateway.close()
    response = await asked
    assert (response.status, (await response.json())["error"]["code"]) == (503, "gateway_stopping")
    assert gateway.counted() == {("m", "503", "cut"): 1}


class _BrokenTable(FixedTable):
    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        on_table(self.table)
        raise KeyError("metadata")


async def test_watches_that_end_by_a_fault_are_noticed_and_end_the_process_with_it() -> None:
    settings = GatewaySettings(port=0, admin_port=0, lag=timedelta(0))
    gateway = gateway_of(settings, _BrokenTable(RouteTable()))
    await gateway.start()
    async with asyncio.timeout(10):
        await gateway.ended.wait()
    with pytest.raises(KeyError):
        await gateway.drain(asyncio.Event())
