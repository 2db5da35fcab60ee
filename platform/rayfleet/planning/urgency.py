"""Which changes of a status cannot wait a moment. Pure.

While a fleet rolls, its counts change with each Ray cluster, and each status written is a request, an etcd revision and
an event for all who watch. So counts, words and times may wait until some changes have come together. What others act
on may not: a condition that turns, appears or goes, the beginning of a warm-up and its end, the end of a rollout, a
replica in trouble that was not known to be, and whatever a later pass is decided on: collisions, rebuilds and
incarnations, and of the states in a replica set's status what ``is_decided_on`` tells: recovery counts a grace, and a
surge without room is withdrawn, from what is noted there. A first status has nobody who waits for it yet; of its
incarnations the next plan knows all the same (``ObservedReplicaSet.number``).
"""

from collections.abc import Container, Mapping

from rayfleet.manifest.replica_states import WrittenState, written_states
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.replica import ReplicaPhase
from rayfleet.objects.conditions import decode_conditions
from rayfleet.planning.replica.obstacles import NO_ROOM, Calm
from rayfleet.planning.replica.summary import is_in_trouble

_CONDITIONS = "conditions"
_GENERATION = "observedGeneration"
_STATES = "replicaStates"
_LOST = frozenset({ReplicaPhase.BROKEN, ReplicaPhase.FAILED})
_ANSWERING = frozenset({ReplicaPhase.READY, ReplicaPhase.DRAINING})
_TOLD_AT_ONCE = frozenset({"NewReplicaSetAvailable", "WarmingUp"})
# Everything else is urgent, so that a new field is until somebody says otherwise.
_PATIENT = frozenset(
    {
        _GENERATION,
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "fullyLabeledReplicas",
        "readySince",
        _STATES,
        "revision",
        "phase",
        "ready",
        "model",
        "scalingTargetSelector",
    }
)


def is_urgent(before: ReadOnlyJson, after: ReadOnlyJson) -> bool:
    """Whether a status must be written now; ``before`` is the stored one."""
    if _has_new_trouble(before, after):
        return True
    if before.get(_GENERATION, 0) <= 0:  # none has been written: a new fleet begins with -1 (manifest/crds.py)
        return _has_problem(after)
    names = (before.keys() | after.keys()) - _PATIENT - {_CONDITIONS}
    if any(before.get(name) != after.get(name) for name in names):
        return True
    return _turns(before) != _turns(after)


def is_decided_on(before: ReadOnlyJson, after: ReadOnlyJson, leaving: Container[str]) -> bool:
    """Whether a later pass comes out otherwise by what a replica set's status would say anew of a replica that stays.

    That is: it came back, has room, is suspended, has other lives than those that were ready, or is out of its Service
    or back in it. ``leaving`` are the UIDs of those that are to go.
    """
    known = {state.uid: state for state in written_states(before.get(_STATES))}
    pairs = ((known[state.uid], state) for state in written_states(after.get(_STATES)) if state.uid in known)
    return any(
        _is_over(earlier, state)
        or state.reason == Calm.SUSPENDED != earlier.reason
        or (earlier.incarnation and earlier.incarnation != state.incarnation)
        or (state.uid not in leaving and {earlier.phase, state.phase} == _ANSWERING)
        for earlier, state in pairs
        if state.phase != ReplicaPhase.TERMINATING
    )


def _turns(status: ReadOnlyJson) -> Mapping[str, tuple[ConditionStatus, str]]:
    """Return what counts of each condition: its status, and its reason where that is one to be told at once."""
    return {
        condition.type: (condition.status, condition.reason if condition.reason in _TOLD_AT_ONCE else "")
        for condition in decode_conditions(status.get(_CONDITIONS))
    }


def _has_new_trouble(before: ReadOnlyJson, after: ReadOnlyJson) -> bool:
    """Whether one is in trouble, or in another one; its further words may change as they like."""
    known = {state[:3] for state in written_states(before.get(_STATES)) if _is_in_trouble(state)}
    return any(_is_in_trouble(state) and state[:3] not in known for state in written_states(after.get(_STATES)))


def _is_over(before: WrittenState, after: WrittenState) -> bool:
    """Whether the trouble is over of one that had been ready, or had no room."""
    counts = before.phase in _LOST | _ANSWERING or before.reason == NO_ROOM
    return counts and _is_in_trouble(before) and not _is_in_trouble(after)


def _is_in_trouble(state: WrittenState) -> bool:
    return is_in_trouble(state.phase, state.reason)


def _has_problem(status: ReadOnlyJson) -> bool:
    """Whether a first status says more than that the work began: a refusal, an invalid manifest."""
    conditions = decode_conditions(status.get(_CONDITIONS))
    return any((condition.type, condition.status) in _PROBLEMS for condition in conditions)


_PROBLEMS = frozenset(
    {
        ("Invalid", ConditionStatus.TRUE),
        ("ReplicaFailure", ConditionStatus.TRUE),
        ("Progressing", ConditionStatus.FALSE),
        ("Routed", ConditionStatus.FALSE),
    }
)
