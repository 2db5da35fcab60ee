"""Keeps the route table equal to what the API server shows: four watches, one compilation per burst of changes.

The gateway goes on with its last table while the API server is away: a lost control plane must not stop the data plane.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from typing import Protocol

from rayfleet.kube.client import KubeClient
from rayfleet.kube.watches import Changes, Reflectors
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, REFERENCE_GRANTS, SERVICES
from rayfleet_gateway.route.compiling import RoutingObjects, compiled
from rayfleet_gateway.route.table import RouteTable

log = logging.getLogger(__name__)

# Changes that come together (a rollout touches several objects) make one table; nobody notices 5 ms.
SETTLE = timedelta(milliseconds=5)
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
        self._reflectors = Reflectors(client, (HTTP_ROUTES, SERVICES, ENDPOINT_SLICES, REFERENCE_GRANTS))
        self._changes = Changes(self._reflectors, settle=SETTLE)
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
            group.create_task(self._reflectors.run())
            async for _ in self._changes:
                started = monotonic()
                self._compile()
                on_table(self.table)
                await asyncio.sleep(COMPILING_SHARE * (monotonic() - started))

    def _compile(self) -> None:
        result = compiled(
            RoutingObjects(
                routes=tuple(self._reflectors.store(HTTP_ROUTES).list()),
                services=tuple(self._reflectors.store(SERVICES).list()),
                slices=tuple(self._reflectors.store(ENDPOINT_SLICES).list()),
                grants=tuple(self._reflectors.store(REFERENCE_GRANTS).list()),
            )
        )
        if result.problems != self._known_problems:
            for problem in set(result.problems) - set(self._known_problems):
                log.warning("cannot use a route as it is", extra={"problem": problem})
            self._known_problems = result.problems
        self.table = result.table
        self._compiled_once.set()
