"""The gateway between clients and upstreams that misbehave on the wire, byte by byte."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import aiohttp
import pytest

from rayfleet.testing.waiting import until
from rayfleet_gateway.answer.events import EventWatch
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import FLEET_PATHS, GatewayServer, table_for

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"model": "m", "prompt": "x"}'
JSON_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT_SECONDS = 120
PATIENT = timedelta(seconds=60)


@dataclass(slots=True)
class Scripted:
    """An upstream that does on its n-th connection what the n-th script says, and on later ones what the last says."""

    talks: list[Talk]
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = self.talks[min(self.connections, len(self.talks) - 1)]
        self.connections += 1
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> None:
        """Read one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        self.requests.append(head + await reader.readexactly(length))


def answering(up: Scripted, *answers: bytes, is_kept: bool = False) -> Talk:
    """Return a talk that answers one request after the other, then closes, or keeps the connection open."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await up.request(reader)
            writer.write(answer)
            await writer.drain()
        if is_kept:
            await reader.read(1)  # until it is used again or left

    return talk


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


@asynccontextmanager
async def scripted(
    up: Scripted, settings: GatewaySettings | None = None, paths: Sequence[str] = FLEET_PATHS
) -> AsyncIterator[GatewayServer]:
    server = await asyncio.start_server(up.serve, "127.0.0.1", 0)
    up.port = server.sockets[0].getsockname()[1]
    table = table_for("m", Endpoint(address="127.0.0.1", port=up.port), timeout=PATIENT, paths=paths)
    async with asyncio.timeout(LIMIT_SECONDS), server:
        gateway = GatewayServer(table, settings)
        async with gateway:
            yield gateway
            assert gateway.in_flight() == 0
        server.close()


async def asked(gateway: GatewayServer, path: str = "/v1/completions") -> tuple[int, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + path, data=BODY) as response,
    ):
        return response.status, await response.read()


async def test_a_request_is_sent_at_most_twice() -> None:
    up = Scripted([])

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(up, JSON_ANSWER)(reader, writer)
        await up.request(reader)

    up.talks = [answers_once, closes]
    async with scripted(up, GatewaySettings(stale_limit=PATIENT)) as gateway:
        assert (await asked(gateway))[0] == 200
        status, text = await asked(gateway)
        assert (status, json.loads(text)["error"]["code"]) == (502, "upstream_error")
        assert len(up.requests) == 3


async def test_a_request_that_was_at_work_for_long_is_never_sent_again() -> None:
    up = Scripted([])

    async def works_and_dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(up, JSON_ANSWER)(reader, writer)
        await up.request(reader)
        await asyncio.sleep(0.1)  # longer than the limit below: time is what is tested

    up.talks = [works_and_dies, answering(up, JSON_ANSWER)]
    async with scripted(up, GatewaySettings(stale_limit=timedelta(seconds=0.05))) as gateway:
        assert (await asked(gateway))[0] == 200
        assert (await asked(gateway))[0] == 502
        assert up.connections == 1


async def test_in_flight_is_zero_after_any_mix_of_faults() -> None:
    """Every way an exchange can end, many at once, clients leaving at any moment.

    One count for each, nothing in flight.
    """
    chance = random.Random(7)  # noqa: S311 - the same mix each time
    up = Scripted([])
    event = chunk(b'data: {"n": 1}\n\n')
    talks = [
        answering(up, JSON_ANSWER, JSON_ANSWER),
        answering(up, JSON_ANSWER, is_kept=True),
        answering(up, EVENTS_HEAD + event),
        answering(up, EVENTS_HEAD + event + chunk(b"data: [DONE]\n\n") + chunk(b""), is_kept=True),
        answering(up, EVENTS_HEAD + event, is_kept=True),  # silent until it is left
        answering(up, b""),
        answering(up, b"HTTP/1.1 500 X\r\nContent-Length: 1\r\n\r\nx", is_kept=True),
    ]
    up.talks = [chance.choice(talks) for _ in range(200)]
    async with scripted(up, GatewaySettings(idle_timeout=timedelta(seconds=0.3))) as gateway:

        async def one(patience_seconds: float) -> None:
            try:
                async with asyncio.timeout(patience_seconds):
                    await asked(gateway)
            except (TimeoutError, aiohttp.ClientError):
                pass

        await asyncio.gather(*(one(chance.choice([0.02, 0.1, 60])) for _ in range(100)))
        await until(lambda: gateway.connections, "no connection is left", holds=lambda left: not left)
        assert not any(state.in_flight for state in gateway.gateway.book.states())
        assert gateway.running == 0
        results = {result for _, _, result in gateway.counted()}
        assert results <= {"ok", "upstream_error", "client_gone", "5xx"}
        assert {"ok", "upstream_error"} <= results


@pytest.mark.parametrize("size", range(1, 30))
def test_marks_are_seen_wherever_chunks_are_cut(size: int) -> None:
    stream = b'data: {"text": "data: {\\"error\\""}\n\n'
    error = stream + b'data: {"error": {"message": "x"}}\n\ndata: [DONE]\n\n'
    for content, has_error in ((stream + b"data: [DONE]\n\n", False), (error, True)):
        watch = EventWatch()
        for start in range(0, len(content), size):
            watch.feed(content[start : start + size])
        assert (watch.has_error, watch.is_done, watch.is_between_events) == (has_error, True, True)
