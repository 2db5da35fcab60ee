"""What the garbage collector does, given every object's identity. Pure.

Source: Kubernetes, "Garbage Collection" and "Use Cascading Deletion". An owner is found by UID. An object all of whose owners are gone is
deleted in the background; one whose owner waits in foreground deletion is deleted too (in the foreground when it has dependents of its
own that block); an owner that waits is let go when nothing that blocks it is left; an owner that orphans has its references removed first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRef:
    """``blocks``: the owner's foreground deletion waits for this dependent."""

    uid: str
    blocks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One object in the graph of owners."""

    resource: ResourceType
    key: ObjectKey
    uid: str
    owners: tuple[OwnerRef, ...] = ()
    finalizers: tuple[str, ...] = ()
    is_deleting: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete an object; ``is_foreground`` when it has dependents that block."""

    node: Node
    is_foreground: bool
    is_orphaned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFinalizer:
    """Take a finalizer off an object that waits for nothing any more."""

    node: Node
    finalizer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOwner:
    """Take an owner's reference off a dependent that is to live on."""

    node: Node
    owner_uid: str


Action = Delete | RemoveFinalizer | RemoveOwner


def planned_collection(nodes: Sequence[Node]) -> tuple[Action, ...]:
    """Return what to do now. ``is_orphaned`` deletions are of objects whose owners were not seen: verify with the server first."""
    by_uid = {node.uid: node for node in nodes}
    dependents: dict[str, list[Node]] = {}
    for node in nodes:
        for owner in node.owners:
            dependents.setdefault(owner.uid, []).append(node)
    actions: list[Action] = []
    for node in nodes:
        actions += _owner_actions(node, dependents)
        if not node.is_deleting and node.owners:
            actions += _dependent_actions(node, by_uid, dependents)
    return tuple(actions)


def _owner_actions(node: Node, dependents: Mapping[str, Sequence[Node]]) -> list[Action]:
    if not node.is_deleting:
        return []
    mine = dependents.get(node.uid, ())
    if ORPHAN in node.finalizers:
        if mine:
            return [RemoveOwner(node=each, owner_uid=node.uid) for each in mine]
        return [RemoveFinalizer(node=node, finalizer=ORPHAN)]
    if FOREGROUND in node.finalizers and not any(_blocks(each, node.uid) for each in mine):
        return [RemoveFinalizer(node=node, finalizer=FOREGROUND)]
    return []


def _dependent_actions(
    node: Node, by_uid: Mapping[str, Node], dependents: Mapping[str, Sequence[Node]]
) -> list[Action]:
    owners = [by_uid.get(owner.uid) for owner in node.owners]
    present = [owner for owner in owners if owner is not None]
    waiting = [owner for owner in present if owner.is_deleting and FOREGROUND in owner.finalizers]
    solid = [owner for owner in present if owner not in waiting]
    has_blockers = any(_blocks(each, node.uid) for each in dependents.get(node.uid, ()))
    if solid:
        return []
    if waiting:
        return [Delete(node=node, is_foreground=has_blockers)]
    return [Delete(node=node, is_foreground=False, is_orphaned=True)]


def _blocks(node: Node, owner_uid: str) -> bool:
    return any(owner.uid == owner_uid and owner.blocks for owner in node.owners)
