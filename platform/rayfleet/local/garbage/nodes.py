"""From an object's metadata to its place in the graph of owners. Pure."""

from collections.abc import Mapping
from typing import Any

from rayfleet.local.garbage.planning import Node, OwnerRef
from rayfleet.model import resources
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType

# Kinds that own or are owned here. Events have no owners.
COLLECTED: tuple[ResourceType, ...] = (
    resources.FLEETS,
    resources.REPLICA_SETS,
    resources.RAY_CLUSTERS,
    resources.PODS,
    resources.SERVICES,
    resources.ENDPOINT_SLICES,
    resources.SECRETS,
    resources.CONFIG_MAPS,
    resources.SERVICE_ACCOUNTS,
    resources.LEASES,
    resources.HTTP_ROUTES,
    resources.GATEWAYS,
    resources.REFERENCE_GRANTS,
    resources.NODES,
)
_BY_KIND = {(each.group, each.kind): each for each in COLLECTED}


def node_of(resource: ResourceType, manifest: ReadOnlyJson) -> Node:
    """Return the object as a node."""
    meta = manifest["metadata"]
    return Node(
        resource=resource,
        key=ObjectKey(namespace=meta.get("namespace") or "", name=meta["name"]),
        uid=meta["uid"],
        owners=tuple(_owner_ref(entry) for entry in meta.get("ownerReferences") or ()),
        finalizers=tuple(meta.get("finalizers") or ()),
        is_deleting="deletionTimestamp" in meta,
    )


def changes_the_graph(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> bool:
    """Whether a change can give the collector work.

    An end, a beginning with owners, or other owners, finalizers, deletion.
    """
    if new is None:
        return True
    meta = new["metadata"]
    if old is None:
        return bool(meta.get("ownerReferences")) or "deletionTimestamp" in meta
    fields = ("ownerReferences", "finalizers", "deletionTimestamp")
    return any(old["metadata"].get(field) != meta.get(field) for field in fields)


def _owner_ref(entry: Mapping[str, Any]) -> OwnerRef:
    group = entry["apiVersion"].rpartition("/")[0]  # any version of a group is the same objects
    return OwnerRef(
        uid=entry["uid"],
        name=entry["name"],
        resource=_BY_KIND.get((group, entry["kind"])),
        blocks=bool(entry.get("blockOwnerDeletion")),
    )
