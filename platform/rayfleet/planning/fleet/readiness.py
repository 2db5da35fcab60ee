"""The conditions of a fleet that tools wait for: Ready and Stalled (kstatus). Pure.

``helm --wait``, Flux and Argo take an object without a Ready condition for done; ours is True only when every desired
replica is of the present template and available, and can be reached. Stalled ends such a wait as failed: it is there
while the progress deadline is exceeded, as kstatus reads a Deployment's, or the spec is refused; what is tried again by
itself is none.
Source: sigs.k8s.io/cli-utils ``pkg/kstatus/status/generic.go``.
"""

from datetime import datetime

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.fleet import FleetStatus
from rayfleet.objects.conditions import Conditions, find_condition, new_condition, with_condition, without_condition
from rayfleet.planning.fleet.conditions import (
    DEADLINE_EXCEEDED,
    PROGRESSING,
    WRITE_REFUSED,
    is_complete,
    is_refused,
)
from rayfleet.planning.fleet.view import View
from rayfleet.planning.replica.summary import in_trouble, waiting_words
from rayfleet.planning.route.conditions import ROUTE_ACCEPTED
from rayfleet.planning.route.users import ROUTED

READY = "Ready"
STALLED = "Stalled"
_OUT_OF_REACH = (
    (WRITE_REFUSED, ConditionStatus.TRUE),
    (ROUTED, ConditionStatus.FALSE),
    (ROUTE_ACCEPTED, ConditionStatus.FALSE),
)
_WAITS = "ReplicasNotAvailable"


def with_readiness(conditions: Conditions, view: View, status: FleetStatus, now: datetime) -> Conditions:
    """Return the conditions with Ready set; it comes after all others, which it sums up."""
    blocker = _blocker(conditions, view, status)
    if blocker is None:
        words = "AllReplicasAvailable", "All replicas are of the present template and available."
        return with_condition(conditions, new_condition(READY, ConditionStatus.TRUE, *words, now))
    return with_condition(conditions, new_condition(READY, ConditionStatus.FALSE, *blocker, now))


def with_stall(conditions: Conditions, now: datetime) -> Conditions:
    """Return the conditions with Stalled while Progressing says that the deadline is exceeded, else without."""
    progressing = find_condition(conditions, PROGRESSING)
    if progressing is None or progressing.reason != DEADLINE_EXCEEDED:
        return without_condition(conditions, STALLED)
    return with_condition(conditions, stalled(progressing.reason, progressing.message, now))


def stalled(reason: str, message: str, now: datetime) -> Condition:
    """Return the condition of a fleet that gets on only when somebody changes it."""
    return new_condition(STALLED, ConditionStatus.TRUE, reason, message, now)


def _blocker(conditions: Conditions, view: View, status: FleetStatus) -> tuple[str, str] | None:
    """Return why the fleet is not ready, as reason and message: what was refused, who is in trouble, what is missing.

    The reason of a wait that is part of every start is always the same.
    """
    progressing, listed = find_condition(conditions, PROGRESSING), view.replicas.listed
    if progressing is not None and is_refused(conditions):
        return progressing.reason, progressing.message
    if not is_complete(view, status):
        reason = listed[0].reason if listed and in_trouble(listed[0]) else ""
        return reason or _WAITS, waiting_words(listed, len(view.replicas.known)) or _counted(view, status)
    for name, problem in _OUT_OF_REACH:
        condition = find_condition(conditions, name)
        if condition is not None and condition.status is problem:
            return condition.reason, condition.message
    return None


def _counted(view: View, status: FleetStatus) -> str:
    desired = view.bounds.desired
    return f"{status.available_replicas} available and {status.updated_replicas} updated of {desired} desired replicas"
