"""The data path as a whole: started, drained, closed."""

import asyncio
import contextlib

from rayfleet_gateway.planes.python.client import ClientConnection
from rayfleet_gateway.planes.python.listener import Listener
from rayfleet_gateway.planes.python.shared import Shared

_LOOK_SECONDS = 0.02  # between looks at what still runs while it drains
_QUIET_SECONDS = 1.0  # a connection without a request for so long is closed at the end; `lag` where that is shorter
_FLUSH_SECONDS = 2.0  # for the last words


class Plane:
    """Serves clients from ``start`` to ``drain``. Make it in the loop that it runs in.

    Stopping: new requests are taken for the lag window, with answers that close their connections, so that balancers
    and the next process take over without a lost request. Then the listener is closed, and what runs may finish. What
    is left at the limit, or when there is a hurry, ends with an error.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        settings = self._settings = shared.settings
        self._listener = Listener(settings.host, settings.port, lambda: ClientConnection(shared))

    @property
    def port(self) -> int:
        """Where it listens; 0 when it does not."""
        return self._listener.port

    @property
    def is_leaving(self) -> bool:
        """Whether it is about to stop."""
        return self.shared.is_leaving

    async def start(self) -> None:
        """Listen. Raises EnvironmentProblem when the port cannot be used."""
        await self._listener.open()
        self.shared.sweeper.start()

    async def drain(self, hurry: asyncio.Event) -> None:
        """Stop as the class says; ``hurry``, once set, ends the waiting."""
        self.shared.is_leaving = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lag.total_seconds()):
                await hurry.wait()
        await self._listener.close()
        ends_at = self.shared.loop.time() + self._settings.drain.total_seconds()
        while not hurry.is_set() and self.shared.loop.time() < ends_at:
            self._close_quiet()
            if not self.shared.connections:
                break
            await asyncio.sleep(_LOOK_SECONDS)
        await self._end()

    def _close_quiet(self) -> None:
        """Close connections that no request has used for a while; one that was just used may be used again."""
        shared = self.shared
        quiet_seconds = min(_QUIET_SECONDS, self._settings.lag.total_seconds())
        for connection in tuple(shared.idle):
            if connection.idle_since <= shared.loop.time() - quiet_seconds:
                connection.close()

    async def _end(self) -> None:
        shared = self.shared
        for exchange in tuple(shared.running):
            exchange.cut()
        for connection in tuple(shared.connections):
            connection.end()
        ends_at = shared.loop.time() + _FLUSH_SECONDS
        while shared.connections and shared.loop.time() < ends_at:
            await asyncio.sleep(_LOOK_SECONDS)
        for connection in tuple(shared.connections):
            connection.reset()
        shared.pool.close()
        shared.sweeper.stop()
        shared.unpacking.close()
        await asyncio.sleep(0)  # the ends of connections are told in the loop's next turn
