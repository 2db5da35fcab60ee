"""What the garbage collector does, given every object's identity. Pure.

Two steps, because stores may lag behind and a deletion cannot be taken back: ``candidates_of`` says by the stores what
seems to be due, ``plan_collection`` what is, by what the server said when asked about each (``Facts``).

Source: Kubernetes v1.36 pkg/controller/garbagecollector, attemptToDeleteItem and processDeletingDependentsItem. An
owner is *solid* (there), *waiting* (in foreground deletion) or *dangling* (gone). A solid owner keeps a dependent,
which loses its other references. Without one it is deleted: in the foreground when a waiting owner is to see the
dependent's own dependents gone first, else by its own finalizers, else in the background. An owner waits until nothing
that blocks it is left; one that orphans, until nothing refers to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import ResourceType
from rayfleet.objects.owners import owner_entries
from rayfleet.objects.parts import part
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.writes import Action, Delete, Merge, ref_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
RETRY = timedelta(seconds=1)


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
class Collect:
    """Delete an object that no owner keeps."""

    node: Node
    propagation: Propagation


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Take a finalizer off an object that has nothing left to wait for."""

    node: Node
    finalizer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropOwners:
    """Take references off a dependent that lives on; ``dangling`` are those of them whose owners seem to be gone."""

    node: Node
    uids: frozenset[str]
    dangling: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblock:
    """Let an object's owners no longer wait for it: it is part of a circle."""

    node: Node


Candidate = Collect | Release | DropOwners | Unblock


def candidates_of(nodes: Sequence[Node]) -> tuple[Candidate, ...]:
    """Return what seems to be the thing to do, by stores that may lag behind."""
    by_uid = {node.uid: node for node in nodes}
    dependents: dict[str, list[Node]] = {}
    for node in nodes:
        for owner in node.owners:
            dependents.setdefault(owner.uid, []).append(node)
    candidates: list[Candidate] = []
    for node in nodes:
        if node.is_deleting:
            candidates += _deleting_candidates(node, dependents.get(node.uid, ()))
        elif node.owners:
            candidates += _dependent_candidates(node, by_uid, dependents.get(node.uid, ()))
    return tuple(candidates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the server says about one candidate.

    ``current`` is the object as it is now; ``owners`` has, by UID, those of its owners that are there; ``neighbours``
    is everything that could refer to it, for a Release.
    """

    candidate: Candidate
    current: ReadOnlyJson
    now: Node
    owners: Mapping[str, Node] = field(default_factory=dict)
    neighbours: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedGarbage:
    """All candidates of one look; ``is_incomplete``: the server did not answer about some."""

    facts: tuple[Facts, ...] = ()
    is_incomplete: bool = False


def plan_collection(observed: ObservedGarbage, _now: datetime) -> StatelessPlan:
    """Return the writes that the server's own word supports."""
    writes = (_write(facts) for facts in observed.facts if facts.now.uid == facts.candidate.node.uid)
    return StatelessPlan(
        actions=tuple(write for write in writes if write is not None),
        status=None,
        requeue_after=RETRY if observed.is_incomplete else None,
        is_ordered=False,
    )


def asks_about(candidate: Candidate, now: Node) -> tuple[OwnerRef, ...]:
    """Return the owners of a candidate that its write depends on."""
    match candidate:
        case Collect():
            return now.owners
        case DropOwners(dangling=dangling):
            return tuple(owner for owner in now.owners if owner.uid in dangling)
        case _:
            return ()


def _write(facts: Facts) -> Action | None:
    match facts.candidate:
        case Collect(node=node, propagation=propagation):
            if not _is_kept_by_nobody(facts):
                return None
            ref = ref_of(facts.current, at_this_version=True)  # it may be adopted while the others are asked about
            return Delete(resource=node.resource, ref=ref, propagation=propagation)
        case Release(node=node, finalizer=finalizer):
            waits_for = blocks if finalizer == FOREGROUND else refers_to
            if any(waits_for(each, node.uid) for each in facts.neighbours):
                return None
            return _edited(facts, "finalizers", [name for name in facts.now.finalizers if name != finalizer])
        case DropOwners(uids=uids, dangling=dangling):
            lost = {uid for uid in uids if uid not in dangling or uid not in facts.owners}
            references = owner_entries(facts.current)
            return _edited(facts, "ownerReferences", [entry for entry in references if entry.get("uid") not in lost])
        case Unblock():
            references = [{**entry, "blockOwnerDeletion": False} for entry in owner_entries(facts.current)]
            return _edited(facts, "ownerReferences", references)


def _is_kept_by_nobody(facts: Facts) -> bool:
    """Whether the object has owners and none of them is there without waiting for it to go.

    A kind that is unknown here is not ours to judge.
    """
    owners = facts.now.owners
    if not owners or any(owner.resource is None for owner in owners):
        return False
    return all(owner.uid not in facts.owners or facts.owners[owner.uid].is_waiting for owner in owners)


def _edited(facts: Facts, field_name: str, entries: Sequence[object]) -> Action | None:
    """Return the write of a list in metadata, guarded by UID and version; None when it says what it said."""
    if list(entries) == (part(facts.current, "metadata").get(field_name) or []):
        return None
    ref = ref_of(facts.current, at_this_version=True)
    return Merge(resource=facts.candidate.node.resource, ref=ref, patch={"metadata": {field_name: list(entries)}})


def blocks(node: Node, owner_uid: str) -> bool:
    """Whether an object is a dependent that its owner's foreground deletion waits for."""
    return any(owner.uid == owner_uid and owner.blocks for owner in node.owners)


def refers_to(node: Node, owner_uid: str) -> bool:
    """Whether an object is a dependent."""
    return any(owner.uid == owner_uid for owner in node.owners)


def _deleting_candidates(node: Node, mine: Sequence[Node]) -> list[Candidate]:
    if ORPHAN in node.finalizers:
        if not mine:
            return [Release(node=node, finalizer=ORPHAN)]
        return [DropOwners(node=each, uids=frozenset({node.uid})) for each in mine]
    if node.is_waiting and not any(blocks(each, node.uid) for each in mine):
        return [Release(node=node, finalizer=FOREGROUND)]
    return []


def _dependent_candidates(node: Node, by_uid: Mapping[str, Node], mine: Sequence[Node]) -> list[Candidate]:
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
        candidates: list[Candidate] = [Collect(node=node, propagation=Propagation.FOREGROUND)]
        is_circle = any(each.is_waiting for each in mine) and any(owner.blocks for owner in node.owners)
        return [Unblock(node=node), *candidates] if is_circle else candidates
    return [Collect(node=node, propagation=_own_policy(node))]


def _owner(node: Node, reference: OwnerRef, by_uid: Mapping[str, Node]) -> Node | None:
    """Return the owner if it is what the reference says: an owner in another namespace is none."""
    owner = by_uid.get(reference.uid)
    if owner is None or owner.resource != reference.resource or owner.key.name != reference.name:
        return None
    return owner if owner.key.namespace in {"", node.key.namespace} else None


def _own_policy(node: Node) -> Propagation:
    if ORPHAN in node.finalizers:
        return Propagation.ORPHAN
    return Propagation.FOREGROUND if FOREGROUND in node.finalizers else Propagation.BACKGROUND
