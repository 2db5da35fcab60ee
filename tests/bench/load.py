"""The load generator of the gateway's benchmark: ``python -m tests.bench.load``, one process on a core of its own.

Reads one job of JSON a line and answers each with a line of JSON. A raw protocol on uvloop: it has to cost much less
than what it measures. Every answer is looked at (status and end); one that is not 200 and whole ends the run.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import cast

import uvloop
from tests.bench.upstream import EVENTS

_PATH = b"/v1/completions"
_STUCK_SECONDS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``connections`` ask one after the other, a new request when the last is answered, for ``seconds``.

    Or, with ``requests`` above 0, until so many were sent.
    """

    port: int
    connections: int
    seconds: float
    body_bytes: int
    is_stream: bool = False
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``units`` are requests, or events of streams; ``p50_us`` is of whole requests."""

    units: int
    seconds: float
    p50_us: float


class Asker(asyncio.Protocol):
    """One connection that asks until its time is up; ``done`` then has the number of requests."""

    def __init__(self, requests: Sequence[bytes], is_stream: bool, may_go_on: "Allowance") -> None:
        self._requests = itertools.cycle(requests)
        self._is_stream = is_stream
        self._may_go_on = may_go_on
        self._left = -1  # of the body that has a length; -1: its head is not read
        self._tail = b""
        self._asked_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.count = 0
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            data = self._tail + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._tail = data
                return
            head, data = data[:end].lower(), data[end + 4 :]
            if not head.startswith(b"http/1.1 200"):
                self._fail(head[:200])
                return
            self._tail = b""
            at = head.find(b"content-length:")
            self._left = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else sys.maxsize
        self._left -= len(data)
        if self._left > 1 << 40:  # chunked: it ends with an empty chunk
            self._tail = (self._tail + data)[-7:]
            if not self._tail.endswith(b"\r\n0\r\n\r\n"):
                return
        elif self._left > 0:
            return
        self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionResetError("the connection was closed in mid-run"))

    def _answered(self) -> None:
        self.count += EVENTS if self._is_stream else 1
        self.times.append(time.perf_counter() - self._asked_at)
        self._left, self._tail = -1, b""
        if self._may_go_on.take():
            self._ask()
        else:
            self.done.set_result(None)
            assert self._transport is not None
            self._transport.close()

    def _ask(self) -> None:
        self._asked_at = time.perf_counter()
        assert self._transport is not None
        self._transport.write(next(self._requests))

    def _fail(self, head: bytes) -> None:
        self.done.set_exception(RuntimeError(f"no answer but {head!r}"))
        assert self._transport is not None
        self._transport.abort()


class Allowance:
    """Says whether another request may be sent."""

    def __init__(self, job: Job) -> None:
        self._until = time.perf_counter() + job.seconds
        self._left = job.requests - job.connections
        self._counts = job.requests > 0

    def take(self) -> bool:
        """Whether one more may be; with a number of requests, it is one less then."""
        if not self._counts:
            return time.perf_counter() < self._until
        self._left -= 1
        return self._left >= 0


async def run(job: Job) -> Report:
    """Do one job."""
    requests = requests_of(job)
    allowance = Allowance(job)
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    askers: list[Asker] = []
    for _ in range(job.connections):
        _, asker = await loop.create_connection(
            lambda: Asker(requests, job.is_stream, allowance), "127.0.0.1", job.port
        )
        askers.append(asker)
    async with asyncio.timeout(job.seconds + _STUCK_SECONDS):
        await asyncio.gather(*(asker.done for asker in askers))
    times = sorted(took for asker in askers for took in asker.times)
    return Report(
        units=sum(asker.count for asker in askers),
        seconds=time.perf_counter() - started,
        p50_us=times[len(times) // 2] * 1e6,
    )


def requests_of(job: Job) -> Sequence[bytes]:
    """Return requests whose bodies are as long as asked, but for some bytes: prompts are never of one length."""
    return [_request(job, job.body_bytes + more) for more in ((3, -5, 1, -2, 4, -1) if job.body_bytes else (0,))]


def _request(job: Job, size: int) -> bytes:
    """Return a request in the shape that every peer takes."""
    stream = b'"stream": true, ' if job.is_stream else b""
    body = b'{"model": "m", %s"max_tokens": 100, "prompt": "' % stream
    body += b"x" * max(0, size - len(body) - 2) + b'"}'
    head = (
        b"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nmodel: m\r\nContent-Length: %d\r\n\r\n"
    )
    return head % (_PATH, len(body)) + body


def main() -> None:
    """Answer jobs until the input ends."""
    for line in sys.stdin:
        try:
            answer = asdict(uvloop.run(run(Job(**json.loads(line)))))
        except (OSError, RuntimeError, TimeoutError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
