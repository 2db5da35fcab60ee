"""Plays KubeRay and the garbage collector towards an API server that has neither (a bare kube-apiserver).

No pods, only status.

For each RayCluster it publishes the live facts that KubeRay would (``HeadPodReady``, ``readyWorkerReplicas``), as far
as the test allows; it ends foreground deletion; and it deletes what has lost its owner. A test steers it with two
claims: ``is_ready(name)`` and ``may_finish(name)`` (may a deleted Ray cluster's pods be gone).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator
from datetime import UTC, datetime, timedelta

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Conflict, NotFound
from rayfleet.kube.requests import PatchForm
from rayfleet.kube.watches import Changes, Reflectors
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    FLEETS,
    HTTP_ROUTES,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.conditions import condition_of, conditions_of, since
from rayfleet.objects.meta import finalizers_of, is_terminating, key_of, name_of, uid_of, version_of
from rayfleet.objects.owners import owners_of
from rayfleet.objects.parts import part
from rayfleet.objects.ray_spec import desired_workers

log = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
_OWNERS = (FLEETS, REPLICA_SETS, RAY_CLUSTERS)
_OWNED = (REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES, DISRUPTION_BUDGETS)
_LONGEST_SLEEP = timedelta(seconds=0.2)

Claim = Callable[[str], bool]


def is_always(_name: str) -> bool:
    """Return True: every Ray cluster becomes ready, and goes, at once."""
    return True


class RayClusterSimulator:
    """Run ``run()`` as a task beside the controllers; ``poke`` after changing what the claims answer."""

    def __init__(
        self, client: KubeClient, namespace: str, *, is_ready: Claim = is_always, may_finish: Claim = is_always
    ) -> None:
        self.is_ready = is_ready
        self.may_finish = may_finish
        self._client = client
        self._namespace = namespace
        self._reflectors = Reflectors(client, (*_OWNERS, *_OWNED), namespace)
        self._changes = Changes(self._reflectors, at_least_every=_LONGEST_SLEEP, optional=(HTTP_ROUTES,))

    def poke(self) -> None:
        """Look again now."""
        self._changes.poke()

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reflectors.run())
            async for _ in self._changes:
                await self._step()

    async def _step(self) -> None:
        for manifest in self._reflectors[RAY_CLUSTERS].store.list():
            if not is_terminating(manifest):
                await self._tried(self._publish(manifest))
        for kind, reflector in self._reflectors.items():
            for manifest in reflector.store.list():
                if FOREGROUND in finalizers_of(manifest):
                    await self._tried(self._finish(kind, manifest))
        alive = {uid_of(raw) for kind in _OWNERS for raw in self._reflectors.store(kind).list()}
        for kind in _OWNED:
            for manifest in self._reflectors[kind].store.list():
                if _is_orphaned(manifest, alive):  # by a store, which may be late
                    await self._tried(self._collect(kind, manifest))

    async def _tried(self, work: Awaitable[None]) -> None:
        """Do one write; a stale view or a failing server is met again at the next step."""
        try:
            await work
        except (NotFound, Conflict):
            pass
        except ApiError as error:
            log.info("simulated write failed", extra={"error": error.message})

    async def _publish(self, manifest: ReadOnlyJson) -> None:
        workers = desired_workers(part(manifest, "spec"))
        is_ready = self.is_ready(name_of(manifest))
        old = part(manifest, "status")
        status = "True" if is_ready else "False"
        known = condition_of(manifest, "HeadPodReady")
        if known.get("status") == status and old.get("readyWorkerReplicas", 0) == (workers if is_ready else 0):
            return
        condition = {
            "type": "HeadPodReady",
            "status": status,
            "reason": "HeadPodRunningAndReady" if is_ready else "ContainersNotReady",
            "message": "",
            "lastTransitionTime": since(conditions_of(manifest), "HeadPodReady", status, datetime.now(UTC)),
        }
        patch = {
            "status": {
                "desiredWorkerReplicas": workers,
                "readyWorkerReplicas": workers if is_ready else 0,
                "conditions": [condition],
            }
        }
        await self._client.patch(RAY_CLUSTERS, key_of(manifest), patch, subresource="status")

    async def _finish(self, kind: ResourceType, manifest: ReadOnlyJson) -> None:
        """Delete the dependents of an object in foreground deletion, then let it go."""
        dependents = list(self._dependents(manifest))
        for dependent_kind, dependent in dependents:
            if not is_terminating(dependent):
                await self._tried(self._delete(dependent_kind, dependent, Propagation.FOREGROUND))
        if dependents or (kind is RAY_CLUSTERS and not self.may_finish(name_of(manifest))):
            return
        left = [name for name in finalizers_of(manifest) if name != FOREGROUND]
        meta = {"finalizers": left, "resourceVersion": version_of(manifest)}
        await self._client.patch(kind, key_of(manifest), {"metadata": meta}, form=PatchForm.MERGE)

    async def _delete(self, kind: ResourceType, manifest: ReadOnlyJson, propagation: Propagation) -> None:
        # A Ray cluster's pods take time: it goes in the foreground whoever asks, so that `may_finish` holds for it.
        how = Propagation.FOREGROUND if kind is RAY_CLUSTERS else propagation
        if not is_terminating(manifest):
            await self._client.delete(kind, key_of(manifest), uid=uid_of(manifest), propagation=how)

    def _dependents(self, owner: ReadOnlyJson) -> Iterator[tuple[ResourceType, ReadOnlyJson]]:
        for kind in _OWNED:
            for manifest in self._reflectors[kind].store.by_owner(uid_of(owner)):
                yield kind, manifest

    async def _collect(self, kind: ResourceType, manifest: ReadOnlyJson) -> None:
        """Delete what the server too says has lost its owner, as the real collector does: a store may be late."""
        listed = [await self._client.list(owners, self._namespace) for owners in _OWNERS]
        if _is_orphaned(manifest, {uid_of(raw) for each in listed for raw in each.items}):
            await self._delete(kind, manifest, Propagation.BACKGROUND)


def _is_orphaned(manifest: ReadOnlyJson, alive: Collection[str]) -> bool:
    owners = owners_of(manifest)
    return bool(owners) and not any(owner.uid in alive for owner in owners)
