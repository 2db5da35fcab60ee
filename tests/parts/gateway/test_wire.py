"""What passes between clients, the gateway and engines, byte by byte: framing, ends, pipelines, limits, deadlines."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest

from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import GatewayServer, table_for

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BODY = b'{"model": "m", "prompt": "x"}'
REQUEST = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
JSON_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
EVENTS_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"n": 1}\n\n'
DONE = b"data: [DONE]\n\n"
QUICK = GatewaySettings(
    head_timeout=timedelta(seconds=0.3),
    body_start_timeout=timedelta(seconds=0.3),
    keep_alive_timeout=timedelta(seconds=0.3),
)


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


def saying(*pieces: bytes, is_reset: bool = False, is_kept: bool = False) -> Talk:
    """Return an engine that reads a request and writes these pieces."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)  # each is a segment of its own
        if is_reset:
            writer.transport.abort()
        elif is_kept:
            await reader.read()

    return talk


@asynccontextmanager
async def serving(talk: Talk, settings: GatewaySettings | None = None) -> AsyncIterator[GatewayServer]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint = Endpoint(address="127.0.0.1", port=server.sockets[0].getsockname()[1])
    async with asyncio.timeout(2 * LIMIT_SECONDS), GatewayServer(table_for("m", endpoint), settings) as gateway:
        yield gateway
        assert gateway.in_flight() == 0
    server.close()


async def raw(gateway: GatewayServer, *sent: bytes, is_whole: bool = True) -> bytes:
    """Return all that the gateway answers until it closes; with ``is_whole`` False a reset is an end too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    received = b""
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        while data := await reader.read(65536):
            received += data
    except ConnectionError:
        assert not is_whole
    finally:
        writer.close()
    return received


def closing(request: bytes = REQUEST) -> bytes:
    return request.replace(b"Host: h\r\n", b"Host: h\r\nConnection: close\r\n")


async def test_an_engine_that_ends_soon_after_done_keeps_its_connection() -> None:
    connections, ended = 0, asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(2):
            await read_request(reader)
            writer.write(EVENTS_HEAD + chunk(EVENT) + chunk(DONE))
            await asyncio.sleep(0.02)
            writer.write(b"0\r\n\r\n")
            ended.set()

    async with serving(twice) as gateway:
        await raw(gateway, closing())
        await ended.wait()
        await asyncio.sleep(0.05)  # some turns of the loop: the gateway reads what is there
        await raw(gateway, closing())
        assert connections == 1


async def test_a_chunked_body_over_the_limit_is_refused() -> None:
    head = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(saying(JSON_ANSWER), GatewaySettings(body_limit_bytes=100_000)) as gateway:
        answer = await raw(gateway, head + chunk(b"x" * 200_000), is_whole=False)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert gateway.counted() == {("unknown", "413", "refused"): 1}


async def test_a_client_that_says_nothing_is_let_go() -> None:
    async with serving(saying(JSON_ANSWER), QUICK) as gateway:
        assert await raw(gateway) == b""
        assert gateway.counted() == {}


async def test_a_body_that_trickles_below_the_least_rate_is_refused_and_a_steady_one_is_not() -> None:
    settings = replace(QUICK, body_start_timeout=timedelta(seconds=0.6), body_least_rate=20)
    body = BODY.replace(b"x", b"x" * 200)
    head = REQUEST.partition(b"\r\n\r\n")[0].replace(b": %d" % len(BODY), b": %d" % len(body)) + b"\r\n\r\n"
    async with serving(saying(JSON_ANSWER), settings) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head)
        for place in range(0, len(body), 20):  # 200 bytes a second, for longer than the first window
            writer.write(body[place : place + 20])
            await asyncio.sleep(0.1)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()
        assert (await raw(gateway, closing(head) + body[:20]))[9:12] == b"408"


async def test_the_budget_of_bodies_is_the_processs_and_given_back() -> None:
    settings = GatewaySettings(body_budget_bytes=100_000)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 90000\r\n\r\n"
    async with serving(saying(JSON_ANSWER), settings) as gateway:
        _, holder = await asyncio.open_connection("127.0.0.1", gateway.port)
        holder.write(head + b"x" * 80_000)
        budget = gateway.gateway.plane.shared.bodies
        await until(lambda: budget.used_bytes >= 80_000, "the bytes are here")
        answer = await raw(gateway, head + b"x" * 80_000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"\r\nRetry-After: " in answer
        holder.close()
        await until(lambda: budget.used_bytes == 0, "the bytes are given back")
        assert (await raw(gateway, closing())).startswith(b"HTTP/1.1 200")
        assert budget.used_bytes == 0


async def test_the_connection_that_was_idle_for_longest_makes_room_for_a_new_one() -> None:
    async with serving(saying(JSON_ANSWER), GatewaySettings(connections=3)) as gateway:
        idle = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(3)]
        await until(lambda: gateway.connections == 3, "three are connected")
        assert (await raw(gateway, closing())).startswith(b"HTTP/1.1 200")
        assert await idle[0][0].read() == b""
        for _, writer in idle:
            writer.close()


async def test_a_client_too_many_is_told_so() -> None:
    async with serving(saying(JSON_ANSWER), GatewaySettings(connections=2)) as gateway:
        busy = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
        for _, writer in busy:
            writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{")
        await until(lambda: gateway.connections == 2 and not gateway.gateway.plane.shared.idle, "both are at work")
        assert (await raw(gateway)).startswith(b"HTTP/1.1 503")
        for _, writer in busy:
            writer.close()


async def test_a_client_that_does_not_read_holds_up_its_engine_and_no_more_than_its_part() -> None:
    sent = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(EVENTS_HEAD)
        event = chunk(b"data: " + b"x" * 16_000 + b"\n\n")
        while True:
            writer.write(event)
            await writer.drain()
            sent += len(event)

    async with serving(floods, GatewaySettings(idle_timeout=timedelta(seconds=0.6))) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
        writer.write(REQUEST)  # the reader stops by itself, at its limit
        connection = await until(lambda: next(iter(gateway.gateway.plane.shared.connections), None), "it is connected")
        await until(lambda: getattr(connection, "is_paused", False), "the client is behind")
        transport = getattr(connection, "_transport", None)
        assert transport is not None
        assert transport.get_write_buffer_size() <= 256 << 10
        await until(lambda: gateway.counted() == {("m", "200", "client_gone"): 1}, "it is given up")
        writer.close()
        assert not reader.at_eof()


async def test_in_the_lag_window_requests_are_served_and_their_connections_closed() -> None:
    settings = GatewaySettings(lag=timedelta(seconds=LIMIT_SECONDS))
    async with serving(saying(JSON_ANSWER), settings) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        await until(lambda: gateway.connections, "it is connected")
        stopping = asyncio.create_task(gateway.close())
        await until(lambda: gateway.gateway.plane.is_leaving, "it is leaving")
        assert b"\r\nConnection: close\r\n" in await raw(gateway, REQUEST)
        writer.write(REQUEST)
        assert b"\r\nConnection: close\r\n" in await reader.read()
        writer.close()
        assert not stopping.done(), "it was in the window all the time"
        gateway.hurry.set()
        await stopping
        assert gateway.counted() == {("m", "200", "ok"): 2}


async def test_operators_are_told_why_a_request_would_go_where() -> None:
    async with serving(saying(JSON_ANSWER)) as gateway, aiohttp.ClientSession(gateway.admin_url) as operator:
        told = await (await operator.get("/debug/explain", params={"model": "m", "path": "/v1/completions"})).json()
        assert told["rule"]["route"] == "default/fleet"
        refused = await operator.get("/debug/explain", params={"header": "no colon"})
        assert refused.status == 400


async def test_an_engine_that_never_gets_to_its_answer_is_given_up() -> None:
    """Thousands of heads of 1xx in one packet were read one within the other, deeper than Python goes."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    async with serving(saying(interim * 4000 + JSON_ANSWER)) as gateway:
        assert (await raw(gateway, closing())).startswith(b"HTTP/1.1 502 ")
        assert gateway.counted() == {("m", "502", "upstream_error"): 1}
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with serving(saying(interim * 3 + early, early + JSON_ANSWER)) as gateway:
        answer = await raw(gateway, closing())
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"Link" not in answer


@pytest.mark.parametrize("size", [66_000, 200_000])
async def test_an_engines_head_has_the_limit_of_a_clients(size: int) -> None:
    """However much of it one read brings."""
    head = b"HTTP/1.1 200 OK\r\nX: %b\r\nContent-Length: 2\r\n\r\n{}" % (b"x" * size)
    async with serving(saying(head)) as gateway:
        assert (await raw(gateway, closing())).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize("status", [b"000", b"099"])
async def test_what_is_below_100_is_no_status(status: bytes) -> None:
    async with serving(saying(b"HTTP/1.1 %b X\r\n\r\n" % status + JSON_ANSWER)) as gateway:
        assert (await raw(gateway, closing())).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        REQUEST.replace(b"\r\n", b"\n"),
        b"POST /v1/completions HTTP/1.1\r\nHost: h\nX: y",
        b"\nGET / HTTP/1.1\r\n",
    ],
)
async def test_what_can_be_no_head_is_refused_without_waiting_for_its_end(sent: bytes) -> None:
    for pieces in ((sent,), (sent[:5], sent[5:])):
        async with serving(saying(JSON_ANSWER)) as gateway:
            assert (await raw(gateway, *pieces)).startswith(b"HTTP/1.1 400 ")
            assert gateway.counted() == {("unknown", "400", "refused"): 1}


async def test_a_head_that_comes_byte_by_byte_is_a_head() -> None:
    async with serving(saying(JSON_ANSWER)) as gateway:
        assert (await raw(gateway, *(bytes([byte]) for byte in closing()))).startswith(b"HTTP/1.1 200 ")


async def test_a_target_that_is_too_long_is_told_apart_from_a_head_that_is() -> None:
    async with serving(saying(JSON_ANSWER)) as gateway:
        for sent, status in (
            (b"GET /%b HTTP/1.1\r\nHost: h\r\n\r\n" % (b"a" * 70_000), b"414"),
            (b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"a" * 70_000), b"431"),
        ):
            assert (await raw(gateway, sent, is_whole=False)).startswith(b"HTTP/1.1 %b " % status)


async def test_a_client_for_whom_there_is_no_room_is_told_of_connections() -> None:
    async with serving(saying(JSON_ANSWER, is_kept=True), GatewaySettings(connections=1)) as gateway:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(REQUEST[:-1])
        await until(lambda: gateway.running == 1, "it is served")
        assert b"has as many connections as it may" in await raw(gateway, is_whole=False)
        writer.close()


@pytest.mark.parametrize("lines", [b"", b"Content-Length: 0\r\n"])
async def test_a_connection_that_a_request_without_a_body_closes_is_closed(lines: bytes) -> None:
    """Its client waited for the limit of idle connections."""
    head = b"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%b\r\n" % lines
    async with serving(saying(JSON_ANSWER)) as gateway:
        async with asyncio.timeout(5):  # far below that limit
            assert b"\r\nConnection: close\r\n" in await raw(gateway, head)


async def test_a_connection_that_an_empty_answer_closes_is_not_used_again() -> None:
    connections = 0

    async def closing_soon(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    async with serving(closing_soon) as gateway:
        for _ in range(3):
            assert (await raw(gateway, closing())).startswith(b"HTTP/1.1 200 ")
        assert connections == 3


async def test_pipelined_requests_get_each_its_own_answer_of_one_connection() -> None:
    """The next is asked within the step that took the last byte of the answer before."""
    heard = 0

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        while True:
            await read_request(reader)
            heard += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\n%d" % heard)

    async with serving(counting) as gateway:
        answers = await raw(gateway, REQUEST * 4 + closing())
        assert [each[-1:] for each in re.split(rb"(?=HTTP/1.1 200 OK)", answers)[1:]] == [b"1", b"2", b"3", b"4", b"5"]
