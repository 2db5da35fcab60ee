"""Keeps the route table equal to what the API server shows: four watches, one compilation per burst of changes.

The gateway goes on with its last table while the API server is away: a lost control plane must not stop the data plane.
"""

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Protocol

from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, REFERENCE_GRANTS, SERVICES
from rayfleet_gateway.compiling import RoutingObjects, compiled
from rayfleet_gateway.routes import RouteTable

log = logging.getLogger(__name__)

# Changes that come together (a rollout touches several objects) make one table; nobody notices 5 ms.
SETTLE_SECONDS = 0.005
# With thousands of routes that never rest, compiling takes at most this part (1 of n + 1) of the loop that all streams
# share.
COMPILING_SHARE = 9


class TableSource(Protocol):
    """Where the route table comes from."""

    @property
    def table(self) -> RouteTable:
        """The newest whole table; replaced, never changed."""
        ...

    @property
    def is_synced(self) -> bool:
        """Whether ``table`` is a whole one yet."""
        ...

    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        """Keep the table up to date until cancelled; ``on_table`` hears each new one."""
        ...


class Discovery:
    """``table`` is the newest whole table; it is replaced, never changed."""

    def __init__(self, client: KubeClient) -> None:
        self.table = RouteTable()
        self._routes = Reflector(client, HTTP_ROUTES)
        self._services = Reflector(client, SERVICES)
        self._slices = Reflector(client, ENDPOINT_SLICES)
        self._grants = Reflector(client, REFERENCE_GRANTS)
        self._reflectors = (self._routes, self._services, self._slices, self._grants)
        self._changed = asyncio.Event()
        self._compiled_once = asyncio.Event()
        self._known_problems: tuple[str, ...] = ()

    @property
    def is_synced(self) -> bool:
        """Whether a table was made from whole lists."""
        return self._compiled_once.is_set()

    async def synced(self) -> None:
        """Wait until ``is_synced``."""
        await self._compiled_once.wait()

    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        """Watch and compile until cancelled; ``on_table`` hears each new table."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                reflector.subscribe(self._note)
                group.create_task(reflector.run())
            for reflector in self._reflectors:
                await reflector.synced()
            self._changed.set()
            pause = SETTLE_SECONDS
            while True:
                await self._changed.wait()
                await asyncio.sleep(pause)
                self._changed.clear()
                started = monotonic()
                self._compile()
                on_table(self.table)
                pause = max(SETTLE_SECONDS, COMPILING_SHARE * (monotonic() - started))

    def _note(self, _old: ReadOnlyJson | None, _new: ReadOnlyJson | None) -> None:
        self._changed.set()

    def _compile(self) -> None:
        result = compiled(
            RoutingObjects(
                routes=tuple(self._routes.store.list()),
                services=tuple(self._services.store.list()),
                slices=tuple(self._slices.store.list()),
                grants=tuple(self._grants.store.list()),
            )
        )
        if result.problems != self._known_problems:
            for problem in set(result.problems) - set(self._known_problems):
                log.warning("cannot use a route as it is", extra={"problem": problem})
            self._known_problems = result.problems
        self.table = result.table
        self._compiled_once.set()
