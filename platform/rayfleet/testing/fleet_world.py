"""Both controllers and the simulated KubeRay on one API server: for tests of fleets, here and in other projects.

``FleetWorld(client, namespace).running()`` runs them; its questions ask the API server, never the controllers.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Self

from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.operators import Standing
from rayfleet.controllers.run import controller_parts, controller_reflectors
from rayfleet.kube.client import KubeClient
from rayfleet.kube.events import EventRecorder, EventSettings
from rayfleet.kube.reflector import ReflectorSettings
from rayfleet.model.conditions import Condition
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.objects.conditions import condition_of, conditions_of, decode_conditions, find_condition
from rayfleet.objects.meta import generation_of, name_of
from rayfleet.objects.parts import part
from rayfleet.plugin.contracts import CommandReader, Engine
from rayfleet.reconciling.assembly import Shared, run_together
from rayfleet.reconciling.runtime import RuntimeSettings
from rayfleet.testing.ray_clusters import RayClusterSimulator
from rayfleet.testing.waiting import LIMIT_SECONDS, until

# A storm of faults can fail the same key or watch ten times in a row; with the back-off of a year's work, a test would
# wait minutes.
_LONGEST_BACKOFF = timedelta(milliseconds=500)
# As in production, and shorter: tests wait for what comes after it.
_PACE, _HOLD = timedelta(milliseconds=5), timedelta(milliseconds=50)


def fleet_manifest(namespace: str, name: str = "model", *, replicas: int = 2, **spec: object) -> Json:
    """Return a fleet that names a model, two Ray nodes a replica; ``spec`` adds or replaces fields."""
    pod = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0"}]}}
    worker = {"groupName": "workers", "replicas": 1, "minReplicas": 1, "maxReplicas": 1}
    template = {
        "metadata": {"labels": {"model.aibrix.ai/name": name}},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": pod},
            "workerGroupSpecs": [{**worker, "rayStartParams": {}, "template": pod}],
        },
    }
    return {
        "apiVersion": FLEETS.api_version,
        "kind": FLEETS.kind,
        "metadata": {"name": name, "namespace": namespace, "labels": {"model.aibrix.ai/name": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"model.aibrix.ai/name": name}},
            "template": template,
            **spec,
        },
    }


class FleetWorld:
    """One namespace's controllers. ``controller_client`` may be another one than the test's own (one with faults)."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        controller_client: KubeClient | None = None,
        engines: Mapping[str, Engine] | None = None,
        readers: Sequence[CommandReader] = (),
        now: Callable[[], datetime] | None = None,
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.simulator = RayClusterSimulator(client, namespace)
        self._controller_client = controller_client or client
        self._sources = FleetSources(engines or {}, readers)
        self._now = now or self._controller_client.clock.now
        self.standing = Standing()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Run everything for the length of the block."""
        async with self.simulated(), self.controlled():
            yield self

    @asynccontextmanager
    async def simulated(self) -> AsyncIterator[None]:
        """Run the simulated KubeRay alone."""
        async with _background([self.simulator.run]):
            yield

    @asynccontextmanager
    async def controlled(self) -> AsyncIterator[None]:
        """Run the controllers alone; leaving the block kills them, entering it again starts new ones.

        Meanwhile ``standing`` is what their port for operators would tell.
        """
        patience = ReflectorSettings(longest_backoff=_LONGEST_BACKOFF)
        reflectors = controller_reflectors(self._controller_client, self.namespace, patience)
        recorder = EventRecorder(self._controller_client, "fleet-world", EventSettings(settle=_HOLD))
        self.standing = Standing()
        self.standing.leads(reflectors)
        shared = Shared(
            client=self._controller_client,
            reflectors=reflectors,
            recorder=recorder,
            settings=RuntimeSettings(longest_backoff=_LONGEST_BACKOFF, pace=_PACE, status_hold=_HOLD),
            now=self._now,
            telemetry=self.standing.telemetry,
        )
        parts = controller_parts(reflectors, self._sources, self._controller_client)
        async with _background([lambda: run_together(parts, shared)]):
            yield

    async def objects(self, resource: ResourceType) -> Sequence[Json]:
        """Return all objects of a kind in the namespace."""
        return (await self.client.list(resource, self.namespace)).items

    async def names(self, resource: ResourceType) -> list[str]:
        """Return the names of ``objects``, sorted."""
        return sorted(map(name_of, await self.objects(resource)))

    async def sizes(self) -> dict[str, int]:
        """Return ``spec.replicas`` of each replica set."""
        return {name_of(each): part(each, "spec")["replicas"] for each in await self.objects(REPLICA_SETS)}

    async def status(self, name: str = "model") -> Json:
        """Return a fleet's status if it is about its newest generation, else nothing."""
        fleet = await self.client.get(FLEETS, name, self.namespace)
        status = part(fleet, "status")
        return status if status.get("observedGeneration") == generation_of(fleet) else {}

    async def condition(self, kind: str, name: str = "model") -> Json:
        """Return a condition of a fleet, empty when it has none."""
        return condition_of({"status": await self.status(name)}, kind)

    async def until_condition(self, kind: str, status: str, reason: str, name: str = "model") -> Condition:
        """Return a condition of a fleet as soon as it has that status and reason. Raises NotInTime."""

        async def condition() -> Condition | None:
            return find_condition(decode_conditions(conditions_of({"status": await self.status(name)})), kind)

        shown = await until(
            condition,
            f"{name} with {kind}={status}/{reason}",
            LIMIT_SECONDS,
            holds=lambda each: (each.status, each.reason) == (status, reason),
        )
        assert shown is not None
        return shown

    async def shows(self, name: str = "model", **counts: int) -> bool:
        """Whether a fleet's newest status has these counts."""
        return _has_counts(await self.status(name), counts)

    async def is_complete(self, replicas: int, name: str = "model") -> bool:
        """Whether a rollout to ``replicas`` is over: all new, all available, nothing left over, nothing going."""
        fields = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
        is_shown = await self.shows(name, terminatingReplicas=0, **dict.fromkeys(fields, replicas))
        return is_shown and len(await self.objects(RAY_CLUSTERS)) == replicas

    async def until_complete(self, replicas: int, name: str = "model", limit: float = LIMIT_SECONDS) -> None:
        """Return when a rollout is over, as ``is_complete`` has it. Raises NotInTime."""
        await until(lambda: self.is_complete(replicas, name), f"{name} complete with {replicas}", limit)

    async def until_route(self) -> Json:
        """Return the only route, which a controller of its own makes, as soon as it is there. Raises NotInTime."""
        (route,) = await until(lambda: self.objects(HTTP_ROUTES), "a route", LIMIT_SECONDS)
        return route

    async def until_shows(self, name: str = "model", **counts: int) -> None:
        """Return when a fleet's newest status has these counts. Raises NotInTime."""
        await until(
            lambda: self.status(name),
            f"{name} shows {counts}",
            LIMIT_SECONDS,
            holds=lambda status: _has_counts(status, counts),
        )

    async def patch(self, patch: ReadOnlyJson, name: str = "model") -> None:
        """Merge into a fleet."""
        await self.client.patch(FLEETS, ObjectKey(namespace=self.namespace, name=name), patch)


def _has_counts(status: ReadOnlyJson, counts: Mapping[str, int]) -> bool:
    return bool(status) and all(status.get(field, 0) == count for field, count in counts.items())


@asynccontextmanager
async def _background(work: Sequence[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """Run ``work`` for the length of the block; what ends on its own meanwhile ends the block, with its error."""
    block = asyncio.current_task()
    assert block is not None, "a block runs in a task"
    tasks = [asyncio.ensure_future(each()) for each in work]
    ended: list[asyncio.Future[None]] = []
    is_left = False

    def stop(task: asyncio.Future[None]) -> None:
        if not ended and not is_left:
            block.cancel()
        ended.append(task)

    for task in tasks:
        task.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError:
        if not ended or block.uncancel():
            raise
        raise RuntimeError("what a test runs in the background ended on its own") from _error_of(ended[0])
    finally:
        is_left = True
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    for answer in answers:  # what ended in the very moment of leaving
        if isinstance(answer, Exception):
            raise answer


def _error_of(task: "asyncio.Future[None]") -> BaseException | None:
    return None if task.cancelled() else task.exception()
