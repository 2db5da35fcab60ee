"""Connections to engines, kept for the next request.

An idle connection lives shorter than any engine keeps one (uvicorn, vLLM: 5 s), so that requests seldom meet one that
is just closing. The one that was used last is used next: the rest grow old and go.
"""

import asyncio
import os
from typing import Protocol

from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.planes.python.deadlines import Sweeper
from rayfleet_gateway.planes.python.heads import AnswerHeads
from rayfleet_gateway.planes.python.upstream import UpstreamConnection

_IDLE_SECONDS = 3.0
_READ_BYTES = 128 << 10  # the most that one read brings, so the most that a client who does not read can hold up


class Connector(Protocol):
    """What waits for a new connection."""

    def on_connected(self, connection: UpstreamConnection) -> None:
        """The connection is there, and the connector's to use or to leave."""
        ...

    def on_broken(self, failure: Failure, reason: str) -> None:
        """No connection was made."""
        ...


class Shelf:
    """The connections to one endpoint: those open, and of them those idle, the one used last at the end."""

    __slots__ = ("_idle", "_open", "_pool", "answer_heads", "buffer", "endpoint", "head_limit_bytes")

    def __init__(self, pool: "Pool", endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.answer_heads = pool.answer_heads
        self.buffer = pool.buffer
        self.head_limit_bytes = pool.head_limit_bytes
        self._pool = pool
        self._idle: list[UpstreamConnection] = []
        self._open = 0

    def take(self) -> UpstreamConnection | None:
        """Return an idle connection, no longer idle; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    def opened(self, connection: UpstreamConnection) -> None:
        """Note a new connection."""
        self._open += 1
        self._pool.sweeper.watched.add(connection)

    def give_back(self, connection: UpstreamConnection) -> None:
        """Keep a connection for the next request."""
        connection.due = self._pool.loop.time() + _IDLE_SECONDS
        self._idle.append(connection)

    def withdraw(self, connection: UpstreamConnection) -> None:
        """Let no request have the connection again."""
        if connection in self._idle:
            self._idle.remove(connection)

    def closed(self, connection: UpstreamConnection) -> None:
        """Forget a connection, and the endpoint with its last: addresses come and go for years."""
        self.withdraw(connection)
        self._pool.sweeper.watched.discard(connection)
        self._open -= 1
        if not self._open:
            self._pool.forget(self)

    def close(self) -> None:
        """Close the idle connections."""
        for connection in tuple(self._idle):
            connection.leave()


class Pool:
    """All connections to engines."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: GatewaySettings, sweeper: Sweeper) -> None:
        self.loop = loop
        self.sweeper = sweeper
        self.answer_heads = AnswerHeads()
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self.head_limit_bytes = settings.head_limit_bytes
        self._connect_seconds = settings.connect_timeout.total_seconds()
        self._shelves: dict[Endpoint, Shelf] = {}
        self._connecting: set[asyncio.Task[None]] = set()

    def take(self, endpoint: Endpoint) -> UpstreamConnection | None:
        """Return an idle connection to ``endpoint``, now the caller's, None when there is none."""
        shelf = self._shelves.get(endpoint)
        return None if shelf is None else shelf.take()

    def connect(self, endpoint: Endpoint, connector: Connector) -> asyncio.Task[None]:
        """Make a connection, of which ``connector`` will hear; cancel what is returned to give that up."""
        task = self.loop.create_task(self._connect(endpoint, connector))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return task

    def forget(self, shelf: Shelf) -> None:
        """Forget an endpoint that has no connection."""
        if self._shelves.get(shelf.endpoint) is shelf:
            del self._shelves[shelf.endpoint]

    def close(self) -> None:
        """Close what is idle and give up what is being made."""
        for task in self._connecting:
            task.cancel()
        for shelf in tuple(self._shelves.values()):
            shelf.close()

    async def _connect(self, endpoint: Endpoint, connector: Connector) -> None:
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await self.loop.create_connection(
                    lambda: UpstreamConnection(self._shelf(endpoint)), endpoint.address, endpoint.port
                )
        except TimeoutError:
            connector.on_broken(Failure.CONNECT_TIMEOUT, "no connection in time")
        except (OSError, OverflowError, ValueError) as error:  # the last two: it is no address at all
            number = error.errno if isinstance(error, OSError) else None
            words = os.strerror(number) if number else type(error).__name__
            connector.on_broken(Failure.NOT_CONNECTED, f"no connection ({words})")
        else:
            connector.on_connected(connection)

    def _shelf(self, endpoint: Endpoint) -> Shelf:
        shelf = self._shelves.get(endpoint)
        if shelf is None:
            shelf = self._shelves[endpoint] = Shelf(self, endpoint)
        return shelf
