"""Requests as bytes, and answers read as a strict client reads them: what is not framed to its end is not whole."""

import asyncio
import json
import zlib
from dataclasses import dataclass, field

HOST = "127.0.0.1"
ANSWER_SECONDS = 60
PATH = "/v1/completions"
_LINE_BYTES = 1 << 20


@dataclass(slots=True)
class Answer:
    """``is_whole``: its framing says that this is all of it. ``status`` 0: there was no answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False

    @property
    def is_kept(self) -> bool:
        """Whether the connection takes another request."""
        return self.is_whole and self.headers.get("connection", "") != "close"

    @property
    def is_ours(self) -> bool:
        """Whether it is an error in OpenAI's shape."""
        try:
            error = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return False
        return isinstance(error, dict) and error.keys() >= {"message", "type", "code", "param"}


def request(body: bytes, *, path: str = PATH, more: str = "", is_framed: bool = True) -> bytes:
    """Return a POST; ``more``: whole header lines. Not ``is_framed``: ``more`` says how long the body is."""
    length = f"Content-Length: {len(body)}\r\n" if is_framed else ""
    return f"POST {path} HTTP/1.1\r\nHost: gateway\r\n{length}{more}\r\n".encode() + body


def prompt(words: str, model: str = "m", **more: object) -> bytes:
    """Return the body of a completion."""
    return json.dumps({"model": model, "prompt": words, **more}).encode()


def chunked(body: bytes, size: int, extension: bytes = b"") -> bytes:
    """Return ``body`` in chunks of ``size``, each with ``extension`` after its size."""
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n\r\n"


def zipped(size: int) -> bytes:
    """Return ``size`` bytes of a JSON string of escapes, packed: small, and slow to look through."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(b'{"prompt": "')]
    parts += [packer.compress(b'\\"' * (1 << 16)) for _ in range(size >> 17)]
    return b"".join(parts) + packer.compress(b'", "model": "m"}') + packer.flush()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Return the next answer, or as much of it as there is."""
    answer = Answer()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await _read_into(answer, reader)
    except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
        answer.is_whole = False
    return answer


async def asked(port: int, data: bytes) -> Answer:
    """Send bytes on a connection of their own and return the answer."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=_LINE_BYTES)
    try:
        writer.write(data)
        return await read_answer(reader)
    finally:
        writer.transport.abort()


async def _read_into(answer: Answer, reader: asyncio.StreamReader) -> None:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    answer.status = int(lines[0].split()[1])
    pairs = (line.partition(":") for line in lines[1:] if line)
    answer.headers = {name.lower(): value.strip() for name, _, value in pairs}
    if "chunked" in answer.headers.get("transfer-encoding", ""):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            answer.body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif "content-length" in answer.headers:
        left = int(answer.headers["content-length"])
        while left:
            piece = await reader.read(left)
            if not piece:
                return
            answer.body += piece
            left -= len(piece)
    else:
        answer.body = await reader.read()
    answer.is_whole = True
