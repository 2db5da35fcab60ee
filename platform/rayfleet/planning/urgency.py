"""Which changes of a status cannot wait a moment. Pure.

While a fleet rolls, its counts change with each Ray cluster, and each status written is a request, an etcd revision and
an event for all who watch. So counts, words and times may wait until some changes have come together. What others act
on may not: a condition that turns, appears or goes, the end of a rollout, a replica in trouble that was not known to be
(recovery counts its grace from then) or that came back (its next trouble has a grace of its own, and is told by the
lives of its pods that were ready last), and whatever a later pass is decided on (collisions, rebuilds, incarnations). A
first status has nobody who waits for it yet.
"""

from collections.abc import Mapping

from rayfleet.manifest.replica_states import WrittenState, written_states
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.replica import ReplicaPhase
from rayfleet.objects.conditions import decode_conditions
from rayfleet.planning.replica.summary import is_in_trouble

_CONDITIONS = "conditions"
_GENERATION = "observedGeneration"
_STATES = "replicaStates"
_LOST = frozenset({ReplicaPhase.BROKEN, ReplicaPhase.FAILED})
_ENDS = frozenset({"NewReplicaSetAvailable"})
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
    if _has_new_trouble(before, after) or _has_come_back(before, after):
        return True
    if before.get(_GENERATION, 0) <= 0:  # none has been written: a new fleet begins with -1 (manifest/crds.py)
        return _has_problem(after)
    names = (before.keys() | after.keys()) - _PATIENT - {_CONDITIONS}
    if any(before.get(name) != after.get(name) for name in names):
        return True
    return _turns(before) != _turns(after)


def _turns(status: ReadOnlyJson) -> Mapping[str, tuple[ConditionStatus, str]]:
    """Return what counts of each condition: its status, and its reason where that is an end."""
    return {
        condition.type: (condition.status, condition.reason if condition.reason in _ENDS else "")
        for condition in decode_conditions(status.get(_CONDITIONS))
    }


def _has_new_trouble(before: ReadOnlyJson, after: ReadOnlyJson) -> bool:
    """Whether one is in trouble, or in another one; its further words may change as they like."""
    known = {state[:3] for state in written_states(before.get(_STATES)) if _is_in_trouble(state)}
    return any(_is_in_trouble(state) and state[:3] not in known for state in written_states(after.get(_STATES)))


def _has_come_back(before: ReadOnlyJson, after: ReadOnlyJson) -> bool:
    """Whether one that had been ready and lost something, or other lives of its pods, is ready and well."""
    known = {state.uid: state for state in written_states(before.get(_STATES))}
    return any(
        state.phase == ReplicaPhase.READY
        and not _is_in_trouble(state)
        and state.uid in known
        and _is_other_than(known[state.uid], state)
        for state in written_states(after.get(_STATES))
    )


def _is_other_than(before: WrittenState, well: WrittenState) -> bool:
    was_ready = bool(before.incarnation) or before.phase in _LOST
    return was_ready and (_is_in_trouble(before) or before.incarnation != well.incarnation)


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
