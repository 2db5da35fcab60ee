"""What the garbage collector does, given every object's identity. Pure.

Source: Kubernetes v1.36 pkg/controller/garbagecollector, attemptToDeleteItem and processDeletingDependentsItem. An
owner is *solid* (there), *waiting* (in foreground deletion) or *dangling* (gone). A solid owner keeps a dependent,
which loses its other references. Without one it is deleted: in the foreground when a waiting owner is to see the
dependent's own dependents gone first, else by its own finalizers, else in the background. An owner waits until nothing
that blocks it is left; one that orphans, until nothing refers to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


class Policy(StrEnum):
    """How an object is deleted; the values are the API's."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRef:
    """``resource`` is None for a kind that is unknown here: such an owner is never judged.

    ``blocks``: its foreground deletion waits.
    """

    uid: str
    name: str
    resource: ResourceType | None
    blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One object in the graph of owners."""

    resource: ResourceType
    key: ObjectKey
    uid: str
    owners: tuple[OwnerRef, ...] = ()
    finalizers: tuple[str, ...] = ()
    is_deleting: bool = False

    @property
    def is_waiting(self) -> bool:
        """Whether it is in foreground deletion."""
        return self.is_deleting and FOREGROUND in self.finalizers


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete an object that no owner keeps; check with the server that this is so."""

    node: Node
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take a finalizer off an object; check with the server that nothing is left that it waits for."""

    node: Node
    finalizer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropOwners:
    """Take references off a dependent that lives on.

    ``dangling``: those of them whose owners are to be checked to be gone.
    """

    node: Node
    uids: frozenset[str]
    dangling: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblock:
    """Let an object's owners no longer wait for it: it is part of a circle."""

    node: Node


Action = Delete | Release | DropOwners | Unblock


def planned_collection(nodes: Sequence[Node]) -> tuple[Action, ...]:
    """Return what to do now."""
    by_uid = {node.uid: node for node in nodes}
    dependents: dict[str, list[Node]] = {}
    for node in nodes:
        for owner in node.owners:
            dependents.setdefault(owner.uid, []).append(node)
    actions: list[Action] = []
    for node in nodes:
        if node.is_deleting:
            actions += _deleting_actions(node, dependents.get(node.uid, ()))
        elif node.owners:
            actions += _dependent_actions(node, by_uid, dependents.get(node.uid, ()))
    return tuple(actions)


def blocks(node: Node, owner_uid: str) -> bool:
    """Whether an object is a dependent that its owner's foreground deletion waits for."""
    return any(owner.uid == owner_uid and owner.blocks for owner in node.owners)


def refers_to(node: Node, owner_uid: str) -> bool:
    """Whether an object is a dependent."""
    return any(owner.uid == owner_uid for owner in node.owners)


def _deleting_actions(node: Node, mine: Sequence[Node]) -> list[Action]:
    if ORPHAN in node.finalizers:
        if not mine:
            return [Release(node=node, finalizer=ORPHAN)]
        return [DropOwners(node=each, uids=frozenset({node.uid})) for each in mine]
    if node.is_waiting and not any(blocks(each, node.uid) for each in mine):
        return [Release(node=node, finalizer=FOREGROUND)]
    return []


def _dependent_actions(node: Node, by_uid: Mapping[str, Node], mine: Sequence[Node]) -> list[Action]:
    dangling, waiting, is_kept = set(), set(), False
    for reference in node.owners:
        owner = _owner(node, reference, by_uid)
        if owner is None and reference.resource is not None:
            dangling.add(reference.uid)
        elif owner is not None and owner.is_waiting:
            waiting.add(reference.uid)
        else:
            is_kept = True
    if is_kept:
        lost = frozenset(dangling | waiting)
        return [DropOwners(node=node, uids=lost, dangling=frozenset(dangling))] if lost else []
    if waiting and mine:
        actions: list[Action] = [Delete(node=node, policy=Policy.FOREGROUND)]
        is_circle = any(each.is_waiting for each in mine) and any(owner.blocks for owner in node.owners)
        return [Unblock(node=node), *actions] if is_circle else actions
    return [Delete(node=node, policy=_own_policy(node))]


def _owner(node: Node, reference: OwnerRef, by_uid: Mapping[str, Node]) -> Node | None:
    """Return the owner if it is what the reference says: an owner in another namespace is none."""
    owner = by_uid.get(reference.uid)
    if owner is None or owner.resource != reference.resource or owner.key.name != reference.name:
        return None
    return owner if owner.key.namespace in {"", node.key.namespace} else None


def _own_policy(node: Node) -> Policy:
    if ORPHAN in node.finalizers:
        return Policy.ORPHAN
    return Policy.FOREGROUND if FOREGROUND in node.finalizers else Policy.BACKGROUND
