"""Watches every kind that the embedded cluster has and carries out what the pure plan says."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from rayfleet.kube.client import KubeClient, PatchForm, Propagation
from rayfleet.kube.errors import ApiError, Conflict, Invalid, NotFound
from rayfleet.kube.reflector import Reflector
from rayfleet.local.garbage.planning import (
    Action,
    Delete,
    Node,
    OwnerRef,
    RemoveFinalizer,
    RemoveOwner,
    planned_collection,
)
from rayfleet.model import resources
from rayfleet.model.meta import JsonObject, ObjectKey
from rayfleet.model.resources import NAMESPACES, ResourceType

log = logging.getLogger(__name__)

# Kinds that own or are owned here. An owner of any other kind is looked up by its reference before a dependent is touched.
COLLECTED: tuple[ResourceType, ...] = (
    resources.FLEETS,
    resources.REPLICA_SETS,
    resources.RAY_CLUSTERS,
    resources.PODS,
    resources.SERVICES,
    resources.ENDPOINT_SLICES,
    resources.SECRETS,
    resources.CONFIG_MAPS,
    resources.HTTP_ROUTES,
    resources.GATEWAYS,
    resources.REFERENCE_GRANTS,
)
SETTLE_SECONDS = 0.01
RETRY_SECONDS = 1.0


class GarbageCollector:
    """``reflectors`` hold at least COLLECTED and Namespaces."""

    def __init__(self, client: KubeClient, reflectors: Mapping[ResourceType, Reflector]) -> None:
        self._client = client
        self._reflectors = {resource: reflectors[resource] for resource in COLLECTED}
        self._namespaces = reflectors[NAMESPACES]
        self._changed = asyncio.Event()
        self._done: set[tuple[str, str]] = set()  # deletions asked for, until the store shows them
        for reflector in (*self._reflectors.values(), self._namespaces):
            reflector.subscribe(self._note)

    async def run(self) -> None:
        """Collect until cancelled."""
        for reflector in (*self._reflectors.values(), self._namespaces):
            await reflector.synced()
        self._changed.set()
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE_SECONDS)
            self._changed.clear()
            try:
                await self._collect()
            except ApiError as error:
                log.warning("collection failed; trying again", extra={"reason": error.message})
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self._changed.set)

    def _note(self, old: JsonObject | None, new: JsonObject | None) -> None:
        concerned = new or old
        if concerned is None:
            return
        meta = concerned["metadata"]
        if new is None or meta.get("ownerReferences") or "deletionTimestamp" in meta:
            self._changed.set()

    async def _collect(self) -> None:
        nodes = [_node(resource, raw) for resource, each in self._reflectors.items() for raw in each.store.list()]
        living = {node.uid for node in nodes if not node.is_deleting}
        self._done = {entry for entry in self._done if entry[0] in living}
        for action in planned_collection(nodes):
            with contextlib.suppress(NotFound, Conflict):
                await self._apply(action)
        for namespace in self._namespaces.store.list():
            if "deletionTimestamp" in namespace["metadata"]:
                await self._empty_namespace(namespace, nodes)

    async def _apply(self, action: Action) -> None:
        match action:
            case Delete(node=node, is_foreground=is_foreground, is_orphaned=is_orphaned):
                if (node.uid, "delete") in self._done or (is_orphaned and await self._has_living_owner(node)):
                    return
                propagation = Propagation.FOREGROUND if is_foreground else Propagation.BACKGROUND
                await self._client.delete(node.resource, node.key, uid=node.uid, propagation=propagation)
                self._done.add((node.uid, "delete"))
            case RemoveFinalizer(node=node, finalizer=finalizer):
                await self._without(node, "finalizers", lambda entry: entry == finalizer)
            case RemoveOwner(node=node, owner_uid=owner_uid):
                await self._without(node, "ownerReferences", lambda entry: entry["uid"] == owner_uid)

    async def _has_living_owner(self, node: Node) -> bool:
        """Ask the server, since a store may lag behind and an owner may be of a kind that is not watched here."""
        raw = await self._client.get(node.resource, node.key.name, node.key.namespace)
        if raw["metadata"]["uid"] != node.uid:
            return True
        for reference in raw["metadata"].get("ownerReferences") or ():
            resource = _resource_of(reference)
            if resource is None:
                return True  # a kind unknown here is not ours to judge
            with contextlib.suppress(NotFound):
                owner = await self._client.get(resource, reference["name"], node.key.namespace)
                if owner["metadata"]["uid"] == reference["uid"]:
                    return True
        return False

    async def _without(self, node: Node, field: str, is_removed: Callable[[Any], bool]) -> None:
        """Remove entries of a list in metadata, guarded by UID and resourceVersion."""
        raw = await self._client.get(node.resource, node.key.name, node.key.namespace)
        meta = raw["metadata"]
        if meta["uid"] != node.uid:
            return
        kept = [entry for entry in meta.get(field) or () if not is_removed(entry)]
        patch: list[JsonObject] = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "replace", "path": f"/metadata/{field}", "value": kept},
        ]
        with contextlib.suppress(Invalid):  # the test failed: somebody was faster, the watch brings us back
            await self._client.patch(node.resource, node.key, patch, form=PatchForm.JSON)

    async def _empty_namespace(self, namespace: JsonObject, nodes: list[Node]) -> None:
        name = namespace["metadata"]["name"]
        left = [node for node in nodes if node.key.namespace == name]
        for node in left:
            if not node.is_deleting:
                with contextlib.suppress(NotFound, Conflict):
                    await self._client.delete(node.resource, node.key, uid=node.uid)
        if left or not (namespace.get("spec") or {}).get("finalizers"):
            return
        finalized = {**namespace, "spec": {"finalizers": []}}
        with contextlib.suppress(NotFound, Conflict):
            await self._client.replace(NAMESPACES, finalized, subresource="finalize")


def _node(resource: ResourceType, raw: JsonObject) -> Node:
    meta = raw["metadata"]
    return Node(
        resource=resource,
        key=ObjectKey(namespace=meta.get("namespace") or "", name=meta["name"]),
        uid=meta["uid"],
        owners=tuple(
            OwnerRef(uid=entry["uid"], blocks=bool(entry.get("blockOwnerDeletion")))
            for entry in meta.get("ownerReferences") or ()
        ),
        finalizers=tuple(meta.get("finalizers") or ()),
        is_deleting="deletionTimestamp" in meta,
    )


def _resource_of(reference: JsonObject) -> ResourceType | None:
    known = (*COLLECTED, resources.NODES, NAMESPACES)
    return next(
        (each for each in known if (each.api_version, each.kind) == (reference["apiVersion"], reference["kind"])), None
    )
