"""Keeps the route table equal to what the API server shows: five watches, and a status for each route of ours.

The gateway goes on with its last table while the API server is away: a lost control plane must not stop the data plane.
With a folder for it the last table outlives the process too, and serves until the watches are there.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import ReflectorSettings
from rayfleet.kube.watches import Reflectors
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import GATEWAYS, HTTP_ROUTES, REFERENCE_GRANTS, ResourceType
from rayfleet.objects.meta import key_of
from rayfleet_gateway.route.compiling import KINDS, RouteCompiler
from rayfleet_gateway.route.one_route import any_profile
from rayfleet_gateway.route.problems import Problem
from rayfleet_gateway.route.status import attached_routes, gateway_status, route_status
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.last_table import read_last_table, write_last_table
from rayfleet_gateway.state.status_writer import StatusWriter
from rayfleet_gateway.state.tables import Effort, Pace

log = logging.getLogger(__name__)

# Two seconds at most between two looks at an API server that is away: routes are live again three after its return.
WATCHING = ReflectorSettings(
    longest_backoff=timedelta(seconds=2),
    longest_backoff_refused=timedelta(seconds=1),
    longest_backoff_absent=timedelta(seconds=2),
    page_limit=100,
    items_at_once=100,
)
AWAITED_SECONDS = 1.0  # a Service may come so long after a route that names it: each kind has a watch of its own
KEEPING_SECONDS = 1.0  # the last table is written at most so often
_OPTIONAL = (GATEWAYS, REFERENCE_GRANTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """``only``: the Gateway whose routes are used, None: see route/gateways.py.

    ``folder``: where the last table is kept, None: nowhere. ``profile_fault``: see ``RouteCompiler``.
    """

    only: ObjectKey | None = None
    folder: Path | None = None
    profile_fault: Callable[[str], str] = any_profile


class Discovery:
    """``table`` is the newest whole table; it is replaced, never changed."""

    def __init__(self, client: KubeClient, settings: DiscoverySettings | None = None) -> None:
        self.table = RouteTable()
        self.is_stale = False
        self.effort = Effort()
        self._settings = settings or DiscoverySettings()
        self._compiler = RouteCompiler(self._settings.only, self._settings.profile_fault)
        self._reflectors = Reflectors(client, KINDS, settings=WATCHING)
        for resource in KINDS:
            self._reflectors[resource].subscribe(self._listener(resource))
        self._status = StatusWriter(client, self._looked)
        self._changed = asyncio.Event()
        self._unkept = asyncio.Event()
        self._compiled_once = asyncio.Event()
        self._problems: dict[ObjectKey | None, tuple[Problem, ...]] = {}

    @property
    def is_synced(self) -> bool:
        """Whether there is a whole table."""
        return self._compiled_once.is_set()

    def problem_reasons(self) -> Mapping[str, int]:
        """Return how many problems there are now, by their reason."""
        return Counter(problem.reason for problems in self._problems.values() for problem in problems)

    async def synced(self) -> None:
        """Wait until ``is_synced``."""
        await self._compiled_once.wait()

    async def run(
        self, on_table: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None] = lambda _: None
    ) -> None:
        """Watch and compile until cancelled; see ``TableSource``."""

        def take(table: RouteTable) -> None:
            self.table = table
            self._compiled_once.set()
            on_table(table)

        async with asyncio.TaskGroup() as group:
            if self._settings.folder is not None:
                await self._recall(self._settings.folder, take, on_part)
                group.create_task(self._keep(self._settings.folder))
            group.create_task(self._reflectors.run())
            group.create_task(self._follow(take, on_part))
            group.create_task(self._status.run())

    async def _follow(self, take: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None]) -> None:
        """Compile what the watches tell, once all first lists are there."""

        def take_live(table: RouteTable) -> None:
            self.is_stale = False
            take(table)

        await self._reflectors.synced(_OPTIONAL)
        pace = Pace(self._compiler, take_live, self._look_again, self.effort, on_part)
        await pace.work(is_whole=True)
        while True:
            await self._changed.wait()
            await pace.settled()
            self._changed.clear()
            await pace.work()
            if awaited := self._compiler.take_awaited():
                asyncio.get_running_loop().call_later(AWAITED_SECONDS, self._miss, awaited)

    def _miss(self, services: tuple[ObjectKey, ...]) -> None:
        """Give up on Services that no watch has told of in time."""
        self._compiler.miss(services)
        if self._compiler.has_work:
            self._changed.set()

    async def _recall(
        self, folder: Path, take: Callable[[RouteTable], None], on_part: Callable[[RouteTable], None]
    ) -> None:
        """Serve the table of an earlier run, if there is one, until the watches tell better."""
        objects = await asyncio.to_thread(read_last_table, folder)
        if objects is None:
            return
        compiler = RouteCompiler(self._settings.only, self._settings.profile_fault)
        for resource, raw in objects:
            compiler.put(resource, key_of(raw), raw)
        self.is_stale = True
        await Pace(compiler, take, lambda _: None, self.effort, on_part).work(is_whole=True)
        log.info("serving the last table until the API server answers", extra={"models": len(self.table.models)})

    async def _keep(self, folder: Path) -> None:
        """Write the objects of the table down after a change, at most once in a while."""
        await self._reflectors.synced(_OPTIONAL)
        while True:
            await self._unkept.wait()
            self._unkept.clear()
            await asyncio.to_thread(write_last_table, folder, tuple(self._objects()))
            await asyncio.sleep(KEEPING_SECONDS)

    def _objects(self) -> Iterator[tuple[ResourceType, ReadOnlyJson]]:
        for resource in KINDS:
            yield from ((resource, raw) for raw in self._reflectors.store(resource).list())

    def _listener(self, resource: ResourceType) -> Callable[[ReadOnlyJson | None, ReadOnlyJson | None], None]:
        def hear(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
            either = new if new is not None else old
            assert either is not None
            key = key_of(either)
            self._compiler.put(resource, key, new)
            if resource is GATEWAYS and new is not None:
                self._status.note(resource, key)
            self._changed.set()
            self._unkept.set()

        return hear

    def _look_again(self, routes: tuple[ObjectKey, ...]) -> None:
        """Tell what is new to be told of routes that were looked at: in the log, and in the status."""
        for key in routes:
            route = self._compiler.routes.get(key)
            self._log_problems(key, route.problems if route is not None else ())
            self._status.note(HTTP_ROUTES, key)
        self._log_problems(None, tuple(self._compiler.problems_beside_routes()))
        for key, gateway in self._compiler.gateways.items():
            if gateway.is_ours and routes:
                self._status.note(GATEWAYS, key)

    def _log_problems(self, route: ObjectKey | None, problems: tuple[Problem, ...]) -> None:
        """Log what is new among the problems of a route, None: of all other objects."""
        for problem in problems:
            if problem not in self._problems.get(route, ()):
                log.warning("cannot use an object as it is", extra={"problem": str(problem)})
        if problems:
            self._problems[route] = problems
        else:
            self._problems.pop(route, None)

    def _looked(self, resource: ResourceType, key: ObjectKey, now: datetime) -> tuple[ReadOnlyJson, Json] | None:
        """Return an object and the status it ought to have, None when that is the one it has."""
        raw = self._reflectors.store(resource).get(key)
        if raw is None:
            return None
        status: Json | None = None
        if resource is HTTP_ROUTES and (route := self._compiler.routes.get(key)) is not None:
            status = route_status(raw, route, now)
        elif resource is GATEWAYS and (gateway := self._compiler.gateways.get(key)) is not None:
            status = gateway_status(raw, gateway, attached_routes(self._compiler.routes.values()), now)
        return None if status is None else (raw, status)
