"""The plane that a suite is about, what it serves, and ways to ask it."""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.suites.data_plane import world
from rayfleet.testing.suites.data_plane.client import Client, body_of, connected, request
from rayfleet.testing.suites.data_plane.engines import Engine, Talk, echoing, opened
from rayfleet.testing.suites.data_plane.messages import Message
from rayfleet.testing.suites.data_plane.plane import Capability, DataPlane
from rayfleet.testing.suites.data_plane.world import Kind
from rayfleet.testing.waiting import LIMIT_SECONDS, until

_COUNTED = re.compile(r'^rayfleet_gateway_requests_total\{model="([^"]*)",result="([^"]*)"\} ([\d.e+]+)', re.MULTILINE)


@dataclass(slots=True)
class Served:
    """A model of a test's own, and its engines in the order of their talks."""

    model: str
    engines: list[Engine] = field(default_factory=list)

    @property
    def requests(self) -> list[Message]:
        """What the engines heard."""
        return [message for engine in self.engines for message in engine.requests]


@dataclass(slots=True)
class Stage:
    """One test with a plane: engines that end with it, and a client."""

    plane: DataPlane
    sockets: world.Sockets
    stack: AsyncExitStack
    counted: Mapping[tuple[str, str], int] = field(default_factory=dict)

    async def serve(self, *talks: Talk, kind: Kind = Kind.ONE) -> Served:
        """Return a model that no other test has, each of whose endpoints does this on its n-th connection.

        Without talks nobody listens.
        """
        model, sockets = self.sockets.take(kind)
        engines = [await opened(self.stack, sock, *talks) for sock in sockets] if talks else []
        return Served(model, engines)

    async def serve_each(self, *talks: Talk, kind: Kind) -> Served:
        """Return such a model; the n-th endpoint has the n-th talk on all its connections."""
        model, sockets = self.sockets.take(kind)
        return Served(model, [await opened(self.stack, *pair) for pair in zip(sockets, talks, strict=True)])

    async def listen(self, *names: str) -> dict[str, Engine]:
        """Let the engines of Services echo; by their names."""
        return {name: await opened(self.stack, self.sockets.named[name], echoing(name)) for name in names}

    def connected(self) -> AbstractAsyncContextManager[Client]:
        """Return a block with a connection to the plane."""
        return connected(self.plane.port)

    async def engine(self, sock: socket.socket, *talks: Talk) -> Engine:
        """Let an engine listen on a socket."""
        return await opened(self.stack, sock, *talks)

    async def until_asked(self, on: Served) -> None:
        """Wait until an engine has got a request."""
        await until(lambda: on.requests, "the engine is asked")

    def limit(self) -> asyncio.Timeout:
        """Return a block that may not take long."""
        return asyncio.timeout(LIMIT_SECONDS)

    async def send(self, *pieces: bytes, method: str = "POST") -> Message:
        """Return the answer to bytes on a connection of their own, a segment for each piece."""
        async with self.connected() as client:
            for piece in pieces:
                client.send(piece)
                await asyncio.sleep(0 if len(pieces) == 1 else 0.005)
            return await client.answer(method)

    async def ask(self, model: str, *lines: str, path: str = "/v1/completions", host: str = "gw.example") -> Message:
        """Return the answer to a plain request for a model."""
        return await self.send(request(body_of(model), *lines, line=f"POST {path} HTTP/1.1", host=host))

    async def outcomes(self) -> dict[tuple[str, str], int]:
        """Return (model, result) -> requests, in all."""
        sent = request(line="GET /metrics HTTP/1.1")
        async with connected(self.plane.metrics_port) as client:
            client.send(sent)
            page = (await client.answer("GET")).body.decode()
        return {(model, result): int(float(number)) for model, result, number in _COUNTED.findall(page)}

    async def expect(self, model: str, **results: int) -> None:
        """Wait until the requests for a model are counted, since the test began, and assert that they are as said."""

        async def looked() -> Counter[str]:
            seen = await self.outcomes()
            now = {result: number for (name, result), number in seen.items() if name == model}
            return Counter({key: number - self.counted.get((model, key), 0) for key, number in now.items()})

        counted = await until(looked, f"{results} of {model}", holds=lambda now: now.total() >= sum(results.values()))
        assert +counted == Counter(results)


class TestedPlane:
    """What a subclass says, as class attributes and one class method.

    ``lacks`` declares what the plane cannot do. ``address`` is where engines listen: an API server takes no slice with
    a loopback address. ``kinds`` are the models that there are for tests; checks of routes alone need none.
    """

    __test__ = False
    lacks: frozenset[Capability] = frozenset()
    address = "127.0.0.1"
    kinds: Collection[Kind] = tuple(Kind)

    @classmethod
    def running(cls, objects: tuple[Json, ...], folder: Path) -> AbstractContextManager[DataPlane]:
        """Return a block in which a plane serves these objects, with the deadlines of ``plane.py``."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def sockets(cls) -> Iterator[world.Sockets]:
        """Where the engines of all tests listen."""
        with world.Sockets(cls.address, cls.kinds) as sockets:
            yield sockets

    @pytest.fixture(scope="class")
    @classmethod
    def plane(cls, sockets: world.Sockets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
        """One plane for all tests."""
        with cls.running(sockets.objects(), tmp_path_factory.mktemp("plane")) as plane:
            yield plane

    @pytest.fixture
    async def stage(self, plane: DataPlane, sockets: world.Sockets) -> AsyncIterator[Stage]:
        """A test's own engines, and a client."""
        async with AsyncExitStack() as stack:
            stage = Stage(plane, sockets, stack)
            stage.counted = await stage.outcomes()
            yield stage

    def need(self, *capabilities: Capability) -> None:
        """Leave a test out where the plane is declared to lack something."""
        for lacked in self.lacks.intersection(capabilities):
            pytest.skip(f"this plane is declared without {lacked}")
