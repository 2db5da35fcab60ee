"""A compiler at work on the loop that all streams share: in short steps, endpoints first, one table for each."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic, thread_time
from typing import Protocol

from rayfleet.model.meta import ObjectKey
from rayfleet_gateway.route.compiling import RouteCompiler
from rayfleet_gateway.route.table import RouteTable

# Changes that come together (a rollout touches several objects) make one table; the first after a pause waits for none.
SETTLE_SECONDS = 0.005
# A step of compiling, and how long the loop is left to the streams after it: a quarter of the time at most is ours.
STEP_SECONDS = 0.003
REST = 3


@dataclass(slots=True)
class Effort:
    """What compiling took until now: steps, and their seconds on the loop."""

    steps: int = 0
    seconds: float = 0.0


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

    @property
    def is_stale(self) -> bool:
        """Whether ``table`` is one of an earlier run: nobody has told yet how things are now."""
        ...

    @property
    def effort(self) -> Effort:
        """What it took until now."""
        ...

    def problem_reasons(self) -> Mapping[str, int]:
        """Return how many problems there are now, by their reason (Gateway API's words)."""
        ...

    async def run(
        self, on_table: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None] = lambda _: None
    ) -> None:
        """Keep the table up to date until cancelled; ``on_table`` hears each new one.

        ``on_part`` hears the parts of one that is only told when it is whole, while they are made, so that nobody has
        to take in a thousand models at once: what there is of it, and what was before of the rest.
        """
        ...


class Pace:
    """Works off what a compiler was told.

    ``on_table`` hears each new table, ``on_routes`` the routes that were looked at, after each step; ``on_part`` hears
    what there is of a table that is only told when it is whole. ``effort`` grows.
    """

    def __init__(
        self,
        compiler: RouteCompiler,
        on_table: Callable[[RouteTable], None],
        on_routes: Callable[[tuple[ObjectKey, ...]], None],
        effort: Effort,
        on_part: Callable[[RouteTable], None] = lambda _: None,
    ) -> None:
        self._compiler = compiler
        self._on_part = on_part
        self._on_table = on_table
        self._on_routes = on_routes
        self._effort = effort
        self._told: RouteTable | None = None
        self._last = -SETTLE_SECONDS

    async def settled(self) -> None:
        """Wait until a moment has passed since the last table."""
        left = self._last + SETTLE_SECONDS - monotonic()
        if left > 0:
            await asyncio.sleep(left)

    async def work(self, *, is_whole: bool = False) -> None:
        """Compile until nothing is left, and tell each table as far as it is.

        ``is_whole``: all objects that there are have been put. Then only the last table is told, and a Service that
        nobody told of is not there.
        """
        while True:
            started, worked = monotonic(), thread_time()
            looked_at = self._compiler.work(lambda: monotonic() - started > STEP_SECONDS)  # noqa: B023 - called at once
            if is_whole and not self._compiler.has_work:
                self._compiler.miss(self._compiler.take_awaited())
            if is_whole and self._compiler.has_work:
                self._on_part(self._compiler.table())
            else:
                self._tell()
            self._on_routes(looked_at)
            self._last = monotonic()
            self._effort.steps += 1
            self._effort.seconds += self._last - started
            if not self._compiler.has_work:
                return
            await asyncio.sleep(REST * (thread_time() - worked))  # while it was not let run, it took nobody's time

    def _tell(self) -> None:
        table = self._compiler.table()
        if table is not self._told:
            self._told = table
            self._on_table(table)
