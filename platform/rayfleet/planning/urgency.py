"""Which changes of a status cannot wait a moment. Pure.

While a fleet rolls, its counts change with each Ray cluster, and each status written is a request, an etcd revision and
an event for all who watch. So counts, words and times may wait until some changes have come together. What others act
on may not: a condition that turns, appears or goes, the begin of a warm-up and its end, the end of a rollout; a replica
that gets into trouble or out of it, is suspended, or has other lives than those that were ready (recovery counts a
grace, and a surge without room is withdrawn, from what is noted); and whatever else a later pass is decided on
(collisions, rebuilds, incarnations). A first status has nobody who waits for it yet.
"""

from collections.abc import Iterator, Mapping

from rayfleet.manifest.replica_states import WrittenState, written_states
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.replica import ReplicaPhase
from rayfleet.objects.conditions import decode_conditions
from rayfleet.planning.replica.obstacles import Calm
from rayfleet.planning.replica.summary import is_in_trouble

_CONDITIONS = "conditions"
_GENERATION = "observedGeneration"
_STATES = "replicaStates"
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
    if any(_is_turn(*pair) for pair in _pairs(before, after)):
        return True
    if before.get(_GENERATION, 0) <= 0:  # none has been written: a new fleet begins with -1 (manifest/crds.py)
        return _has_problem(after)
    names = (before.keys() | after.keys()) - _PATIENT - {_CONDITIONS}
    if any(before.get(name) != after.get(name) for name in names):
        return True
    return _turns(before) != _turns(after)


def _turns(status: ReadOnlyJson) -> Mapping[str, tuple[ConditionStatus, str]]:
    """Return what counts of each condition: its status, and its reason where that is one to be told at once."""
    return {
        condition.type: (condition.status, condition.reason if condition.reason in _TOLD_AT_ONCE else "")
        for condition in decode_conditions(status.get(_CONDITIONS))
    }


def _pairs(before: ReadOnlyJson, after: ReadOnlyJson) -> Iterator[tuple[WrittenState | None, WrittenState]]:
    """Yield what was noted of each replica, None for a new one, with what is to be."""
    known = {state.uid: state for state in written_states(before.get(_STATES))}
    return ((known.get(state.uid), state) for state in written_states(after.get(_STATES)))


def _is_turn(before: WrittenState | None, after: WrittenState) -> bool:
    """Whether one gets into trouble, into another one, or out of it and stays; is suspended; or has other lives.

    The further words of a trouble may change as they like.
    """
    if _is_in_trouble(after):
        return before is None or _what(before) != _what(after)
    if before is None or after.phase == ReplicaPhase.TERMINATING:
        return False
    is_suspended = after.reason == Calm.SUSPENDED != before.reason
    has_other_lives = bool(before.incarnation) and before.incarnation != after.incarnation
    return _is_in_trouble(before) or is_suspended or has_other_lives


def _what(state: WrittenState) -> tuple[str, str]:
    return state.phase, state.reason


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
