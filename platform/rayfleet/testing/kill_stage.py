"""A fleet's life in memory and virtual time, with controllers that die, are blind, or meet storms; and its oracle.

``Stage`` plays a workload (changes of the fleet, each followed by what must come of it) while controllers of one kind
of trouble run. Afterwards ``outcome`` says what is there and what ever was made and deleted, in a form that two runs
share: names that hang on UIDs, UIDs, times and the like are masked. Source of the method: Sieve (OSDI '22),
differential oracles.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, ResourceType
from rayfleet.objects.meta import is_terminating, uid_of
from rayfleet.objects.parts import part
from rayfleet.testing.faults import FlakyClient, MortalClient
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.memory_api import MemoryAddress, MemoryClient, MemoryServer
from rayfleet.testing.simulated_pods import SimulatedPods
from rayfleet.testing.virtual_time import virtual_now
from rayfleet.testing.waiting import until

NAMESPACE = "n"
_LIMIT_SECONDS = 600.0  # of virtual time, as all here
_LOOK_SECONDS = 0.2
_LATE_SECONDS = 1.0
_QUIET_SECONDS = 5.0  # holds end, back-offs are over: what is there then stays
_EVENTS = "/events"
_FLEETS = f"{FLEETS.group}/{FLEETS.plural}"
_RAY_CLUSTERS = f"{RAY_CLUSTERS.group}/{RAY_CLUSTERS.plural}"
_MASKS = (
    (re.compile(r"uid-\d+"), "UID"),
    (re.compile(r"(model-[a-z0-9]{6})-[a-z0-9]+"), r"\1-*"),
    (re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z"), "TIME"),
    (re.compile(r'"incarnations":\d+,?|"[^"]*/incarnation":"\d+",?'), ""),  # a number may be spent on what was refused
    (re.compile(r'"stages":\{[^}]*\},?'), ""),
    (re.compile(r'"resourceVersion":"\d+",?'), ""),
)


class FlakyMemoryClient(FlakyClient, MemoryClient):
    """Fails now and then; of a server in memory."""


class MortalMemoryClient(MortalClient, MemoryClient):
    """Dies at a write; of a server in memory."""


class LateMemoryClient(MemoryClient):
    """Hears of the changes of one kind late, so that stores of two kinds are apart; of a server in memory."""

    def __init__(self, address: KubeAddress, *, late: ResourceType) -> None:
        super().__init__(address)
        self._late = late

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, stall_limit: Any = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield a watch, of that kind each line a second after the one before."""
        async for line in super().stream(path, query, stall_limit):
            if path.endswith(f"/{self._late.plural}"):
                await asyncio.sleep(_LATE_SECONDS)
            yield line


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to: the objects as masked texts, sorted; creations and deletions by kind; the most at once."""

    objects: tuple[str, ...]
    added: Mapping[str, int]
    deleted: Mapping[str, int]
    most_active: int


@dataclass(slots=True)
class Stage:
    """One namespace with a fleet ``model``. ``server`` is the truth, ``client`` the test's own."""

    server: MemoryServer
    client: KubeClient
    world: FleetWorld

    async def create(self, replicas: int, **spec: Any) -> None:
        """Create the fleet and wait until it is complete."""
        await self.client.create(FLEETS, fleet_manifest(NAMESPACE, replicas=replicas, **spec))
        await self.complete(replicas)

    @asynccontextmanager
    async def with_pods(self, *, do_warm_ups_end: bool = True) -> AsyncIterator[None]:
        """Let Ray clusters have heads on nodes for the length of the block, and pods that warm nodes up end."""
        pods = SimulatedPods(self.client, NAMESPACE, virtual_now, do_warm_ups_end=do_warm_ups_end)
        playing = asyncio.ensure_future(pods.run())
        try:
            yield
            await self.rest()
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    async def rest(self) -> None:
        """Let time pass until holds and back-offs are over, and every watch has seen what is there."""
        await asyncio.sleep(_QUIET_SECONDS)

    async def change(self, **spec: object) -> None:
        """Merge fields into the fleet's spec."""
        await self.world.patch({"spec": spec})

    async def image(self, tag: str) -> None:
        """Give the head another image: a new template."""
        pod = {"spec": {"containers": [{"name": "ray", "image": f"rayproject/ray:{tag}"}]}}
        await self.change(template={"spec": {"headGroupSpec": {"template": pod}}})

    async def complete(self, replicas: int) -> None:
        """Wait until a rollout is over."""
        await self.until(lambda: self.world.is_complete(replicas), f"complete with {replicas}")

    async def until(self, look: Callable[[], Awaitable[object]], what: str) -> None:
        """Wait for a claim."""
        await until(look, what, _LIMIT_SECONDS, every=_LOOK_SECONDS)

    async def delete(self) -> None:
        """Delete the fleet and wait until it is gone, with all that it owned."""
        await self.client.delete(FLEETS, ObjectKey(namespace=NAMESPACE, name="model"))

        async def is_gone() -> bool:
            try:
                await self.client.get(FLEETS, "model", NAMESPACE)
            except NotFound:
                return all(kind == _EVENTS for kind, _, _ in self.server.objects)
            return False

        await self.until(is_gone, "nothing is left")

    def only_these_get_ready(self) -> None:
        """Let no Ray cluster become ready but those that are there now."""
        kept = {name for kind, _, name in self.server.objects if kind == _RAY_CLUSTERS}
        self.world.simulator.is_ready = kept.__contains__

    def all_but_these_get_ready(self, replica_set: str) -> None:
        """Let every Ray cluster become ready but those of a replica set."""
        self.world.simulator.is_ready = lambda name: not name.startswith(f"{replica_set}-")
        self.world.simulator.poke()

    def outcome(self) -> Outcome:
        """Return what is there and what happened."""
        objects = [_masked(raw, kind) for (kind, _, _), raw in self.server.objects.items() if kind != _EVENTS]
        return Outcome(
            objects=tuple(sorted(objects)),
            added=_without_events(self.server.counts("ADDED")),
            deleted=_without_events(self.server.counts("DELETED")),
            most_active=_most_active(self.server),
        )


Workload = Callable[[Stage], Awaitable[None]]
Controllers = Callable[[MemoryAddress], Awaitable[None]]
"""Runs controllers on an address until cancelled, with whatever trouble they are to have."""


async def played(workload: Workload, controllers: Controllers) -> Outcome:
    """Play a workload to its end and until all is quiet; return what it came to."""
    async with _staged(controllers) as stage:
        await workload(stage)
        await asyncio.sleep(_QUIET_SECONDS)
        return stage.outcome()


@asynccontextmanager
async def _staged(controllers: Controllers) -> AsyncIterator[Stage]:
    """Give a stage on which the simulated KubeRay and ``controllers`` run."""
    server = MemoryServer()
    async with MemoryClient(MemoryAddress(server=server)) as client:
        world = FleetWorld(client, NAMESPACE, now=virtual_now)
        async with world.simulated():
            working = asyncio.ensure_future(controllers(MemoryAddress(server=server)))
            try:
                yield Stage(server, client, world)
            finally:
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)


async def lived(client: KubeClient) -> None:
    """Run controllers that write through ``client``, until cancelled."""
    async with FleetWorld(client, NAMESPACE, controller_client=client, now=virtual_now).controlled():
        if isinstance(client, MortalClient):
            await client.died.wait()
        else:
            await asyncio.Event().wait()


def _masked(raw: ReadOnlyJson, kind: str) -> str:
    if kind == _FLEETS:  # which well replicas it tells of hangs on what else was written; the replica set tells of all
        status = {name: value for name, value in part(raw, "status").items() if name != "replicaStates"}
        raw = {**raw, "status": status}
    text = orjson.dumps(raw, option=orjson.OPT_SORT_KEYS).decode()
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


def _without_events(counts: Mapping[str, int]) -> Mapping[str, int]:
    return {kind: count for kind, count in counts.items() if kind != _EVENTS}


def _most_active(server: MemoryServer) -> int:
    """Return how many Ray clusters there were at most that nobody had asked to go."""
    active: dict[str, Json] = {}
    most = 0
    for change in server.changes:
        if change.kind != _RAY_CLUSTERS:
            continue
        if change.type == "DELETED" or is_terminating(change.object):
            active.pop(uid_of(change.object), None)
        else:
            active[uid_of(change.object)] = {}
        most = max(most, len(active))
    return most
