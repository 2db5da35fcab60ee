"""Plays KubeRay and the garbage collector towards an API server that has neither (a bare kube-apiserver).

No pods, only status.

For each RayCluster it publishes the live facts that KubeRay would (``HeadPodReady``, ``readyWorkerReplicas``), as far
as the test allows; it ends foreground deletion; and it deletes what has lost its owner. A test steers it with two
claims: ``is_ready(name)`` and ``may_finish(name)`` (may a deleted Ray cluster's pods be gone).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Conflict, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.kube.requests import PatchForm, Propagation
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, SERVICES, ResourceType
from rayfleet.objects.meta import key_of

log = logging.getLogger(__name__)

FOREGROUND = "foregroundDeletion"
_OWNERS = (FLEETS, REPLICA_SETS, RAY_CLUSTERS)
_OWNED = (REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES)
_POLL_SECONDS = 0.2

Claim = Callable[[str], bool]


def is_always(_name: str) -> bool:
    """Return True: every Ray cluster becomes ready, and goes, at once."""
    return True


def expected_workers(manifest: ReadOnlyJson) -> int:
    """Return how many worker pods a RayCluster asks for. Pure."""
    groups = manifest["spec"].get("workerGroupSpecs") or ()
    return sum(group.get("replicas", 0) * group.get("numOfHosts", 1) for group in groups)


class RayClusterSimulator:
    """Run ``run()`` as a task beside the controllers; ``poke`` after changing what the claims answer."""

    def __init__(
        self, client: KubeClient, namespace: str, *, is_ready: Claim = is_always, may_finish: Claim = is_always
    ) -> None:
        self.is_ready = is_ready
        self.may_finish = may_finish
        self._client = client
        self._changed = asyncio.Event()
        kinds = dict.fromkeys((*_OWNERS, *_OWNED))
        self._reflectors = {kind: Reflector(client, kind, namespace) for kind in kinds}
        for reflector in self._reflectors.values():
            reflector.subscribe(lambda _old, _new: self._changed.set())

    def poke(self) -> None:
        """Look again now."""
        self._changed.set()

    async def run(self) -> None:
        """Play until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._reflectors.values():
                tasks.create_task(reflector.run())
            for reflector in self._reflectors.values():
                await reflector.synced()
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._changed.wait()
                self._changed.clear()
                await self._step()

    async def _step(self) -> None:
        for manifest in self._reflectors[RAY_CLUSTERS].store.list():
            if "deletionTimestamp" not in manifest["metadata"]:
                await self._tried(self._publish(manifest))
        for kind, reflector in self._reflectors.items():
            for manifest in reflector.store.list():
                if FOREGROUND in (manifest["metadata"].get("finalizers") or ()):
                    await self._tried(self._finish(kind, manifest))
        for kind in _OWNED:
            for manifest in self._reflectors[kind].store.list():
                if self._is_orphaned(manifest):
                    await self._tried(self._delete(kind, manifest, Propagation.BACKGROUND))

    async def _tried(self, work: Awaitable[None]) -> None:
        """Do one write; a stale view or a failing server is met again at the next step."""
        try:
            await work
        except (NotFound, Conflict):
            pass
        except ApiError as error:
            log.info("simulated write failed", extra={"error": error.message})

    async def _publish(self, manifest: ReadOnlyJson) -> None:
        name = manifest["metadata"]["name"]
        workers = expected_workers(manifest)
        is_ready = self.is_ready(name)
        old = manifest.get("status") or {}
        status = "True" if is_ready else "False"
        known = {each["type"]: each for each in old.get("conditions") or ()}.get("HeadPodReady", {})
        if known.get("status") == status and old.get("readyWorkerReplicas", 0) == (workers if is_ready else 0):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        condition = {
            "type": "HeadPodReady",
            "status": status,
            "reason": "HeadPodRunningAndReady" if is_ready else "ContainersNotReady",
            "message": "",
            "lastTransitionTime": known.get("lastTransitionTime", now) if known.get("status") == status else now,
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
            if "deletionTimestamp" not in dependent["metadata"]:
                await self._tried(self._delete(dependent_kind, dependent, Propagation.FOREGROUND))
        if dependents or (kind is RAY_CLUSTERS and not self.may_finish(manifest["metadata"]["name"])):
            return
        left = [each for each in manifest["metadata"]["finalizers"] if each != FOREGROUND]
        meta = {"finalizers": left, "resourceVersion": manifest["metadata"]["resourceVersion"]}
        await self._client.patch(kind, key_of(manifest), {"metadata": meta}, form=PatchForm.MERGE)

    async def _delete(self, kind: ResourceType, manifest: ReadOnlyJson, propagation: Propagation) -> None:
        # A Ray cluster's pods take time: it goes in the foreground whoever asks, so that `may_finish` holds for it.
        how = Propagation.FOREGROUND if kind is RAY_CLUSTERS else propagation
        if "deletionTimestamp" not in manifest["metadata"]:
            await self._client.delete(kind, key_of(manifest), uid=manifest["metadata"]["uid"], propagation=how)

    def _dependents(self, owner: ReadOnlyJson) -> Iterator[tuple[ResourceType, ReadOnlyJson]]:
        for kind in _OWNED:
            for manifest in self._reflectors[kind].store.by_owner(owner["metadata"]["uid"]):
                yield kind, manifest

    def _is_orphaned(self, manifest: ReadOnlyJson) -> bool:
        references = manifest["metadata"].get("ownerReferences") or ()
        alive = {found["metadata"]["uid"] for kind in _OWNERS for found in self._reflectors[kind].store.list()}
        return bool(references) and not any(reference["uid"] in alive for reference in references)
