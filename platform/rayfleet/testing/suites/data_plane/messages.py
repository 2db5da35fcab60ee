"""HTTP/1.1 messages as they stand on the wire, read by the suite's engines and clients alike.

No client of a library is used: what is tested are bytes, and ends that libraries smooth over.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

LIMIT_BYTES = 1 << 27


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """``line`` is the request or status line, ``headers`` have lower-case names, ``body`` is without its framing.

    ``interim`` are the statuses of interim answers before it. ``is_whole``: it ended as its framing says.
    """

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    is_whole: bool
    interim: tuple[int, ...] = ()

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.line.split(" ")[1])

    @property
    def target(self) -> str:
        """The target of a request."""
        return self.line.split(" ")[1]

    def header(self, name: str) -> str | None:
        """Return all values of a header, None when it is not there."""
        values = [value for each, value in self.headers if each == name]
        return ", ".join(values) if values else None

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    def told(self, name: str) -> Any:
        """Return a field of the body, which is a JSON object."""
        return self.json()[name]

    @property
    def error(self) -> str:
        """The message of an error in OpenAI's shape."""
        return str(self.told("error")["message"])

    @property
    def code(self) -> str | None:
        """The code of an error in OpenAI's shape; None when it is in no such shape."""
        match self.json():
            case {"error": {"message": str(), "type": str(), "param": _, "code": str() as code}}:
                return code
        return None

    @property
    def last_error(self) -> str:
        """The code in the last event of a stream, which must be an error."""
        last = self.body.rstrip().split(b"\n\n")[-1]
        return str(json.loads(last.removeprefix(b"data: "))["error"]["code"])


async def read_message(reader: asyncio.StreamReader, method: str = "", interim: tuple[int, ...] = ()) -> Message:
    """Return the next message; ``method`` is that of the request that is answered, empty when a request is read.

    What breaks off within the body is a message that is not whole. Raises IncompleteReadError or ConnectionError when
    there is none.
    """
    head = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
    line, *lines = head.split("\r\n")
    headers = tuple((name.lower(), value.strip(" \t")) for name, _, value in (each.partition(":") for each in lines))
    if method and line.split(" ")[1].startswith("1"):
        return await read_message(reader, method, (*interim, int(line.split(" ")[1])))
    has_none = method == "HEAD" or (bool(method) and line.split(" ")[1] in {"204", "304"})
    body, is_whole = (b"", True) if has_none else await _body(reader, dict(headers), is_answer=bool(method))
    return Message(line=line, headers=headers, body=body, is_whole=is_whole, interim=interim)


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str], *, is_answer: bool) -> tuple[bytes, bool]:
    pieces: list[bytes] = []
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                pieces.append(await reader.readexactly(size))
                assert await reader.readexactly(2) == b"\r\n"
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return b"".join(pieces), True
        if "content-length" in headers:
            left = int(headers["content-length"])
            while left and (piece := await reader.read(min(left, 1 << 20))):
                pieces.append(piece)
                left -= len(piece)
            return b"".join(pieces), not left
        while is_answer and (piece := await reader.read(1 << 20)):
            pieces.append(piece)
        return b"".join(pieces), True
    return b"".join(pieces), False
