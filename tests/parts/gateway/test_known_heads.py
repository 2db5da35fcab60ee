"""Requests whose heads are the same, one after another: what was found out once still holds, or not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from rayfleet.testing.waiting import LIMIT_SECONDS
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.table import RouteTable, table_of
from rayfleet_gateway.testing import FixedTable, GatewayServer, table_for

PATHS = ("/v1/completions", "/other")


def head(*lines: str, length: int | None, path: str = PATHS[0]) -> bytes:
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: h", *lines, framing, "", "")).encode()


def request(model: str, *lines: str, path: str = PATHS[0]) -> bytes:
    body = b'{"model": "%s"}' % model.encode()
    return head(*lines, length=len(body), path=path) + body


@asynccontextmanager
async def engine(name: str) -> AsyncIterator[Endpoint]:
    """Answers with its name, and what it was sent."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                lines = await reader.readuntil(b"\r\n\r\n")
                length = int(lines.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                said = name.encode() + b"\n" + lines + await reader.readexactly(length)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(said))
                writer.write(said)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield Endpoint(address="127.0.0.1", port=server.sockets[0].getsockname()[1])
    server.close()
    for writer in writers:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


class Caller:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, text: bytes) -> tuple[int, str]:
        """Return the status and the body of the answer."""
        self._writer.write(text)
        lines = await self._reader.readuntil(b"\r\n\r\n")
        length = int(lines.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        return int(lines.split()[1]), (await self._reader.readexactly(length)).decode()

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connected(
    table: RouteTable, settings: GatewaySettings | None = None
) -> AsyncIterator[tuple[Caller, Callable[[RouteTable], None]]]:
    async with asyncio.timeout(LIMIT_SECONDS), GatewayServer(table, settings) as gateway:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", gateway.port))
        tables = gateway.gateway.plane.shared.tables
        assert isinstance(tables, FixedTable)

        def change(table: RouteTable) -> None:
            tables.table = table
            gateway.gateway.book.sync(table)

        yield caller, change
        caller.close()


def both(one: Endpoint, other: Endpoint) -> RouteTable:
    tables = table_for("m", one), table_for("n", other)
    return table_of(*(rule for table in tables for rules in table.by_model.values() for rule in rules))


async def test_the_same_head_with_another_model_goes_elsewhere() -> None:
    async with engine("one") as one, engine("other") as other, connected(both(one, other)) as (caller, _):
        said = [(await caller.ask(request(model)))[1].split("\n")[0] for model in "mmnnmn"]
    assert said == ["one", "one", "other", "other", "one", "other"]


async def test_a_new_table_has_the_same_head_asked_anew() -> None:
    async with engine("one") as one, engine("other") as other, connected(table_for("m", one)) as (caller, change):
        assert (await caller.ask(request("m")))[1].startswith("one\n")
        change(table_for("m", other))
        assert (await caller.ask(request("m")))[1].startswith("other\n")
        change(table_for("n", other))
        assert (await caller.ask(request("m")))[0] == 404
        change(table_for("m", other, paths=PATHS[1:]))
        assert "path_not_found" in (await caller.ask(request("m")))[1]
        change(table_for("m", one))
        assert (await caller.ask(request("m")))[1].startswith("one\n")


async def test_a_path_that_a_new_table_has_not_is_refused_without_its_body() -> None:
    async with engine("one") as one, connected(table_for("m", one)) as (caller, change):
        assert (await caller.ask(head(length=None) + b'e\r\n{"model": "m"}\r\n0\r\n\r\n'))[0] == 200
        change(table_for("m", one, paths=PATHS[1:]))
        assert (await caller.ask(head(length=None)))[0] == 404


async def test_a_head_that_differs_in_one_byte_is_another() -> None:
    async with engine("one") as one, connected(table_for("m", one, paths=PATHS)) as (caller, _):
        sent = [request("m", f"x-a: {value}", path=path) for value, path in (("1", PATHS[0]), ("2", PATHS[0]))]
        sent += [request("m", path=PATHS[1]), request("m", "x-a: 1", "x-b: 1"), request("m", "X-A: 1")]
        for text in (*sent, *reversed(sent)):
            status, said = await caller.ask(text)
            lines = said.split("\n", 1)[1].split("\r\n")
            assert (status, lines[:2]) == (200, text.decode().split("\r\n")[:2])
            assert [line for line in lines if line.startswith("x-")] == [
                line for line in text.decode().split("\r\n") if line.startswith("x-")
            ]


async def test_each_request_has_names_of_its_own_unless_the_client_names_it() -> None:
    async with engine("one") as one, connected(table_for("m", one)) as (caller, _):
        own = [named((await caller.ask(request("m")))[1]) for _ in range(3)]
        given = [named((await caller.ask(request("m", "X-Request-Id: mine")))[1]) for _ in range(2)]
    assert len({name for names in own for name in names}) == 6
    assert [names[0] for names in given] == ["mine", "mine"]


async def test_the_same_head_with_a_body_of_another_length() -> None:
    """In chunks: the head does not say how long it is, what goes upstream does."""
    async with engine("one") as one, connected(table_for("m", one)) as (caller, _):
        for body in (b'{"model": "m"}', b'{"model": "m", "prompt": "longer"}', b'{"model": "m"} '):
            _, said = await caller.ask(head(length=None) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
            assert said.endswith("\r\n\r\n" + body.decode())


async def test_a_rule_that_looks_at_the_length_takes_its_requests() -> None:
    """A length is part of what is asked, though it alone differs from request to request."""
    short, longer = request("m"), head(length=16) + b'{"model": "m"}  '
    async with engine("one") as one, engine("other") as other, connected(table_for("m", one)) as (caller, change):
        (rule,) = table_for("m", other, paths=PATHS[:1]).by_model["m"]
        special = replace(rule, match=replace(rule.match, headers={"model": "m", "content-length": "16"}), rank=(-1,))
        change(table_of(special, *table_for("m", one).by_model["m"]))
        said = [(await caller.ask(text))[1].split("\n")[0] for text in (short, longer, short, longer)]
    assert said == ["one", "other", "one", "other"]


@pytest.mark.parametrize(
    ("length", "status"), [(b"+14", 400), (b"1 4", 400), (b"0x0E", 400), (b"", 400), (b"00014", 200), (b"70000", 413)]
)
async def test_a_length_is_checked_though_the_rest_of_the_head_is_known(length: bytes, status: int) -> None:
    settings = GatewaySettings(body_limit_bytes=100)
    async with engine("one") as one, connected(table_for("m", one), settings) as (caller, _):
        first = request("m", "x-after: 1")
        assert (await caller.ask(first))[0] == 200
        text = first.replace(b"Content-Length: 14", b"Content-Length: " + length)
        assert (await caller.ask(text))[0] == status


async def test_a_body_is_still_held_to_the_head_that_is_known() -> None:
    async with engine("one") as one, connected(table_for("m", one)) as (caller, _):
        assert (await caller.ask(request("m", "model: m")))[0] == 200
        assert (await caller.ask(request("n", "model: m")))[0] == 400


async def test_pipelined_requests_with_one_head_are_answered_in_order() -> None:
    async with engine("one") as one, engine("other") as other, connected(both(one, other)) as (caller, _):
        said = [(await caller.ask(text))[1][:5] for text in (request("m") + request("n") + request("m"), b"", b"")]
    assert said == ["one\nP", "other", "one\nP"]


async def test_a_long_head_is_not_kept() -> None:
    """What an idle client holds is bounded; it works all the same."""
    async with engine("one") as one, connected(table_for("m", one)) as (caller, _):
        for _ in range(2):
            assert (await caller.ask(request("m", f"x-long: {'x' * 20_000}")))[0] == 200


def named(said: str) -> tuple[str, str]:
    """Return the id of the request, and its trace."""
    lines = dict(line.split(": ", 1) for line in said.split("\r\n") if ": " in line)
    return lines["X-Request-Id"], lines["traceparent"].split("-")[1]
