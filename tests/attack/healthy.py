"""Honest clients beside an attack: plain requests and streams, on kept and on new connections; none may fail."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.attack.engine import events
from tests.attack.wire import HOST, Answer, prompt, read_answer, request

_CLIENTS = 6
_PAUSE_SECONDS = 0.01
_REQUESTS_A_CONNECTION = 5


@dataclass(slots=True)
class Health:
    """What honest clients saw. ``seconds``: of each request."""

    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def p99_ms(self) -> float:
        """The time that 99 % of the requests kept within."""
        ordered = sorted(self.seconds)
        return round(ordered[int(len(ordered) * 0.99)] * 1000, 1) if ordered else 0.0


@asynccontextmanager
async def honest_clients(port: int, model: str = "m") -> AsyncIterator[Health]:
    """Run them; each ends with a request that is whole."""
    health, stop = Health(), asyncio.Event()
    tasks = [asyncio.create_task(_client(port, number, model, health, stop)) for number in range(_CLIENTS)]
    try:
        yield health
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _client(port: int, number: int, model: str, health: Health, stop: asyncio.Event) -> None:
    turn = 0
    while not stop.is_set():
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError as error:
            health.failures.append(f"no connection: {error}")
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        for _ in range(_REQUESTS_A_CONNECTION):
            turn += 1
            if not await _ask(reader, writer, f"honest-{number}-{turn}", model, health) or stop.is_set():
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        writer.transport.abort()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request_id: str, model: str, health: Health
) -> bool:
    is_stream = request_id.endswith("0")
    started = time.monotonic()
    writer.write(request(prompt("stream" if is_stream else "plain", model), more=f"X-Request-Id: {request_id}\r\n"))
    answer = await read_answer(reader)
    health.seconds.append(time.monotonic() - started)
    if not is_right(answer, request_id, is_stream=is_stream):
        health.failures.append(f"{request_id}: {answer.status} {answer.is_whole} {answer.body[:200]!r}")
        return False
    return answer.is_kept


def is_right(answer: Answer, request_id: str, *, is_stream: bool) -> bool:
    """Whether it is the whole and right answer to this request."""
    if answer.status != 200 or not answer.is_whole:
        return False
    if is_stream:
        return answer.body == b"".join(events(request_id)) + b"data: [DONE]\n\n"
    return request_id.encode() in answer.body and answer.body.endswith(b"}}")
