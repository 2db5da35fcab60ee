"""The processes of the benchmark: ``python -m tests.bench.servers upstream|relay|aiohttp [UPSTREAM_PORT]``.

Each prints its port and serves until SIGTERM.
"""

import asyncio
import signal
import sys
from typing import cast

import aiohttp
import uvloop
from aiohttp import web
from tests.bench.upstream import Upstream


async def upstream(stop: asyncio.Event) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0, backlog=1024)
    _tell(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()


class Relay(asyncio.Protocol):
    """Passes bytes on and looks at none of them: what a proxy on this loop cannot go below."""

    def __init__(self, port: int = 0, other: "Relay | None" = None) -> None:
        self._port = port
        self._other = other
        self._waiting: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self._other is None:
            self._task = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        if self._other is None or self._other.transport is None:
            self._waiting.append(data)
        else:
            self._other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.close()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        transport, self._other = await loop.create_connection(lambda: Relay(other=self), "127.0.0.1", self._port)
        transport.writelines(self._waiting)


async def relay(port: int, stop: asyncio.Event) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Relay(port), "127.0.0.1", 0, backlog=1024)
    _tell(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()


async def plain_aiohttp(port: int, stop: asyncio.Event) -> None:
    """A proxy that does nothing but pass bytes on: what aiohttp itself costs."""
    async with aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def forward(request: web.Request) -> web.StreamResponse:
            url = f"http://127.0.0.1:{port}{request.rel_url}"
            async with session.post(url, data=await request.read()) as answer:
                response = web.StreamResponse(status=answer.status)
                response.content_type = answer.content_type
                response.content_length = answer.content_length
                if answer.content_length is None:
                    response.enable_chunked_encoding()
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response

        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        _tell(runner.addresses[0][1])
        await stop.wait()
        await runner.cleanup()


async def _main(kind: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    match kind:
        case "upstream":
            await upstream(stop)
        case "relay":
            await relay(port, stop)
        case _:
            await plain_aiohttp(port, stop)


def _tell(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
