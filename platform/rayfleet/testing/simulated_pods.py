"""Plays KubeRay's heads and a kubelet towards an API server that has neither: for workloads that rest on pods.

Each Ray cluster has a head, ready on a node of its own, that goes with it; a pod that warms a node up ends well a
moment after it was made, and goes with its fleet.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError
from rayfleet.kube.watches import Changes, Reflectors
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, ResourceType
from rayfleet.objects.labels import WARM_UP_LABEL
from rayfleet.objects.meta import is_terminating, key_of, label, name_of, namespace_of, uid_of
from rayfleet.objects.owners import controller_reference, controller_uid
from rayfleet.objects.pods import container_names, is_finished, is_ready
from rayfleet.testing.kubelet import SITUATIONS, RayPod

log = logging.getLogger(__name__)

_WATCHED = (FLEETS, RAY_CLUSTERS, PODS)
_MOMENT = timedelta(seconds=0.2)


class SimulatedPods:
    """Run ``run()`` as a task beside the controllers and the simulated KubeRay.

    ``do_warm_ups_end``: else pods that warm a node up run until they are deleted.
    """

    def __init__(
        self, client: KubeClient, namespace: str, now: Callable[[], datetime], *, do_warm_ups_end: bool = True
    ) -> None:
        self._now = now
        self._do_warm_ups_end = do_warm_ups_end
        self._client = client
        self._namespace = namespace
        self._reflectors = Reflectors(client, _WATCHED, namespace)
        self._changes = Changes(self._reflectors, at_least_every=_MOMENT)

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reflectors.run())
            async for _ in self._changes:
                await self._step()

    async def _step(self) -> None:
        """Do what is to be done by what the server has now.

        Watches only wake it: who plays the cluster does not share their troubles. Pods are read before their owners.
        """
        pods, ray_clusters, fleets = [await self._there(kind) for kind in (PODS, RAY_CLUSTERS, FLEETS)]
        with_head = {controller_uid(pod) for pod in pods}
        for ray_cluster in ray_clusters:
            if uid_of(ray_cluster) not in with_head and not is_terminating(ray_cluster):
                await self._tried(self._client.create(PODS, _head(ray_cluster)))
        owners = {uid_of(raw) for raw in (*fleets, *ray_clusters)}
        for pod in pods:
            if controller_uid(pod) not in owners:
                how = Propagation.BACKGROUND
                await self._tried(self._client.delete(PODS, key_of(pod), uid=uid_of(pod), propagation=how))
            elif label(pod, WARM_UP_LABEL):
                await self._warm_up(pod)
            elif not label(pod, WARM_UP_LABEL) and not is_ready(pod):
                await self._show(pod, "ready")

    async def _warm_up(self, pod: ReadOnlyJson) -> None:
        if self._do_warm_ups_end and not is_finished(pod):
            await asyncio.sleep(_MOMENT.total_seconds())
            await self._show(pod, "succeeded")

    async def _there(self, kind: ResourceType) -> Sequence[ReadOnlyJson]:
        return (await self._client.list(kind, self._namespace)).items

    async def _show(self, pod: ReadOnlyJson, situation: str) -> None:
        status = SITUATIONS[situation](self._now(), container_names(pod))
        await self._tried(self._client.patch(PODS, key_of(pod), {"status": status}, subresource="status"))

    async def _tried(self, work: Awaitable[object]) -> None:
        """Do one write; a stale view is met again at the next step."""
        try:
            await work
        except ApiError as error:
            log.info("simulated write failed", extra={"error": error.message})


def _head(ray_cluster: ReadOnlyJson) -> Json:
    name = name_of(ray_cluster)
    owner = controller_reference(RAY_CLUSTERS, name, uid_of(ray_cluster))
    meta = {"namespace": namespace_of(ray_cluster), "ownerReferences": [owner]}
    pod = RayPod(name=f"{name}-head", ray_cluster=name, node=f"node-of-{name}", meta=meta)
    return pod.showing({"phase": "Running"})
