"""An engine by script: what its port does is said path by path, down to the bytes; it can be changed while it runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from rayfleet.model.json import Json


class Deed(StrEnum):
    """What becomes of a request whose head was read."""

    ANSWER = "answer"
    HANG = "hang"  # nothing at all is said
    CLOSE = "close"  # the connection ends without a word
    CUT = "cut"  # the body ends before its length
    ENDLESS = "endless"  # the body goes on and on


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one path answers."""

    status: int = 200
    body: bytes = b""
    deed: Deed = Deed.ANSWER
    raw: bytes | None = None


def said(content: Json | list[object] | str, status: int = 200) -> Reply:
    """Return an answer with that content."""
    body = content if isinstance(content, str) else json.dumps(content)
    return Reply(status=status, body=body.encode())


def error(status: int, message: str) -> Reply:
    """Return an error in OpenAI's shape."""
    return said({"error": {"message": message, "code": status}}, status)


HANGS, CLOSES = Reply(deed=Deed.HANG), Reply(deed=Deed.CLOSE)
TOKEN = said({"choices": [{"index": 0, "text": "Paris"}]})


def nodes(*alive: str, dead: tuple[str, ...] = ()) -> Reply:
    """Return Ray's view."""
    return said({"alive": list(alive), "dead": list(dead)})


def page(running: int = 0, steps: int = 0, served: int = 0, failed: int = 0) -> Reply:
    """Return an engine's metrics."""
    values = {"running": running, "steps_total": steps, "served_total": served, "failed_total": failed}
    kinds = {"running": "gauge"}
    text = "".join(f"# TYPE {name} {kinds.get(name, 'counter')}\n{name} {value}\n" for name, value in values.items())
    return said(text)


def load(count: int) -> Reply:
    """Return how many requests the engine's port has taken up."""
    return said({"n": count})


WELL: dict[str, Reply] = {
    "/health": Reply(),
    "/nodes": nodes("a", "b"),
    "/v1/models": said({"data": [{"id": "m"}]}),
    "/v1/completions": TOKEN,
    "/metrics": page(),
    "/load": load(0),
    "/sleep": Reply(),
    "/wake": Reply(),
}


@dataclass(slots=True)
class ScriptedEngine:
    """``replies`` by path; ``once`` are for the next request of a path alone. ``heads`` are the heads of
    requests, ``left`` counts clients that left without an answer.
    """

    replies: dict[str, Reply] = field(default_factory=lambda: dict(WELL))
    once: dict[str, list[Reply]] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    left: int = 0
    url: str = ""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(head.split(" ")[1].partition("?")[0] == path for head in self.heads)

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                await reader.readexactly(_length(head))
                if not await self._answer(self._reply(head.split(" ")[1].partition("?")[0]), reader, writer):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    def _reply(self, path: str) -> Reply:
        once = self.once.get(path)
        return once.pop(0) if once else self.replies.get(path, error(404, "Not Found"))

    async def _answer(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Do what the reply says; return whether the connection goes on."""
        if reply.deed is Deed.HANG:
            await reader.read()  # until the client leaves
            self.left += 1
            return False
        if reply.deed is Deed.CLOSE:
            return False
        if reply.raw is not None:
            writer.write(reply.raw)
            await writer.drain()
            return False
        length = len(reply.body) + (10 if reply.deed is Deed.CUT else 0)
        framing = "Transfer-Encoding: chunked" if reply.deed is Deed.ENDLESS else f"Content-Length: {length}"
        writer.write(f"HTTP/1.1 {reply.status} Said\r\n{framing}\r\n\r\n".encode())
        if reply.deed is Deed.ENDLESS:
            while True:
                writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
                await writer.drain()
        writer.write(reply.body)
        await writer.drain()
        return reply.deed is Deed.ANSWER


def _length(head: str) -> int:
    lines = (line.partition(":") for line in head.lower().splitlines())
    return next((int(value) for name, _, value in lines if name == "content-length"), 0)


@asynccontextmanager
async def scripted_engine() -> AsyncIterator[ScriptedEngine]:
    """Run an engine on a free loopback port."""
    engine = ScriptedEngine()
    await engine.open()
    try:
        yield engine
    finally:
        await engine.close()
