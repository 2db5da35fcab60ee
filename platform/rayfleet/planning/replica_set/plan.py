"""Keep a replica set at its size: make what is missing, drain and delete the surplus, rebuild what is broken. Pure.

As the ReplicaSet controller of Kubernetes, with what a Ray cluster needs beyond a pod: one on its way out keeps its
place until it is gone when it asks for accelerators; a broken one is rebuilt (``recovery``); one that is to go finishes
its requests first (``drain``). The spec of a Ray cluster is never changed: it is taken or let go (its owner), made and
deleted; of its pods only the head's place in the Service is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from rayfleet.manifest.replica_set import encode_replica_set_status
from rayfleet.model.events import EventType
from rayfleet.model.fleet import ReplicaSet, ReplicaSetStatus
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.meta import uid_of
from rayfleet.planning.claims import Claimant, claim_writes
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica_set.books import Books, books_of
from rayfleet.planning.replica_set.clock import status_until
from rayfleet.planning.replica_set.drain import Leave, leave, stay
from rayfleet.planning.replica_set.places import (
    NewRayCluster,
    are_numbers_noted,
    manifest_of,
    new_ray_clusters,
    with_number,
)
from rayfleet.planning.replica_set.replicas import Replica
from rayfleet.planning.replica_set.status import Standing, news_of, served_since, status_of
from rayfleet.planning.urgency import is_decided_on, is_urgent
from rayfleet.planning.writes import (
    NAME_MARK,
    Action,
    Delete,
    Event,
    Merge,
    Verb,
    in_batches,
    permissions,
    ref_to,
    status_permission,
    status_replaced,
)

WRITES = (
    permissions(RAY_CLUSTERS, Verb.CREATE, Verb.PATCH, Verb.DELETE)
    | permissions(PODS, Verb.PATCH)
    | {status_permission(REPLICA_SETS)}
)
"""All that a plan for a replica set may write; Roles and tests read it."""
_CREATED = Event(reason="SuccessfulCreate", message=f"Created RayCluster {NAME_MARK}")
_DELETED = Event(reason="SuccessfulDelete", message=f"Deleted RayCluster {NAME_MARK}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """What is done now. ``leaves`` says of each that is to go how far it is, ``moves`` who changes its Service.

    ``over`` are those that are deleted. With ``is_status_first`` nobody is made or goes: numbers are noted before.
    """

    new: tuple[NewRayCluster, ...] = ()
    leaves: tuple[tuple[Replica, Leave], ...] = ()
    moves: tuple[Merge, ...] = ()
    over: tuple[Replica, ...] = ()
    is_status_first: bool = False


def plan_replica_set(observed: ObservedReplicaSet, now: datetime) -> ReplicaSetPlan:
    """Return what to do now for one replica set; one that is being deleted gets its status alone.

    When Ray clusters change hands, that is all: what follows is decided on what is then its own. A rebuild is noted in
    the status first, and begins in the pass that sees the note; so is the number of whoever is deleted or let go.
    """
    replica_set, is_noted = observed.replica_set, are_numbers_noted(observed)
    if observed.claims and observed.failure is None and is_noted:
        writes = claim_writes(replica_set_claimant(replica_set), observed.claims, RAY_CLUSTERS)
        return ReplicaSetPlan(actions=tuple(writes), status=replica_set.status)
    noted = replica_set.status
    replica_set = with_number(replace(replica_set, status=status_until(noted, now)), observed.number)
    observed = replace(observed, replica_set=replica_set)
    books = books_of(observed, now)
    steps = _steps(observed, books, now, is_noted=is_noted) if _may_act(observed, books) else _Steps()
    draining = frozenset(_draining(books, steps))
    number = max((new.number for new in steps.new), default=0)
    standing = Standing(observed=observed, books=books, draining=draining, created_number=number, now=now)
    availability = served_since(observed, books, draining, now)
    status = status_of(standing, availability)
    waits = [*books.look_again(now), *(each.look_again for _, each in steps.leaves), availability.next_change]
    return ReplicaSetPlan(
        actions=(*_actions(replica_set, steps, books), *_status_write(replica_set, noted, status, steps)),
        status=status,
        events=tuple(news_of(standing, status)),
        requeue_after=min((each for each in waits if each is not None), default=None),
    )


def replica_set_claimant(replica_set: ReplicaSet) -> Claimant:
    """Return the replica set as a claimant of Ray clusters."""
    return Claimant(resource=REPLICA_SETS, meta=replica_set.meta, selector=replica_set.spec.selector)


def _may_act(observed: ObservedReplicaSet, books: Books) -> bool:
    return observed.replica_set.meta.deleted_at is None and observed.failure is None and not books.newly_broken


def _steps(observed: ObservedReplicaSet, books: Books, now: datetime, *, is_noted: bool) -> _Steps:
    if observed.claims:
        return _Steps(is_status_first=True)
    replica_set, going = observed.replica_set, books.leaving
    names = observed.taken_names | {cluster.meta.name for cluster in observed.ray_clusters}
    staying = (replica for replica in books.active if replica not in going)
    moves = (stay(each, replica_set, now, is_well=_is_well(each, books)) for each in staying)
    leaves = tuple((replica, leave(replica, replica_set, now)) for replica in going)
    over = tuple(replica for replica, each in leaves if each.is_over)
    steps = _Steps(leaves=leaves, moves=tuple(move for move in moves if move is not None))
    if over and not is_noted:
        return replace(steps, is_status_first=True)
    return replace(steps, over=over, new=tuple(new_ray_clusters(replica_set, books.missing, names)))


def _is_well(replica: Replica, books: Books) -> bool:
    return replica.cluster.is_ready and replica.uid not in books.verdicts


def _actions(replica_set: ReplicaSet, steps: _Steps, books: Books) -> Iterator[Action]:
    """Yield the writes: out of Services and back first, then what goes, then what comes."""
    yield from steps.moves
    yield from (each.write for _, each in steps.leaves if each.write is not None)
    for replica in steps.over:
        yield _deletion(replica, replica_set, books)
    yield from in_batches(RAY_CLUSTERS, [manifest_of(new, replica_set) for new in steps.new], _CREATED)


def _deletion(replica: Replica, replica_set: ReplicaSet, books: Books) -> Delete:
    """Return the deletion, in the foreground: the object stays in the books until its pods are gone."""
    event = _DELETED
    if replica.name in books.given_up:
        note = next(each for each in replica_set.status.rebuilds if each.name == replica.name)
        spent = sum(each.index == note.index for each in replica_set.status.rebuilds)
        words = f"Deleted RayCluster {NAME_MARK} to rebuild it ({spent} of {replica_set.spec.recovery.max_rebuilds})"
        event = Event(type=EventType.WARNING, reason="Rebuilding", message=f"{words}: {note.message}")
    ref = ref_to(replica.cluster.meta)
    return Delete(resource=RAY_CLUSTERS, ref=ref, propagation=Propagation.FOREGROUND, event=event)


def _draining(books: Books, steps: _Steps) -> Iterator[str]:
    """Yield the UIDs of those that are out of their Service when this plan is carried out."""
    moved = {move.ref.uid for move in steps.moves}
    for replica in books.active:
        was_out = replica.withdrawn_since is not None
        is_moved = replica.head is not None and uid_of(replica.head) in moved
        if was_out is not is_moved:
            yield replica.uid
    yield from (replica.uid for replica, each in steps.leaves if each.write is not None)


def _status_write(
    replica_set: ReplicaSet, noted: ReplicaSetStatus, status: ReplicaSetStatus, steps: _Steps
) -> Iterator[Action]:
    if noted == status:
        return
    stored, encoded = encode_replica_set_status(noted), encode_replica_set_status(status)
    if encoded != stored:
        begins = replica_set.spec.min_ready_seconds > 0 and noted.ready_since.keys() != status.ready_since.keys()
        leaving = {replica.uid for replica, _ in steps.leaves}
        is_urgent_now = is_urgent(stored, encoded) or is_decided_on(stored, encoded, leaving)
        may_wait = not (begins or is_urgent_now or steps.is_status_first)  # minReadySeconds count from what is written
        yield status_replaced(REPLICA_SETS, ref_to(replica_set.meta), encoded, may_wait=may_wait)
