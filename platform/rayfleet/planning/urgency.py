"""Which changes of a status cannot wait a moment. Pure.

While a fleet rolls, its counts change with each Ray cluster, and each status written is a request, an etcd revision and
an event for all who watch. So counts, words and times may wait until some changes have come together. What others act
on may not: a condition that turns, appears or goes, the end of a rollout, a replica in trouble that was not known to be
(recovery counts its grace from then), and whatever a later pass is decided on (collisions, rebuilds, incarnations). A
first status has nobody who waits for it yet.
"""

from collections.abc import Mapping

from rayfleet.manifest.replica_states import written_reasons
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import decode_conditions
from rayfleet.planning.replica.summary import is_in_trouble

_CONDITIONS = "conditions"
_GENERATION = "observedGeneration"
_STATES = "replicaStates"
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
    if _has_new_trouble(before, after):
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
    return bool(_troubles(after) - _troubles(before))


def _troubles(status: ReadOnlyJson) -> set[tuple[str, str, str]]:
    """Return who is in which trouble; its further words may change as they like."""
    return {
        (uid, phase, reason)
        for uid, phase, reason in written_reasons(status.get(_STATES))
        if is_in_trouble(phase, reason)
    }


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
