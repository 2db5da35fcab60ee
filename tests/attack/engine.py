"""An engine that does to each request what its prompt says, and keeps book of who was asked what.

The first word of a prompt is a deed of ``DEEDS``; ``Book.repeated`` names the requests that came again after a byte of
an answer to them was sent.
"""

import asyncio
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.attack.wire import HOST

EVENTS, LONG_EVENTS = 5, 40
FLOOD_BYTES = 16 << 20
_EVENT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_DONE = b"data: [DONE]\n\n"
_LAST = b"0\r\n\r\n"
_MOMENT = 0.005  # between what is sent and the reset after it, so that both are seen
_LONG = 30.0
_GAP = 0.1


@dataclass(slots=True)
class Book:
    """``asked``: by request id. ``deeds``: what was done how often. ``open``: connections now."""

    asked: Counter[str] = field(default_factory=Counter)
    begun: set[str] = field(default_factory=set)
    repeated: list[str] = field(default_factory=list)
    deeds: Counter[str] = field(default_factory=Counter)
    open: int = 0


@dataclass(slots=True)
class _Asked:
    writer: asyncio.StreamWriter
    book: Book
    request_id: str
    words: list[str]

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def begin(self, data: bytes) -> None:
        """Send what a client may see."""
        self.book.begun.add(self.request_id)
        await self.send(data)

    async def reset(self) -> None:
        await asyncio.sleep(_MOMENT)
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def whole_text(request_id: str) -> bytes:
    """Return the JSON of a plain answer."""
    return json.dumps(
        {"id": request_id, "choices": [{"text": "word " * 40}], "usage": {"completion_tokens": 40}}
    ).encode()


def events(request_id: str) -> list[bytes]:
    """Return the events of a stream, without its end."""
    return [f'data: {{"id": "{request_id}", "n": {number}}}\n\n'.encode() for number in range(EVENTS)]


def chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _measured(text: bytes, length: int | None = None, status: bytes = b"200 OK") -> bytes:
    size = len(text) if length is None else length
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, size, text)


async def _plain(one: _Asked) -> None:
    await one.begin(_measured(whole_text(one.request_id)))


async def _stream(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD)
    for event in events(one.request_id):
        await one.send(chunk(event))
        await asyncio.sleep(0)
    await one.send(chunk(_DONE) + _LAST)


async def _slow_stream(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD)
    for event in events(one.request_id):
        await one.send(chunk(event))
        await asyncio.sleep(_GAP)
    await one.send(chunk(_DONE) + _LAST)


async def _long_stream(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD)
    for number in range(LONG_EVENTS):
        await one.send(chunk(b"data: %d\n\n" % number))
        await asyncio.sleep(_GAP)
    await one.send(chunk(_DONE) + _LAST)


async def _flood(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD)
    event = chunk(b"data: " + b"x" * 16_000 + b"\n\n")
    for _ in range(FLOOD_BYTES // len(event)):
        await one.send(event)
    await one.send(chunk(_DONE) + _LAST)


async def _page(one: _Asked) -> None:
    """Answer with as many bytes as the prompt says."""
    await one.begin(_measured(b" " * int(one.words[1])))


async def _tiny_chunks(one: _Asked) -> None:
    """Answer with a body in chunks of one byte."""
    await one.begin(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(int(one.words[1]) // 10_000):
        await one.send(b"1\r\nx\r\n" * 10_000)
    await one.send(_LAST)


async def _resets(one: _Asked) -> None:
    await one.reset()


async def _half_a_head(one: _Asked) -> None:
    await one.send(b"HTTP/1.1 200 OK\r\nContent-Ty")
    await one.reset()


async def _garbage(one: _Asked) -> None:
    await one.send(b"\x00\x01\x02 SSH-2.0 what\r\n\r\n")
    await asyncio.sleep(_MOMENT)


async def _too_short(one: _Asked) -> None:
    text = whole_text(one.request_id)
    await one.begin(_measured(text, len(text) + 7))
    await asyncio.sleep(_MOMENT)
    one.writer.close()


async def _too_long(one: _Asked) -> None:
    text = whole_text(one.request_id)
    await one.begin(_measured(text + b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", len(text)))


async def _cut_stream(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD + chunk(events(one.request_id)[0]))
    await one.reset()


async def _no_done(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD + b"".join(map(chunk, events(one.request_id)[:2])) + _LAST)


async def _until_reset(one: _Asked) -> None:
    await one.begin(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + whole_text(one.request_id)[:9])
    await one.reset()


async def _bad_chunk(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD + chunk(events(one.request_id)[0]) + b"ZZ\r\n")
    await asyncio.sleep(_LONG)


async def _error_event(one: _Asked) -> None:
    error = b'data: {"error": {"message": "rank died", "code": 500}}\n\n'
    await one.begin(_EVENT_HEAD + chunk(events(one.request_id)[0]) + chunk(error) + chunk(_DONE) + _LAST)


async def _status(one: _Asked) -> None:
    """Answer with the error that the prompt says."""
    text = b'{"error": {"message": "no", "type": "x", "code": 1, "param": null}}'
    await one.send(_measured(text, status=one.words[1].encode() + b" Bad"))


async def _hangs(one: _Asked) -> None:
    await asyncio.sleep(_LONG)


async def _never_ends(one: _Asked) -> None:
    await one.begin(_EVENT_HEAD + chunk(events(one.request_id)[0]))
    await asyncio.sleep(_LONG)


DEEDS: dict[str, Callable[[_Asked], Awaitable[None]]] = {
    "plain": _plain,
    "stream": _stream,
    "slow-stream": _slow_stream,
    "long-stream": _long_stream,
    "flood": _flood,
    "page": _page,
    "tiny-chunks": _tiny_chunks,
    "resets": _resets,
    "half-a-head": _half_a_head,
    "garbage": _garbage,
    "too-short": _too_short,
    "too-long": _too_long,
    "cut-stream": _cut_stream,
    "no-done": _no_done,
    "until-reset": _until_reset,
    "bad-chunk": _bad_chunk,
    "error-event": _error_event,
    "status": _status,
    "hangs": _hangs,
    "never-ends": _never_ends,
}
_CLOSING = frozenset({"garbage", "too-short", "too-long", "until-reset", "bad-chunk", "hangs", "never-ends"})


@asynccontextmanager
async def running_engine(book: Book, port: int = 0) -> AsyncIterator[int]:
    """Run an engine; the value is its port."""
    answering: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        answering.add(task)
        book.open += 1
        try:
            await _serve(book, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the last: the engine ends; asyncio's streams would log a cancelled one as an error
        finally:
            book.open -= 1
            answering.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, HOST, port, backlog=4096)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


async def _serve(book: Book, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request after the other; a client that leaves ends a deed that waits."""
    while True:
        one = await _read_request(book, reader, writer)
        doing = asyncio.ensure_future(DEEDS[one.words[0]](one))
        if one.words[0] in _CLOSING:
            leaving = asyncio.ensure_future(reader.read(1))
            await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
            for task in (doing, leaving):
                task.cancel()
            await asyncio.gather(doing, leaving, return_exceptions=True)
            return
        await doing


async def _read_request(book: Book, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    words = _words(body) if len(body) < 100_000 else ["plain"]
    one = _Asked(writer, book, fields.get("x-request-id", ""), words)
    book.asked[one.request_id] += 1
    book.deeds[" ".join(words[:2]) if words[0] == "status" else words[0]] += 1
    if one.request_id in book.begun:
        book.repeated.append(one.request_id)
    return one


def _words(body: bytes) -> list[str]:
    try:
        words = str(json.loads(body).get("prompt", "")).split()
    except (ValueError, AttributeError):
        return ["plain"]
    return words if words and words[0] in DEEDS else ["plain"]
