"""The processes of the benchmark: ``python -m tests.bench.servers upstream|bare|gateway [UPSTREAM_PORT]``.

Each prints its port. The upstream speaks just enough HTTP to be no part of the cost: it answers what it has made
before.
"""

import asyncio
import signal
import sys
from datetime import timedelta
from typing import cast

import aiohttp
import uvloop
from aiohttp import web

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import GatewayServer, table_for

EVENTS = 500
_EVENT = (
    b'data: {"id": "cmpl-1", "object": "text_completion", "created": 0, "choices": [{"index": 0, "text": " word"}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_BODY = b'{"id": "cmpl-1", "object": "text_completion", "choices": [{"index": 0, "text": "' + b"word " * 50 + b'"}]}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


class Upstream(asyncio.Protocol):
    """Answers each request at once, or with ``EVENTS`` events, each its own write, when its body says ``"stream"``."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._transport: asyncio.Transport | None = None
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        head_end = self._bytes.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._bytes[:head_end]).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self._bytes) < head_end + 4 + length:
            return
        is_stream = b'"stream"' in self._bytes[head_end : head_end + 100]
        self._bytes.clear()
        assert self._transport is not None
        if is_stream:
            task = asyncio.get_running_loop().create_task(self._stream(self._transport))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)
        else:
            self._transport.write(_ANSWER)

    async def _stream(self, transport: asyncio.Transport) -> None:
        transport.write(_HEAD)
        event = _chunk(_EVENT)
        for _ in range(EVENTS - 1):
            transport.write(event)
            await asyncio.sleep(0.001)  # tokens come one by one: several in one packet would cost less than they do
        transport.write(_chunk(_DONE) + b"0\r\n\r\n")


async def upstream(stop: asyncio.Event) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    _tell(server.sockets[0].getsockname()[1])
    await stop.wait()
    server.close()


async def bare(port: int, stop: asyncio.Event) -> None:
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
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _tell(runner.addresses[0][1])
        await stop.wait()
        await runner.cleanup()


async def gateway(port: int, stop: asyncio.Event) -> None:
    table = table_for("m", Endpoint(address="127.0.0.1", port=port), timeout=timedelta(seconds=120))
    async with GatewayServer(table) as running:
        _tell(running.port or 0)
        await stop.wait()


async def _main(kind: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    match kind:
        case "upstream":
            await upstream(stop)
        case "bare":
            await bare(port, stop)
        case _:
            await gateway(port, stop)


def _tell(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
