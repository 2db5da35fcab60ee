"""What one stranger may take of a gateway: connections, answers that nobody reads, steps of the loop."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from tests.attack.engine import Book, running_engine
from tests.attack.wire import asked, chunked, prompt, request, zipped

from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.planes.python.client import ClientConnection
from rayfleet_gateway.planes.python.deadlines import Sweeper
from rayfleet_gateway.testing import GatewayServer, table_for

REQUEST = request(prompt("page 2"))
UNREAD = request(prompt("page 60000"))
LAST_UNREAD = request(prompt("page 60000"), more="Connection: close\r\n")


@asynccontextmanager
async def serving(settings: GatewaySettings | None = None) -> AsyncIterator[GatewayServer]:
    async with running_engine(Book()) as port:
        table = table_for("m", Endpoint(address="127.0.0.1", port=port))
        async with GatewayServer(table, settings) as gateway:
            yield gateway


async def test_a_head_that_has_been_coming_for_longest_makes_room_where_nobody_is_idle() -> None:
    async with serving(GatewaySettings(connections=2)) as gateway:
        slow = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
        for _, writer in slow:
            writer.write(b"POST /v1/comple")
            await until(lambda: gateway.gateway.plane.shared.begun, "its head has begun")
        await until(lambda: len(gateway.gateway.plane.shared.begun) == 2, "both heads have begun")
        assert (await asked(gateway.port, REQUEST)).status == 200
        assert await slow[0][0].read() == b""
        for _, writer in slow:
            writer.close()


async def test_empty_lines_do_not_keep_a_connection() -> None:
    settings = GatewaySettings(head_timeout=timedelta(seconds=0.5))
    async with serving(settings) as gateway, asyncio.timeout(LIMIT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        while not reader.at_eof():
            writer.write(b"\r\n")
            await asyncio.sleep(0.1)
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_reads_no_answers_gets_no_more_of_them() -> None:
    async with serving() as gateway, asyncio.timeout(LIMIT_SECONDS):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, ("127.0.0.1", gateway.port))
            await loop.sock_sendall(sock, UNREAD * 299 + LAST_UNREAD)
            await until(lambda: gateway.connections == 1, "it is connected")
            (client,) = gateway.gateway.plane.shared.connections
            assert isinstance(client, ClientConnection)
            await until(lambda: client.is_paused, "it is behind")
            answered = -1
            while answered != (answered := sum(gateway.counted().values())):
                await asyncio.sleep(0.3)
            assert answered < 200
            while await loop.sock_recv(sock, 1 << 16):
                pass
            assert sum(gateway.counted().values()) == 300


async def test_few_packed_bodies_lie_unpacked_at_a_time() -> None:
    bomb = request(zipped(4 << 20), more="Content-Encoding: gzip\r\n")
    async with serving() as gateway:
        tasks = [asyncio.create_task(asked(gateway.port, bomb)) for _ in range(8)]
        most = 0
        while not all(task.done() for task in tasks):
            most = max(most, gateway.gateway.plane.shared.unpacking.inside)
            await asyncio.sleep(0.001)
        assert [task.result().status for task in tasks] == [200] * 8
        assert most == 2
        assert gateway.gateway.plane.shared.unpacking.inside == 0


async def test_a_packed_body_whose_client_has_left_gives_its_turn_to_the_next() -> None:
    bomb = request(zipped(4 << 20), more="Content-Encoding: gzip\r\n")
    async with serving() as gateway:
        for _ in range(6):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(bomb)
            await asyncio.sleep(0.01)
            writer.transport.abort()
        assert (await asked(gateway.port, bomb)).status == 200
        unpacking = gateway.gateway.plane.shared.unpacking  # its threads may be at bodies of those who left
        await until(lambda: unpacking.inside, "every turn is given back", holds=lambda inside: inside == 0)


async def test_many_small_chunks_are_a_body_and_an_answer_as_any_others() -> None:
    head = request(b"", more="Transfer-Encoding: chunked\r\n", is_framed=False)
    async with serving() as gateway:
        answer = await asked(gateway.port, head + chunked(prompt("tiny-chunks 40000", filler="x" * 40_000), 1))
        assert (answer.status, answer.body, answer.is_whole) == (200, b"x" * 40_000, True)


class Late:
    """Something that is late from the start; ``turns`` takes the turn of the loop in which it heard of it."""

    due = 0.0

    def __init__(self, sweeper: Sweeper, turn: list[int], turns: list[int]) -> None:
        self._sweeper = sweeper
        self._turn = turn
        self._turns = turns
        sweeper.watched.add(self)

    def expire(self, now: float) -> None:
        self._turns.append(self._turn[0])
        self._sweeper.watched.discard(self)


async def test_thousands_that_are_late_together_expire_in_many_steps() -> None:
    loop = asyncio.get_running_loop()
    sweeper, turn, turns = Sweeper(loop), [0], list[int]()
    for _ in range(1000):
        Late(sweeper, turn, turns)
    sweeper.start()
    while sweeper.watched:
        turn[0] += 1
        await asyncio.sleep(0)
    sweeper.stop()
    assert len(turns) == 1000
    assert max(Counter(turns).values()) <= 50
