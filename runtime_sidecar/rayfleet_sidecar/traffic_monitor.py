"""Reads the engine's metrics now and then and remembers what they told of its requests; what it means is traffic.py's.

A page that cannot be had tells nothing: neither that requests get on nor that they do not. Nor does one when
the engine's port does not answer how many requests it has taken up.
"""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.traffic import Watched, read_traffic, stalled_for, watched


class Pages(Protocol):
    """Where the engine's page comes from."""

    async def metrics_page(self) -> str:
        """Return the page, empty when it cannot be had; ends within a limit of its own."""
        ...

    async def load(self) -> int | None:
        """Return how many requests the port has taken up, 0 where it does not tell, None when it does not answer.

        Ends within such a limit too.
        """
        ...


class TrafficMonitor:
    """``in_flight`` is the number of requests when it was last read, the same since ``since``; None before that.

    ``own`` is how many of them are the sidecar's own; whoever asks the engine says so.
    """

    def __init__(self, engine: Pages, settings: SidecarSettings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._watched = Watched()
        self._due = timedelta.min
        self.in_flight: int | None = None
        self.since: datetime = clock().date
        self.own = 0

    @property
    def read_at(self) -> timedelta | None:
        """When a page was last read that told of requests, by the steady clock; None before the first."""
        return None if self._watched.work is None else self._watched.read_at

    @property
    def moved_at(self) -> timedelta:
        """When a page last showed steps, or requests that are not the sidecar's own."""
        return self._watched.moved_at

    @property
    def busy_at(self) -> timedelta:
        """When the engine's port last told of requests that are not the sidecar's own."""
        return self._watched.busy_at

    @property
    def failures(self) -> int:
        """Generations that have failed since one ended well."""
        return self._watched.failures

    @property
    def stalled_for(self) -> timedelta:
        """How long running requests have not got on, as far as pages have told; zero when they do."""
        return stalled_for(self._watched)

    async def read_when_due(self, *, is_due: bool = False) -> None:
        """Read the page if its time has come, or it ``is_due``, and its requests can be told from it."""
        now = self._clock().steady
        if self._settings.traffic.running and (is_due or now >= self._due):
            self._due = now + self._settings.traffic_period
            await self.ask()

    async def ask(self) -> int | None:
        """Ask the engine now; return how many requests are in flight, None when nobody can tell."""
        async with asyncio.TaskGroup() as group:
            page = group.create_task(self._engine.metrics_page())
            load = group.create_task(self._engine.load())
        return self.take(page.result(), load.result())

    def take(self, page: str, load: int | None) -> int | None:
        """Take in what was read just now; return how many requests are in flight, None when nobody can tell."""
        traffic = read_traffic(page, self._settings.traffic, self._settings.metric_map.copies)
        if traffic is None or load is None:
            return None
        now = self._clock()
        self._watched = watched(self._watched, replace(traffic, load=load), now.steady, self.own)
        if self._watched.in_flight != self.in_flight:
            self.in_flight, self.since = self._watched.in_flight, now.date
        return self.in_flight
