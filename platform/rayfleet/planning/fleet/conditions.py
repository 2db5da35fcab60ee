"""The conditions of a fleet that Deployment has, Available, Progressing and ReplicaFailure; and WriteRefused. Pure.

As Deployment's ``syncRolloutStatus``, with its types and reasons. ``Progressing`` notes in ``lastUpdateTime`` when
there was progress last; after ``progressDeadlineSeconds`` without any it turns False, and the plan says when to look
for that. Its message ends with what the replicas wait for, as soon as one waits for long. While a replica waits for
admission (Kueue) nothing is late: the clock stands, and begins anew.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.fleet import Fleet, FleetStatus
from rayfleet.model.resources import FLEETS, REPLICA_SETS, ResourceType
from rayfleet.objects.conditions import Conditions, find_condition, new_condition, with_condition, without_condition
from rayfleet.planning.fleet.view import View
from rayfleet.planning.replica.summary import are_suspended, waiting_words
from rayfleet.planning.replica_set.clock import is_ahead
from rayfleet.planning.replica_set.status import REPLICA_FAILURE
from rayfleet.planning.warm_up.step import WarmUpStep
from rayfleet.planning.writes import Verb, WriteFailure, permission_of

AVAILABLE = "Available"
PROGRESSING = "Progressing"
WRITE_REFUSED = "WriteRefused"
DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
NEW_AVAILABLE = "NewReplicaSetAvailable"
SUSPENDED = "ReplicasSuspended"
WARMING_UP = "WarmingUp"
WARM_UP_BLOCKED = "WarmUpBlocked"
_UPDATED = "ReplicaSetUpdated"
_UNDER_WAY = frozenset({"NewReplicaSetCreated", "FoundNewReplicaSet", _UPDATED, WARM_UP_BLOCKED, DEADLINE_EXCEEDED})
_OF_ONE = _UNDER_WAY - {WARM_UP_BLOCKED}  # their words name a replica set
_WITHOUT_CLOCK = frozenset({DEADLINE_EXCEEDED, NEW_AVAILABLE, SUSPENDED, WARMING_UP})
# What ``waiting_words`` and a refused image add to a message.
_WAITS = re.compile(r";? (\d+ of \d+ replicas? waits?|No replica is cut): .*", re.DOTALL)
_PAST_WAITS = frozenset({SUSPENDED, WARMING_UP, WARM_UP_BLOCKED})
_NO_DEADLINE = 2**31 - 1  # as Deployment: the largest int32 switches the deadline off
_CLOCK_MARGIN = timedelta(seconds=1)
_OF_A_ROLLOUT = frozenset({FLEETS, REPLICA_SETS})
_VERBS: Mapping[Verb, str] = {
    Verb.CREATE: "Create",
    Verb.PATCH: "Update",
    Verb.UPDATE: "Update",
    Verb.DELETE: "Delete",
}


def is_complete(view: View, status: FleetStatus) -> bool:
    """Whether all replicas are of the present template and available, and no other is left or keeps its place."""
    desired = view.bounds.desired
    held = sum(member.held for member in view.members)
    return status.updated_replicas == status.replicas == status.available_replicas == desired and not held


def with_availability(conditions: Conditions, view: View, available: int, now: datetime) -> Conditions:
    """Return the conditions with Available set.

    As Deployment's but for one thing: a fleet that may be without any replica for a while is still not available then.
    """
    if available >= max(view.bounds.least_available, min(1, view.bounds.desired)):
        reason, text, value = "MinimumReplicasAvailable", "has minimum availability", ConditionStatus.TRUE
    else:
        reason, text, value = "MinimumReplicasUnavailable", "does not have minimum availability", ConditionStatus.FALSE
    return with_condition(conditions, new_condition(AVAILABLE, value, reason, f"Fleet {text}.", now))


def with_progress(
    conditions: Conditions, view: View, status: FleetStatus, created: str, warm_up: WarmUpStep | None = None
) -> Conditions:
    """Return the conditions with Progressing set.

    ``created`` names the replica set that this pass makes; ``warm_up`` is what it holds back, if anything.
    """
    fleet, now = view.fleet, view.now
    current = find_condition(conditions, PROGRESSING)
    if fleet.spec.progress_deadline_seconds == _NO_DEADLINE:
        return without_condition(conditions, PROGRESSING)
    if fleet.spec.paused or (current is not None and current.reason == PAUSED):
        return _with_pause(conditions, fleet, current, now)
    if created:
        message = f'Created new replica set "{created}"'
        return _progressed(conditions, "NewReplicaSetCreated", message, now)
    if warm_up is not None and warm_up.is_under_way:
        return _with_waits(_warming(conditions, view, warm_up, now), view, warm_up.refusal_words)
    if warm_up is not None and warm_up.pods:  # and now it is cut
        return _progressed(conditions, _UPDATED, _progressing_words(view), now)
    return _with_waits(_judged(conditions, view, status, now), view)


def with_returned(conditions: Conditions, name: str, now: datetime) -> Conditions:
    """Return the conditions when the template of the replica set ``name`` came back: the deadline counts from now."""
    current = find_condition(conditions, PROGRESSING)
    if current is None or current.status is ConditionStatus.UNKNOWN:
        return conditions
    return _progressed(conditions, "FoundNewReplicaSet", f'Found new replica set "{name}"', now)


def with_refusal(conditions: Conditions, failure: WriteFailure, now: datetime) -> Conditions:
    """Return the conditions of a fleet a write of which was refused, with what was, by its kind.

    ``ReplicaSetCreateError`` ends progress; a refused Service costs only its own part, and is told beside.
    """
    reason = refusal_reason(failure.action.resource, permission_of(failure.action).verb)
    if failure.action.resource in _OF_A_ROLLOUT:
        condition = new_condition(PROGRESSING, ConditionStatus.FALSE, reason, failure.message, now)
    else:
        condition = new_condition(WRITE_REFUSED, ConditionStatus.TRUE, reason, failure.message, now)
    return with_condition(conditions, condition)


def refusal_reason(resource: ResourceType, verb: Verb) -> str:
    """Return the reason that tells of a refused write."""
    return f"{resource.kind.removeprefix('RayCluster')}{_VERBS[verb]}Error"


def is_refused(conditions: Conditions) -> bool:
    """Whether Progressing tells of a refused write, which every pass without one takes back."""
    current = find_condition(conditions, PROGRESSING)
    return current is not None and current.status is ConditionStatus.FALSE and current.reason != DEADLINE_EXCEEDED


def summary_of(condition: Condition) -> str:
    """Return a condition's message, of Progressing without what the replicas wait for."""
    return _WAITS.sub("", condition.message) if condition.type == PROGRESSING else condition.message


def with_replica_failure(conditions: Conditions, view: View) -> Conditions:
    """Return the conditions with the replica sets' ReplicaFailure, of the newest that has one."""
    newest_first = [member.replica_set.status.conditions for member in reversed(view.members)]
    newest = next((failure for each in newest_first if (failure := find_condition(each, REPLICA_FAILURE))), None)
    if newest is None:
        return without_condition(conditions, REPLICA_FAILURE)
    return with_condition(conditions, newest)


def until_deadline(fleet: Fleet, status: FleetStatus, now: datetime, *, is_done: bool) -> timedelta | None:
    """Return how long until the deadline could be exceeded; None when it cannot."""
    current = find_condition(status.conditions, PROGRESSING)
    waits = current is not None and current.reason not in _WITHOUT_CLOCK
    if current is None or not waits or is_done or fleet.spec.paused:
        return None
    return max(_CLOCK_MARGIN, _deadline(fleet, current) - now + _CLOCK_MARGIN)


def _with_pause(conditions: Conditions, fleet: Fleet, current: Condition | None, now: datetime) -> Conditions:
    """Return the conditions of a fleet that is paused or was; a deadline that was exceeded stays said."""
    if current is not None and current.reason == DEADLINE_EXCEEDED:
        return conditions
    reason, message = (PAUSED, "Fleet is paused") if fleet.spec.paused else ("DeploymentResumed", "Fleet is resumed")
    return with_condition(conditions, new_condition(PROGRESSING, ConditionStatus.UNKNOWN, reason, message, now))


def _judged(conditions: Conditions, view: View, status: FleetStatus, now: datetime) -> Conditions:
    """Return the conditions by what became of the counts since the last pass."""
    fleet = view.fleet
    current = find_condition(conditions, PROGRESSING)
    name = _name_of_new(view)
    done = f'ReplicaSet "{name}" has successfully progressed.'
    is_done = is_complete(view, status)
    is_of_new = view.new is not None or is_done  # a recreation that waits for the old ones to be gone is not over
    is_settled = is_of_new and status.replicas == status.updated_replicas
    if current is not None and current.reason == NEW_AVAILABLE and is_settled:
        # After a restart in the middle the words may still be the last revision's.
        return (
            conditions if current.message == done or not is_done else _progressed(conditions, NEW_AVAILABLE, done, now)
        )
    if is_done:
        return _progressed(conditions, NEW_AVAILABLE, done, now)
    if current is None:
        return _progressed(conditions, "FoundNewReplicaSet", f'Found new replica set "{name}"', now)
    if are_suspended(view.replicas.new):
        message = "Replicas wait for admission, and the progress deadline with them."
        return with_condition(conditions, new_condition(PROGRESSING, ConditionStatus.UNKNOWN, SUSPENDED, message, now))
    if _has_progressed(fleet.status, status) or current.reason in _PAST_WAITS or is_refused(conditions):
        return _progressed(conditions, _UPDATED, _progressing_words(view), now)
    return _timed(conditions, current, view, now)


def warming_since(progressing: Condition | None, subject: str) -> datetime | None:
    """Return since when Progressing says that nodes are warmed up for ``subject``, None when it does not."""
    is_said = progressing is not None and progressing.reason == WARMING_UP and progressing.message.startswith(subject)
    return progressing.last_update_time if progressing is not None and is_said else None


def _warming(conditions: Conditions, view: View, warm_up: WarmUpStep, now: datetime) -> Conditions:
    """Return the conditions while nodes are warmed up: since when is kept, for its timeout.

    With an image that cannot be had, the deadline counts from when that was first seen.
    """
    current = find_condition(conditions, PROGRESSING)
    if warm_up.refusal is None:
        since = warming_since(current, warm_up.subject)
        is_kept = since is not None and not is_ahead(since, now)
        if is_kept and current is not None and current.message == warm_up.words:
            return conditions
        started = _progressed(conditions, WARMING_UP, warm_up.words, now)
        return _updated_at(started, since) if is_kept else started
    is_new = current is not None and current.reason == WARM_UP_BLOCKED and warm_up.subject not in current.message
    if current is None or current.reason not in {WARM_UP_BLOCKED, DEADLINE_EXCEEDED} or is_new:
        return _progressed(conditions, WARM_UP_BLOCKED, warm_up.words, now)
    return _timed(conditions, current, view, now)


def _updated_at(conditions: Conditions, time: datetime | None) -> Conditions:
    """Return the conditions with another time of Progressing's last update."""
    return tuple(replace(each, last_update_time=time) if each.type == PROGRESSING else each for each in conditions)


def _progressing_words(view: View) -> str:
    return f"{_subject(view)} is progressing."


def _subject(view: View) -> str:
    """Return whose progress a message tells of: the fleet's own before its new replica set is made, as Deployment's."""
    return f'{"ReplicaSet" if view.new else "Fleet"} "{_name_of_new(view)}"'


def _name_of_new(view: View) -> str:
    return view.new.replica_set.meta.name if view.new else view.fleet.meta.name


def _timed(conditions: Conditions, current: Condition, view: View, now: datetime) -> Conditions:
    """Return the conditions without progress: late once the deadline has passed.

    A clock that began for another replica set says nothing of this one: the pass that made it could not tell, or its
    status waits to be written. Nor does the end of the last rollout, however long ago, of one that only begins (as
    Deployment's ``DeploymentTimedOut``).
    """
    if current.reason == NEW_AVAILABLE:
        return conditions
    message = f"{_subject(view)} has timed out progressing."
    if current.reason in _OF_ONE and f'"{_name_of_new(view)}"' not in current.message:
        return _progressed(conditions, _UPDATED, _progressing_words(view), now)
    if current.reason == DEADLINE_EXCEEDED or now < _deadline(view.fleet, current):
        return conditions
    late = new_condition(PROGRESSING, ConditionStatus.FALSE, DEADLINE_EXCEEDED, message, now)
    return with_condition(conditions, late)


def _with_waits(conditions: Conditions, view: View, refusal: str = "") -> Conditions:
    """Return the conditions with what is waited for after Progressing's words; no time moves.

    ``refusal`` is an image that cannot be had.
    """
    current = find_condition(conditions, PROGRESSING)
    if current is None or current.reason not in _UNDER_WAY:
        return conditions
    words = refusal or waiting_words(view.replicas.listed_new, len(view.replicas.new))
    summary = summary_of(current)
    joined = f"{summary}{' ' if summary.endswith('.') else '; '}{words}" if words else summary
    worded = replace(current, message=joined)
    return tuple(worded if condition is current else condition for condition in conditions)


def _progressed(conditions: Conditions, reason: str, message: str, now: datetime) -> Conditions:
    """Set Progressing to True as of now, also when the words stay the same: the deadline counts from it."""
    fresh = new_condition(PROGRESSING, ConditionStatus.TRUE, reason, message, now)
    current = find_condition(conditions, PROGRESSING)
    if current is None or current.status is not ConditionStatus.TRUE:
        return with_condition(conditions, fresh)
    fresh = Condition(
        type=PROGRESSING,
        status=ConditionStatus.TRUE,
        reason=reason,
        message=message,
        last_transition_time=current.last_transition_time,
        last_update_time=fresh.last_update_time,
    )
    return tuple(fresh if condition is current else condition for condition in conditions)


def _has_progressed(before: FleetStatus, after: FleetStatus) -> bool:
    """Whether there are more updated, fewer old, more ready or more available ones."""
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def _deadline(fleet: Fleet, current: Condition) -> datetime:
    since = current.last_update_time or current.last_transition_time
    return since + timedelta(seconds=fleet.spec.progress_deadline_seconds)
