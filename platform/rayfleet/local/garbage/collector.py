"""Watches every kind that the embedded cluster has and carries out what the pure plan says.

A store may lag behind, so the server is asked before anything irrevocable: an owner is gone only if a GET says so, and
an object is let go only if lists say that nothing is left that it waits for.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import ApiError, Conflict, Invalid, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.kube.requests import PatchForm, Propagation
from rayfleet.local.garbage.nodes import COLLECTED, changes_the_graph, node_of
from rayfleet.local.garbage.planning import (
    FOREGROUND,
    Action,
    Delete,
    DropOwners,
    Node,
    OwnerRef,
    Release,
    Unblock,
    blocks,
    planned_collection,
    refers_to,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.01  # many objects go at once; one look for all of them
RETRY_SECONDS = 1.0


class GarbageCollector:
    """``reflectors`` hold at least COLLECTED."""

    def __init__(self, client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> None:
        self._client = client
        self._reflectors = {resource: reflectors[resource] for resource in COLLECTED}
        self._changed = asyncio.Event()
        self._asked: set[str] = set()  # UIDs whose deletion was asked for and the store does not show yet
        for reflector in self._reflectors.values():
            reflector.subscribe(self._hear)

    async def run(self) -> None:
        """Collect until cancelled."""
        for reflector in self._reflectors.values():
            await reflector.synced()
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            await self._collect()

    def _hear(self, old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        if changes_the_graph(old, new):
            self._changed.set()

    async def _collect(self) -> None:
        nodes = [node_of(kind, raw) for kind, reflector in self._reflectors.items() for raw in reflector.store.list()]
        self._asked &= {node.uid for node in nodes if not node.is_deleting}
        look = _Look(self._client)
        for action in planned_collection(nodes):
            try:
                await self._apply(action, look)
            except (NotFound, Conflict):
                continue  # gone or changed meanwhile: the watch says so too
            except ApiError as error:
                node = action.node
                log.warning(
                    "collection failed, trying again",
                    extra={"kind": node.resource.kind, "object": str(node.key), "error": error.message},
                )
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed.set)

    async def _apply(self, action: Action, look: "_Look") -> None:
        match action:
            case Delete(node=node, policy=policy):
                if node.uid not in self._asked and await look.is_kept_by_nobody(node):
                    propagation = Propagation(policy.value)
                    await self._client.delete(node.resource, node.key, uid=node.uid, propagation=propagation)
                    self._asked.add(node.uid)
            case Release(node=node, finalizer=finalizer):
                if await look.has_nothing_to_wait_for(node, finalizer):
                    await self._edit(node, "finalizers", lambda found: [each for each in found if each != finalizer])
            case DropOwners(node=node, uids=uids, dangling=dangling):
                lost = frozenset([uid for uid in uids if uid not in dangling or await look.is_gone(node, uid)])
                await self._edit(
                    node, "ownerReferences", lambda found: [each for each in found if each["uid"] not in lost]
                )
            case Unblock(node=node):
                await self._edit(
                    node, "ownerReferences", lambda found: [{**each, "blockOwnerDeletion": False} for each in found]
                )
            case _:
                assert_never(action)

    async def _edit(self, node: Node, field: str, change: Callable[[list[Any]], list[Any]]) -> None:
        """Change a list in metadata, guarded by UID and resourceVersion."""
        raw = await self._client.get(node.resource, node.key.name, node.key.namespace)
        meta = raw["metadata"]
        before = meta.get(field) or []
        after = change(before)
        if meta["uid"] != node.uid or after == before:
            return
        patch: list[Json] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "replace", "path": f"/metadata/{field}", "value": after},
        ]
        try:
            await self._client.patch(node.resource, node.key, patch, form=PatchForm.JSON)
        except Invalid as error:
            # The test failed: somebody was faster (the watch brings us back), or the patch is refused (then we try
            # again).
            asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed.set)
            log.debug("not edited", extra={"object": str(node.key), "error": error.message})


class _Look:
    """What the server says during one pass; an answer holds for the pass."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._owners: dict[tuple[str, str], Node | None] = {}
        self._living: dict[str, tuple[Node, ...]] = {}

    async def is_kept_by_nobody(self, node: Node) -> bool:
        """Whether the object, as it is now, has owners and none of them is there without waiting for it to go."""
        raw = await self._client.get(node.resource, node.key.name, node.key.namespace)
        now = node_of(node.resource, raw)
        if now.uid != node.uid or not now.owners:
            return False
        for reference in now.owners:
            if reference.resource is None:
                return False  # a kind unknown here is not ours to judge
            owner = await self._owner(node, reference)
            if owner is not None and not owner.is_waiting:
                return False
        return True

    async def is_gone(self, node: Node, owner_uid: str) -> bool:
        """Whether one of the object's owners is gone."""
        reference = next((each for each in node.owners if each.uid == owner_uid), None)
        return reference is not None and await self._owner(node, reference) is None

    async def has_nothing_to_wait_for(self, node: Node, finalizer: str) -> bool:
        """Whether nothing is left that the finalizer is there for."""
        waits_for = blocks if finalizer == FOREGROUND else refers_to
        return not any(waits_for(each, node.uid) for each in await self._in_namespace(node.key.namespace))

    async def _owner(self, node: Node, reference: OwnerRef) -> Node | None:
        if reference.resource is None:
            return None
        namespace = node.key.namespace if reference.resource.is_namespaced else ""
        known = (reference.uid, namespace)
        if known not in self._owners:
            self._owners[known] = None
            with contextlib.suppress(NotFound):
                raw = await self._client.get(reference.resource, reference.name, namespace or None)
                if raw["metadata"]["uid"] == reference.uid:
                    self._owners[known] = node_of(reference.resource, raw)
        return self._owners[known]

    async def _in_namespace(self, namespace: str) -> tuple[Node, ...]:
        """Return all that there is in a namespace, or everywhere for a cluster-scoped owner (empty)."""
        if namespace not in self._living:
            found: list[Node] = []
            for resource in COLLECTED:
                if resource.is_namespaced or not namespace:
                    listed = await self._client.list(resource, namespace or None)
                    found += [node_of(resource, raw) for raw in listed.items]
            self._living[namespace] = tuple(found)
        return self._living[namespace]
