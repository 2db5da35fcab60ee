"""A client of a plane whose every byte a test says."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rayfleet.testing.suites.data_plane.messages import LIMIT_BYTES, Message, read_message

LIMIT_SECONDS = 60


class Client:
    """One connection to a plane."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, sent: bytes) -> None:
        """Send bytes."""
        self.writer.write(sent)

    async def answer(self, method: str = "POST") -> Message:
        """Return the next answer, to a request of that method."""
        return await read_message(self.reader, method)

    async def rest(self) -> bytes:
        """Return what comes until the plane closes, or resets."""
        received = b""
        try:
            while data := await self.reader.read(1 << 20):
                received += data
        except ConnectionError:
            pass
        return received


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Client]:
    """Connect to a plane; nothing within takes longer than ``LIMIT_SECONDS``."""
    async with asyncio.timeout(LIMIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LIMIT_BYTES)
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()


def body_of(model: str, **more: object) -> bytes:
    """Return the JSON body of a request for a model."""
    return json.dumps({"model": model, "prompt": "x", **more}).encode()


def request(
    body: bytes | None = None,
    *lines: str,
    line: str = "POST /v1/completions HTTP/1.1",
    host: str = "gw.example",
    is_last: bool = True,
) -> bytes:
    """Return a request; with ``is_last`` it asks to close, with a ``body`` it has a length and is JSON."""
    head = [line, f"Host: {host}", *(["Connection: close"] if is_last else []), *lines]
    if body is not None:
        has_kind = any(each.lower().startswith("content-type:") for each in lines)
        head += [f"Content-Length: {len(body)}", *([] if has_kind else ["Content-Type: application/json"])]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + (body or b"")
