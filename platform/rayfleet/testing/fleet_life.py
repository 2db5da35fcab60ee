"""A whole life of fleets on an API server, for tests of who may do what: every write of the controllers comes to pass.

``Life`` steps through it, each method until its end; ``Kubelet`` plays the kubelet of its namespace. The stand-ins for
KubeRay and the garbage collector, and the controllers, are the test's to run.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from rayfleet.deploy.install import DEFAULT_NAMESPACE
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    FLEETS,
    GATEWAYS,
    HTTP_ROUTES,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.labels import RAY_CLUSTER_LABEL, WARM_UP_LABEL
from rayfleet.objects.meta import is_terminating, key_of, label, name_of, uid_of
from rayfleet.objects.owners import controller_uid, owners_of
from rayfleet.objects.parts import entries, part
from rayfleet.objects.pods import is_finished, is_ready, is_worker
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.stand_ins import stand_pod
from rayfleet.testing.waiting import until

_LOOK = timedelta(seconds=0.2)
_LABELS = {"app": "lived"}
_LIMIT_SECONDS = 90.0  # a rollout in place: nodes warmed up, replicas drained, one after the other


@dataclass(kw_only=True)
class Kubelet:
    """Plays the one of a namespace: pods get ready, those that warm up end well, and what is to go goes."""

    client: KubeClient
    namespace: str
    sick: set[str] = field(default_factory=set)  # Ray clusters whose workers die
    _struck: set[str] = field(default_factory=set)  # the UIDs of pods that did

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Play for the length of the block."""
        playing = asyncio.ensure_future(self._run())
        try:
            yield
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            with suppress(ApiError):  # a busy server: the next look will do
                for pod in (await self.client.list(PODS, self.namespace)).items:
                    with suppress(ApiError):  # changed meanwhile: met again at the next look
                        await self._look_at(pod)
            await asyncio.sleep(_LOOK.total_seconds())

    async def _look_at(self, pod: Json) -> None:
        if is_terminating(pod):
            await self.client.delete(PODS, key_of(pod), uid=uid_of(pod), grace_period_seconds=0)
        elif is_worker(pod) and label(pod, RAY_CLUSTER_LABEL) in self.sick:
            if uid_of(pod) not in self._struck:
                await stand_pod(self.client, pod, "out-of-memory")
                self._struck.add(uid_of(pod))
        elif label(pod, WARM_UP_LABEL):
            if not is_finished(pod):
                await stand_pod(self.client, pod, "succeeded")
        elif not is_ready(pod):
            await stand_pod(self.client, pod, "ready")


class Life:
    """What happens to the fleets of a namespace; each method returns when it is over."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.world = FleetWorld(client, namespace)
        self.kubelet = Kubelet(client=client, namespace=namespace)
        self.client = client

    async def begins(self) -> None:
        """Make a fleet of one replica, whose head has a sidecar, and wait for it."""
        strategy = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
        manifest = fleet_manifest(
            self.world.namespace,
            replicas=1,
            recovery={"graceSeconds": 1},
            strategy=strategy,
            drain={"timeoutSeconds": 1},
            selector={"matchLabels": _LABELS},
        )
        template = manifest["spec"]["template"]
        template["metadata"]["labels"] = _LABELS  # the fleet's own label alone names the model
        template["spec"]["headGroupSpec"]["template"] = _head("2.60.0")
        await self.client.create(FLEETS, manifest)
        await self._is_complete(1)

    async def rolls(self, tag: str) -> None:
        """Roll in place: the node is warmed up, the replica drained."""
        await self.world.patch({"spec": {"template": {"spec": {"headGroupSpec": {"template": _head(tag)}}}}})
        await self._is_complete(1)

    async def forgets(self) -> None:
        """Keep no revision but the current one."""
        await self.world.patch({"spec": {"revisionHistoryLimit": 0}})
        await until(self.world.sizes, "the old revision is gone", holds=lambda sizes: len(sizes) == 1)

    async def goes_back(self) -> None:
        """Ask for the first revision as ``kubectl rollout undo`` of old did."""
        await self._annotate(FLEETS, {"deprecated.deployment.rollback.to": "1"})
        await until(self._first_image, "the first template again", holds=lambda tag: tag == "2.60.0")
        await self._is_complete(1)

    async def scales(self, replicas: int) -> None:
        """Set the number of replicas."""
        await self.world.patch({"spec": {"replicas": replicas}})
        await self._is_complete(replicas)

    async def loses_a_replica(self) -> None:
        """Let the workers of one Ray cluster die until another is in its place.

        Not all of its pods: one that lost everything starts over, and has as long for it as one that forms.
        """
        name = (await self.world.names(RAY_CLUSTERS))[0]
        self.kubelet.sick.add(name)
        await until(lambda: self._is_gone(name), f"{name} is rebuilt")
        await self._is_complete(2)

    async def is_let_go_and_taken(self) -> None:
        """Take the owners of a replica set and a Ray cluster away: both are taken again."""
        for resource in (RAY_CLUSTERS, REPLICA_SETS):
            orphan = next(each for each in await self.world.objects(resource) if controller_uid(each))
            await self.client.patch(resource, key_of(orphan), {"metadata": {"ownerReferences": None}})

            async def owner(resource: ResourceType = resource, orphan: Json = orphan) -> str | None:
                return controller_uid(await self.client.get(resource, name_of(orphan), self.world.namespace))

            await until(owner, f"{name_of(orphan)} has an owner")

    async def is_spoilt(self) -> None:
        """Change what the controllers made: each is set right."""
        spoilt = {"selector": {"nobody": "has-this"}}
        await self._set_right(SERVICES, {"spec": spoilt}, lambda raw: part(raw, "spec", "selector"))
        await self._set_right(
            DISRUPTION_BUDGETS, {"spec": {"minAvailable": 7}}, lambda raw: raw["spec"]["minAvailable"]
        )
        parents = {"spec": {"parentRefs": [{"name": "nobody"}]}}
        await self._set_right(HTTP_ROUTES, parents, lambda raw: raw["spec"]["parentRefs"][0]["name"])

    async def names_no_model(self) -> None:
        """Take the model's name away: its Service and its route go."""
        labels = {"model.aibrix.ai/name": None}
        await self.client.patch(FLEETS, self._key, {"metadata": {"labels": labels}})
        for resource in (SERVICES, HTTP_ROUTES):
            await until(partial(self._ours, resource), f"no {resource.plural}", holds=lambda names: not names)

    async def is_told_of(self) -> None:
        """Wait for what the gateway says of the route and of its own Gateway."""
        await until(self._route_parents, "the route's status")
        await until(self._gateway_conditions, "the gateway's status")

    async def ends(self) -> None:
        """Delete the fleet, and wait until nothing of it is left."""
        await self.client.delete(FLEETS, self._key)
        for resource in (FLEETS, REPLICA_SETS, RAY_CLUSTERS, DISRUPTION_BUDGETS):
            await until(partial(self._are_gone, resource), f"no {resource.plural}")

    async def _is_complete(self, replicas: int) -> None:
        await self.world.until_complete(replicas, limit=_LIMIT_SECONDS)

    @property
    def _key(self) -> ObjectKey:
        return ObjectKey(namespace=self.world.namespace, name="model")

    async def _annotate(self, resource: ResourceType, annotations: ReadOnlyJson) -> None:
        await self.client.patch(resource, self._key, {"metadata": {"annotations": annotations}})

    async def _first_image(self) -> str:
        fleet = await self.client.get(FLEETS, "model", self.world.namespace)
        pod = part(fleet, "spec", "template", "spec", "headGroupSpec", "template", "spec")
        return str(pod["containers"][0]["image"].rpartition(":")[2])

    async def _is_gone(self, name: str) -> bool:
        return name not in await self.world.names(RAY_CLUSTERS)

    async def _are_gone(self, resource: ResourceType) -> bool:
        return not await self.world.objects(resource)

    async def _ours(self, resource: ResourceType) -> list[str]:
        """Return the names of what the fleet owns, alone or (a route) with others."""
        uid = uid_of(await self.client.get(FLEETS, "model", self.world.namespace))
        objects = await self.world.objects(resource)
        return [name_of(each) for each in objects if any(owner.uid == uid for owner in owners_of(each))]

    async def _set_right(
        self, resource: ResourceType, spoilt: ReadOnlyJson, shown: Callable[[ReadOnlyJson], object]
    ) -> None:
        [name] = await self._ours(resource)
        before = shown(await self.client.get(resource, name, self.world.namespace))
        await self.client.patch(resource, ObjectKey(namespace=self.world.namespace, name=name), spoilt)

        async def now() -> tuple[object]:
            return (shown(await self.client.get(resource, name, self.world.namespace)),)

        await until(now, f"{resource.kind} is set right", holds=lambda it: it == (before,))

    async def _route_parents(self) -> list[Json]:
        [route] = await self.world.objects(HTTP_ROUTES)
        return entries(route, "status", "parents")

    async def _gateway_conditions(self) -> list[str]:
        gateway = await self.client.get(GATEWAYS, "rayfleet", DEFAULT_NAMESPACE)
        return [each["type"] for each in entries(gateway, "status", "conditions") if each["status"] == "True"]


def _head(tag: str) -> Json:
    """Return the template of head pods with an image of that tag; a sidecar that nobody runs is asked in vain."""
    sidecar = {"name": "rayfleet-sidecar", "image": "rayfleet/sidecar:test"}
    return {"spec": {"containers": [{"name": "ray", "image": f"rayproject/ray:{tag}"}, sidecar]}}
