"""The engine of the gateway's benchmark: just enough HTTP to be no part of the cost; it answers what it made before.

It also answers what routers ask an engine about itself, all with one page that satisfies them.
"""

import asyncio
from typing import cast

EVENTS = 100
EVENT_SECONDS = 0.02  # tokens come one by one: several in one packet would cost less than they do
_EVENT = (
    b'data: {"id": "cmpl-1", "object": "text_completion", "created": 0, "model": "m", '
    b'"choices": [{"index": 0, "text": " word", "finish_reason": null}]}\n\n'
)
_DONE = b"data: [DONE]\n\n"
_BODY = (
    b'{"id": "cmpl-1", "object": "text_completion", "created": 0, "model": "m", "choices": [{"index": 0, '
    b'"finish_reason": "stop", "text": "' + b"word " * 50 + b'"}], '
    b'"usage": {"prompt_tokens": 9, "completion_tokens": 50, "total_tokens": 59}}'
)
_ABOUT = (
    b'{"object": "list", "data": [{"id": "m", "object": "model", "created": 0, "owned_by": "bench"}], '
    b'"model_path": "m", "served_model_name": "m", "status": "ok", "is_generation": true}'
)
_STREAMS_BYTES = 4096
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Upstream(asyncio.Protocol):
    """Answers each request at once, or with ``EVENTS`` events, each its own write, when its body says ``"stream"``."""

    def __init__(self) -> None:
        self._start = b""  # of a request whose kind is not known yet
        self._missing = 0  # of a body
        self._answer = _ANSWER
        self._transport: asyncio.Transport | None = None
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams:
            stream.cancel()

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
        elif not self._has_begun(self._start + data):
            self._start += data
            return
        if self._missing <= 0:
            self._missing = 0
            self._give()

    def _has_begun(self, data: bytes) -> bool:
        """Whether it is known what to answer: the head is there, and the whole of a body that may ask for a stream."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return False
        head, body = data[:end].lower(), data[end + 4 :]
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length <= _STREAMS_BYTES:
            return False
        self._start, self._missing = b"", length - len(body)
        self._answer = _ANSWER if head.startswith(b"post") else _ABOUT_ANSWER
        if length <= _STREAMS_BYTES and b'"stream":true' in body.replace(b" ", b""):
            self._answer = b""
        return True

    def _give(self) -> None:
        assert self._transport is not None
        if self._answer:
            self._transport.write(self._answer)
            return
        task = asyncio.get_running_loop().create_task(self._stream(self._transport))
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    async def _stream(self, transport: asyncio.Transport) -> None:
        transport.write(_HEAD)
        event = _chunk(_EVENT)
        for _ in range(EVENTS - 1):
            transport.write(event)
            await asyncio.sleep(EVENT_SECONDS)
        transport.write(_chunk(_DONE) + b"0\r\n\r\n")


def _whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


_ANSWER, _ABOUT_ANSWER = _whole(_BODY), _whole(_ABOUT)
