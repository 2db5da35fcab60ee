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

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet.testing.waiting import until
from rayfleet_gateway.answer.events import EventWatch
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import FLEET_PATHS, GatewayServer, OpenGateway, endpoint_of, table_for

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"model": "m", "prompt": "x"}'
JSON_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LIMIT_SECONDS = 60


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
    table = table_for("m", Endpoint(address="127.0.0.1", port=up.port), timeout=timedelta(seconds=5), paths=paths)
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


async def raw(gateway: GatewayServer, sent: bytes) -> bytes:
    """Return everything that the gateway answers on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(sent)
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_pooled_connection_that_was_just_closed_is_nobodys_error() -> None:
    up = Scripted([])

    async def closes_when_used_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)
        writer.write(JSON_ANSWER)
        await reader.readexactly(1)  # the second request is on its way

    up.talks = [closes_when_used_again, answering(up, JSON_ANSWER)]
    async with scripted(up) as gateway:
        assert await asked(gateway) == (200, b"{}")
        assert await asked(gateway) == (200, b"{}")
        assert up.connections == 2
        assert gateway.counted() == {("m", "200", "ok"): 2}


async def test_a_request_is_sent_at_most_twice() -> None:
    up = Scripted([])

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)

    async def answers_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(up, JSON_ANSWER)(reader, writer)
        await up.request(reader)

    up.talks = [answers_once, closes]
    async with scripted(up) as gateway:
        assert (await asked(gateway))[0] == 200
        status, text = await asked(gateway)
        assert (status, json.loads(text)["error"]["code"]) == (502, "upstream_error")
        assert len(up.requests) == 3


async def test_a_request_on_a_new_connection_is_never_sent_again() -> None:
    up = Scripted([])

    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await up.request(reader)

    up.talks = [closes]
    async with scripted(up) as gateway:
        assert (await asked(gateway))[0] == 502
        assert len(up.requests) == 1
        assert gateway.counted() == {("m", "502", "upstream_error"): 1}


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


@pytest.mark.parametrize(
    "answer",
    [
        EVENTS_HEAD,  # the head and nothing more
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HELO you\r\n\r\n",
        b"",
    ],
)
async def test_what_fails_before_the_first_byte_is_a_502(answer: bytes) -> None:
    up = Scripted([])
    up.talks = [answering(up, answer)]
    async with scripted(up) as gateway:
        status, text = await asked(gateway)
        assert (status, json.loads(text)["error"]["code"]) == (502, "upstream_error")
        assert gateway.counted() == {("m", "502", "upstream_error"): 1}


async def test_a_stream_of_completions_that_ends_well_without_done_ends_with_an_error() -> None:
    up = Scripted([])
    up.talks = [answering(up, EVENTS_HEAD + chunk(b'data: {"n": 1}\n\n') + chunk(b""))]
    async with scripted(up) as gateway:
        status, text = await asked(gateway)
        assert status == 200
        assert text.startswith(b'data: {"n": 1}\n\ndata: {"error":')
        assert gateway.counted() == {("m", "200", "upstream_error"): 1}


async def test_streams_of_other_paths_have_ends_of_their_own() -> None:
    up = Scripted([])
    up.talks = [answering(up, EVENTS_HEAD + chunk(b"event: done\n\n") + chunk(b""))]
    async with scripted(up, paths=["/v1/classify"]) as gateway:
        assert await asked(gateway, "/v1/classify") == (200, b"event: done\n\n")
        assert gateway.counted() == {("m", "200", "ok"): 1}


async def test_a_stream_that_breaks_within_an_event_is_cut() -> None:
    up = Scripted([])
    up.talks = [answering(up, EVENTS_HEAD + chunk(b'data: {"n'))]
    async with scripted(up) as gateway:
        with pytest.raises(aiohttp.ClientPayloadError):
            await asked(gateway)
        assert gateway.counted() == {("m", "200", "upstream_error"): 1}


async def test_an_error_event_within_a_200_passes_and_is_counted(open_gateway: OpenGateway) -> None:
    async with fake_engine(FakeEngine(model="m", fault=Fault.ERROR_IN_STREAM)) as engine:
        gateway = GatewayServer(table_for("m", endpoint_of(engine.url)))
        client = await open_gateway(gateway)
        body = {"model": "m", "stream": True}
        async with aiohttp.ClientSession() as session:
            direct = await (await session.post(f"{engine.url}/v1/completions", json=body)).read()
        through = await (await client.post("/v1/completions", json=body)).read()
        assert through == direct
        assert gateway.counted() == {("m", "200", "engine_error"): 1}


async def test_expect_continue_is_answered_here() -> None:
    up = Scripted([])
    up.talks = [answering(up, JSON_ANSWER)]
    async with scripted(up) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        head = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(BODY))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
        writer.close()
        assert b"expect" not in up.requests[0].lower()


async def test_a_chunked_request_goes_on_whole() -> None:
    up = Scripted([])
    up.talks = [answering(up, JSON_ANSWER)]
    async with scripted(up) as gateway:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = await raw(gateway, head + chunk(BODY[:5]) + chunk(BODY[5:]) + chunk(b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert up.requests[0].endswith(BODY)


async def test_a_client_of_http_1_0_gets_a_stream_until_the_connection_closes() -> None:
    up = Scripted([])
    done = b"data: [DONE]\n\n"
    up.talks = [answering(up, EVENTS_HEAD + chunk(done) + chunk(b""))]
    async with scripted(up) as gateway:
        answer = await raw(
            gateway, b"POST /v1/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        assert body == done


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", 400),
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"X-Long: " + b"x" * (80 << 10) + b"\r\n", 431),
        (b"X: y\r\n" * 101, 431),
        (b"Content-Length: x\r\n", 400),
    ],
)
async def test_heads_that_could_be_read_in_two_ways_or_never_end_are_refused(
    head: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    up = Scripted([])
    up.talks = [answering(up, JSON_ANSWER)]
    async with scripted(up) as gateway:
        answer = await raw(gateway, b"POST /v1/completions HTTP/1.1\r\nHost: h\r\n" + head + b"\r\nabc")
        assert b" %d " % status in answer.splitlines()[0]
        assert gateway.counted() == {("unknown", str(status), "refused"): 1}
        assert not up.requests
        assert not caplog.records


async def test_a_header_of_40_kb_goes_on_and_bytes_that_are_no_utf8_harm_nothing() -> None:
    up = Scripted([])
    up.talks = [answering(up, JSON_ANSWER)]
    token = b"t" * (40 << 10)
    async with scripted(up) as gateway:
        head = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer " + token
        rest = b"\r\nX-Name: caf\xe9\r\nX-Request-Id: \xe9\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
        assert (await raw(gateway, head + rest)).startswith(b"HTTP/1.1 200")
        assert token in up.requests[0]


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

        await asyncio.gather(*(one(chance.choice([0.02, 0.1, 5])) for _ in range(100)))
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
