"""What a replica set's status says: counts, where each replica stands, rebuilds, the condition ReplicaFailure. Pure.

No number in it changes by itself, so it is written when something happens and not because time passes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.events import EventType
from rayfleet.model.fleet import ReplicaSetStatus
from rayfleet.model.replica import FORMING_TIMED_OUT, NODE_LOST, Rebuild, ReplicaPhase, ReplicaState
from rayfleet.objects.conditions import (
    Conditions,
    find_condition,
    new_condition,
    observed_at,
    with_condition,
    without_condition,
)
from rayfleet.objects.labels import RESUME_ANNOTATION
from rayfleet.objects.pods import incarnation_text, is_ready
from rayfleet.planning.availability import Availability, availability_of
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.replica.kuberays_age import with_kuberays_age
from rayfleet.planning.replica.obstacles import Calm, is_trouble
from rayfleet.planning.replica.state import replica_state
from rayfleet.planning.replica.words import with_words
from rayfleet.planning.replica_set.books import Books
from rayfleet.planning.replica_set.lives import Loss, loss_since
from rayfleet.planning.replica_set.places import highest_number, last_number
from rayfleet.planning.replica_set.recovery import NOT_READY, Verdict, counted_rebuilds, is_resumed
from rayfleet.planning.replica_set.replicas import Replica
from rayfleet.planning.writes import Event, Verb, WriteFailure, permission_of

REPLICA_FAILURE = "ReplicaFailure"
_FAILURES: Mapping[Verb, str] = {
    Verb.CREATE: "FailedCreate",
    Verb.PATCH: "FailedUpdate",
    Verb.UPDATE: "FailedUpdate",
    Verb.DELETE: "FailedDelete",
}
"""As ReplicaSet's, which updates none of its pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a status is made of. ``draining`` are UIDs of those out of their Service (also by this very plan).

    ``created_number`` is the highest number of what this plan makes, 0 for nothing.
    """

    observed: ObservedReplicaSet
    books: Books
    draining: frozenset[str]
    created_number: int
    now: datetime


def served_since(observed: ObservedReplicaSet, books: Books, draining: frozenset[str], now: datetime) -> Availability:
    """Return who is ready and who is available: one that is drained, or that recovery gave up on, is not."""
    spec, status = observed.replica_set.spec, observed.replica_set.status
    min_ready = timedelta(seconds=spec.min_ready_seconds)
    clusters = [replica.cluster for replica in books.active]
    availability = availability_of(clusters, status.ready_since, min_ready, now, observed.reachable)
    failed = {uid for uid, verdict in books.verdicts.items() if verdict.phase is ReplicaPhase.FAILED}
    return replace(availability, available=availability.available - draining - failed)


def status_of(standing: Standing, availability: Availability) -> ReplicaSetStatus:
    """Return the status."""
    replica_set, books = standing.observed.replica_set, standing.books
    labels = replica_set.spec.template.labels.items()
    known = max(last_number(replica_set.status), highest_number(standing.observed))
    return ReplicaSetStatus(
        observed_generation=replica_set.meta.generation,
        replicas=len(books.active),
        fully_labeled_replicas=sum(labels <= each.cluster.meta.labels.items() for each in books.active),
        ready_replicas=len(availability.since),
        available_replicas=len(availability.available),
        terminating_replicas=len(books.terminating),
        ready_since=availability.since,
        conditions=observed_at(_conditions(standing), replica_set.meta.generation),
        replica_states=tuple(_states(standing)),
        rebuilds=tuple(_rebuilds(standing)),
        incarnations=max(known, standing.created_number),
        resumed=replica_set.meta.annotations.get(RESUME_ANNOTATION, replica_set.status.resumed),
    )


def news_of(standing: Standing, status: ReplicaSetStatus) -> Iterator[Event]:
    """Yield what happened that no write tells: a refusal, once, and a replica that recovery gives up on."""
    observed = standing.observed
    failure = observed.failure
    earlier = find_condition(observed.replica_set.status.conditions, REPLICA_FAILURE)
    if failure is not None and (earlier is None or earlier.message != failure.message):
        yield Event(type=EventType.WARNING, reason=_failure_reason(failure), message=failure.message)
    before = {replica.uid: replica.phase_before for replica in standing.books.active}
    for state in status.replica_states:
        if state.phase is ReplicaPhase.FAILED and before.get(state.uid) is not ReplicaPhase.FAILED:
            message = f"RayCluster {state.name}: {state.message}"
            yield Event(type=EventType.WARNING, reason="RecoveryFailed", message=message)


def _rebuilds(standing: Standing) -> Iterator[Rebuild]:
    """Yield the rebuilds that still count or still go on, and the new ones; others leave with the next that is added.

    One is open until another is ready in its place, or all that should be there are in others; the next of its place
    takes that over. Who gives another budget takes all that count away.
    """
    replica_set, books = standing.observed.replica_set, standing.books
    counted = counted_rebuilds(replica_set, standing.now)
    newly_broken, is_resume = books.newly_broken, is_resumed(replica_set)
    is_pruned = bool(newly_broken) or is_resume
    still_open = {each.index for each in replica_set.status.rebuilds if each.is_open and not _is_over(each, books)}
    taken_over = {replica.place for replica in newly_broken}
    for rebuild in replica_set.status.rebuilds:
        is_open = rebuild.is_open and rebuild.index in still_open - taken_over
        goes_on = rebuild.name in books.given_up or (is_open and not is_resume)
        if not is_pruned or rebuild in counted or goes_on:
            yield replace(rebuild, is_open=is_open)
    for replica in newly_broken:
        verdict = books.verdicts[replica.uid]
        yield Rebuild(
            index=replica.place,
            name=replica.name,
            time=standing.now,
            reason=verdict.reason,
            message=verdict.message,
            is_open=replica.was_ready or replica.place in still_open,
        )


def _is_over(rebuild: Rebuild, books: Books) -> bool:
    """Whether what is ready fills the place of a rebuild, or nothing is to come into it."""
    stay = [each for each in books.active if each.name not in books.given_up]
    there = {replica.place for replica in (*books.active, *books.held)}
    has_all = len(books.counted) + len(books.held) >= books.replica_set.spec.replicas
    is_filled = any(each.place == rebuild.index and each.cluster.is_ready for each in stay)
    return is_filled or (has_all and rebuild.index not in there)


def _states(standing: Standing) -> Iterator[ReplicaState]:
    """Yield where each stands, by place, then by name."""
    missing = standing.observed.pods_absence
    absence = missing.message if missing is not None else ""
    for replica in sorted(_all(standing.books), key=lambda replica: (replica.place, replica.name)):
        state = replica_state(replica.cluster, replica.pods, replica.before, standing.now, absence)
        state = with_kuberays_age(state, replica.cluster, standing.observed.replica_set.spec.template.spec)
        yield with_words(_with_recovery(state, replica, standing), replica.words, replica.before)


def _all(books: Books) -> tuple[Replica, ...]:
    return (*books.active, *books.terminating)


def _with_recovery(state: ReplicaState, replica: Replica, standing: Standing) -> ReplicaState:
    """Return the state with what recovery and drain know of it; its life is noted for them."""
    verdict = standing.books.verdicts.get(replica.uid)
    state = replace(state, incarnation=_noted_life(replica, verdict))
    if replica in standing.books.lost:
        return replace(state, reason=NODE_LOST, message="its pods hang on nodes that are gone: it keeps no place")
    if verdict is not None and verdict.phase is ReplicaPhase.FAILED:
        return _as_said(state, replica, ReplicaPhase.FAILED, verdict)
    if replica.cluster.is_ready:
        state = _in_service(state, replica, standing)
    if verdict is None:
        return state
    if replica.cluster.is_ready:  # in its Service or out of it: its time is counted from what is noted here
        return replace(state, reason=verdict.reason, message=verdict.message, since=verdict.since)
    return _as_said(state, replica, ReplicaPhase.BROKEN, verdict)


def _as_said(state: ReplicaState, replica: Replica, phase: ReplicaPhase, verdict: Verdict) -> ReplicaState:
    """Return the state in the phase that recovery says; words that were said of it stay while the phase does.

    What blocks a broken one is told by its pods, where they do; else recovery's rule is.
    """
    before = replica.before if replica.phase_before is phase else None
    if before is not None and phase is ReplicaPhase.FAILED:
        return replace(before, incarnation=state.incarnation, stages=state.stages)
    since = before.since if before is not None else verdict.since
    pods_tell = verdict.reason == NOT_READY or (verdict.reason != FORMING_TIMED_OUT and is_trouble(state.reason))
    if phase is ReplicaPhase.BROKEN and pods_tell:
        return replace(state, phase=phase, since=since)
    as_ruled = replace(state, reason=verdict.reason, message=verdict.message, pod="", container="")
    return replace(as_ruled, phase=phase, since=since)


def _in_service(state: ReplicaState, replica: Replica, standing: Standing) -> ReplicaState:
    """Return the state of a ready one as it is when the plan is carried out: in its Service, or out of it."""
    phase = ReplicaPhase.DRAINING if replica.uid in standing.draining else ReplicaPhase.READY
    if state.phase is phase:
        return state
    since = replica.before.since if replica.before is not None and replica.phase_before is phase else standing.now
    return replace(state, phase=phase, reason=Calm.DRAINING if phase is ReplicaPhase.DRAINING else "", since=since)


def _noted_life(replica: Replica, verdict: Verdict | None) -> str:
    """Return the life that is noted from now on: the present one, of a well one that lost something or has none yet."""
    noted = replica.noted_life
    if replica.cluster.is_suspended and not replica.cluster.is_terminating:
        return ""
    is_well = replica.cluster.is_ready and verdict is None
    if not is_well or not _is_seen_whole(replica):
        return noted
    return incarnation_text(replica.pods) if not noted or loss_since(noted, replica.pods) is not Loss.NOTHING else noted


def _is_seen_whole(replica: Replica) -> bool:
    """Whether the pods that are seen are those that KubeRay calls ready: stores of two kinds may be apart."""
    head = replica.head
    return head is not None and is_ready(head) and len(replica.workers) >= replica.cluster.expected_workers


def _conditions(standing: Standing) -> Conditions:
    conditions, failure = standing.observed.replica_set.status.conditions, standing.observed.failure
    broken = next((each.cluster for each in standing.books.active if each.cluster.failure), None)
    if failure is not None:
        reason, message = _failure_reason(failure), failure.message
    elif broken is not None:
        reason, message = "RayClusterFailure", f"RayCluster {broken.meta.name}: {broken.failure}"
    else:
        return without_condition(conditions, REPLICA_FAILURE)
    condition = new_condition(REPLICA_FAILURE, ConditionStatus.TRUE, reason, message, standing.now)
    return with_condition(conditions, condition)


def _failure_reason(failure: WriteFailure) -> str:
    return _FAILURES[permission_of(failure.action).verb]
