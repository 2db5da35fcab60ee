"""Engines whose every byte a test says: what they hear, and how they answer, break off, hang or lie."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from rayfleet.testing.suites.data_plane.messages import LIMIT_BYTES, Message, read_message

EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"text": "\xc3\xa9"}]}\n\n'
DONE = b"data: [DONE]\n\n"
END = b"0\r\n\r\n"
PAUSE_SECONDS = 0.005  # enough for a segment of its own on loopback


class Heard:
    """One connection of an engine: the requests on it so far, and its streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, log: list[Message]) -> None:
        self.reader = reader
        self.writer = writer
        self.gone = asyncio.Event()
        self._log = log

    async def request(self) -> Message:
        """Return the next request."""
        message = await read_message(self.reader)
        self._log.append(message)
        return message

    async def write(self, *pieces: bytes) -> None:
        """Write each piece as a segment of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(PAUSE_SECONDS)


Talk = Callable[[Heard], Awaitable[None]]
"""What an engine does with one connection; at its end the connection is closed."""


def chunk(content: bytes) -> bytes:
    """Return one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def plain(body: bytes = b"{}", status: str = "200 OK", *lines: bytes, kind: bytes = b"application/json") -> bytes:
    """Return an answer with its length."""
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n" % (status.encode(), kind, len(body))
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


def events(*contents: bytes) -> bytes:
    """Return a whole stream of events, one chunk for each."""
    return EVENTS_HEAD + b"".join(map(chunk, contents)) + END


def saying(*pieces: bytes, is_reset: bool = False, is_kept: bool = False) -> Talk:
    """Return an engine that answers one request with these pieces, then closes, resets, or waits until it is left."""

    async def talk(heard: Heard) -> None:
        await heard.request()
        await heard.write(*pieces)
        if is_reset:
            reset(heard)
        elif is_kept:
            await heard.reader.read()
            heard.gone.set()

    return talk


def answering(answer: bytes) -> Talk:
    """Return an engine that answers every request on a connection with this."""

    async def talk(heard: Heard) -> None:
        while True:
            await heard.request()
            await heard.write(answer)

    return talk


def echoing(name: str) -> Talk:
    """Return an engine that tells its name and what it was asked, as JSON."""

    async def talk(heard: Heard) -> None:
        while True:
            request = await heard.request()
            echo = {
                "engine": name,
                "method": request.line.split(" ")[0],
                "target": request.target,
                "headers": request.headers,
                "body": request.body.decode("latin-1") if len(request.body) < 100_000 else len(request.body),
            }
            await heard.write(plain(json.dumps(echo).encode()))

    return talk


def reset(heard: Heard) -> None:
    """End a connection by a reset, which a close is not."""
    sock = heard.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    heard.writer.transport.abort()


@dataclass(slots=True)
class Engine:
    """Listens on a bound socket while it is open; its n-th connection has the n-th talk, later ones the last."""

    socket: socket.socket
    talks: Sequence[Talk]
    connections: int = 0
    requests: list[Message] = field(default_factory=list)
    open: list[Heard] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, sock=self.socket.dup(), limit=LIMIT_BYTES)
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.close()
        for heard in self.open:
            heard.writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = self.talks[min(self.connections, len(self.talks) - 1)]
        self.connections += 1
        heard = Heard(reader, writer, self.requests)
        self.open.append(heard)
        try:
            await talk(heard)
        except (asyncio.IncompleteReadError, ConnectionError):
            heard.gone.set()
        finally:
            self.open.remove(heard)
            writer.close()


async def opened(stack: AsyncExitStack, sock: socket.socket, *talks: Talk) -> Engine:
    """Open an engine that ends with the stack."""
    return await stack.enter_async_context(Engine(sock, talks))
