"""One gateway takes over from another on the same port while clients ask: nobody loses a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import GatewayServer, table_for

BODY = b'{"model": "m", "prompt": "x"}'
REQUEST = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
RESTARTS = 4
CLIENTS = 12


class Engine(asyncio.Protocol):
    """Answers each request at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER * data.count(b"POST "))


@asynccontextmanager
async def engine() -> AsyncIterator[Endpoint]:
    server = await asyncio.get_running_loop().create_server(Engine, "127.0.0.1", 0)
    async with server:
        yield Endpoint(address="127.0.0.1", port=server.sockets[0].getsockname()[1])


async def asking(port: int, stop: asyncio.Event, failures: list[str]) -> int:
    """Ask on one connection after the other, as long as each is kept; return how many were answered."""
    answered = 0
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            is_kept = True
            while is_kept and not stop.is_set():
                writer.write(REQUEST)
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(2)
                answered += 1
                is_kept = b"Connection: close" not in head
                if not head.startswith(b"HTTP/1.1 200"):
                    failures.append(head.decode())
            writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            failures.append(repr(error))
    return answered


async def test_a_rolling_restart_loses_no_request() -> None:
    settings = GatewaySettings(lag=timedelta(seconds=0.3), drain=timedelta(minutes=1))
    stop, failures = asyncio.Event(), list[str]()
    async with engine() as endpoint, asyncio.timeout(4 * LIMIT_SECONDS):
        gateways = [GatewayServer(table_for("m", endpoint), settings)]
        await gateways[0].start()
        port = gateways[0].port
        clients = [asyncio.create_task(asking(port, stop, failures)) for _ in range(CLIENTS)]
        for _ in range(RESTARTS):
            await until(gateways[-1].counted, "it serves")
            gateways.append(GatewayServer(table_for("m", endpoint), settings, port=port))
            await gateways[-1].start()
            await gateways[-2].close()
        await until(gateways[-1].counted, "the last one serves")
        stop.set()
        answered = sum(await asyncio.gather(*clients))
        await gateways[-1].close()
    assert failures == []
    counts = [gateway.counted() for gateway in gateways]
    assert all(count.keys() == {("m", "200", "ok")} for count in counts), "each has served, and nothing but answers"
    assert sum(count["m", "200", "ok"] for count in counts) == answered
