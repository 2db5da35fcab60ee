"""From an object's metadata to its place in the graph of owners. Pure."""

from collections.abc import Mapping

from rayfleet.local.garbage.planning import Node, OwnerRef
from rayfleet.model import resources
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import finalizers_of, is_terminating, key_of, uid_of
from rayfleet.objects.owners import OwnerReference, owners_of

# Built-in kinds that own or are owned here, and those that are there from the start. Events have no owners.
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
    resources.DISRUPTION_BUDGETS,
    resources.HTTP_ROUTES,
    resources.GATEWAYS,
    resources.REFERENCE_GRANTS,
    resources.NODES,
    resources.NAMESPACES,
    resources.CRDS,
)
KNOWN: Mapping[tuple[str, str], ResourceType] = {(each.group, each.kind): each for each in COLLECTED}


def node_of(
    resource: ResourceType, manifest: ReadOnlyJson, known: Mapping[tuple[str, str], ResourceType] = KNOWN
) -> Node:
    """Return the object as a node.

    ``known`` are the kinds of owners, by group and kind: any version of a group is the same objects.
    """
    return Node(
        resource=resource,
        key=key_of(manifest),
        uid=uid_of(manifest),
        owners=tuple(_owner_ref(owner, known) for owner in owners_of(manifest)),
        finalizers=finalizers_of(manifest),
        is_deleting=is_terminating(manifest),
    )


def changes_the_graph(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> bool:
    """Whether a change can give the collector work.

    An end, a beginning with owners, or other owners, finalizers, deletion.
    """
    if new is None:
        return True
    if old is None:
        return bool(owners_of(new)) or is_terminating(new)
    return _standing(old) != _standing(new)


def _standing(manifest: ReadOnlyJson) -> tuple[object, ...]:
    return owners_of(manifest), finalizers_of(manifest), is_terminating(manifest)


def _owner_ref(owner: OwnerReference, known: Mapping[tuple[str, str], ResourceType]) -> OwnerRef:
    resource = known.get((owner.group, owner.kind))
    return OwnerRef(uid=owner.uid, name=owner.name, resource=resource, blocks=owner.blocks_deletion)
