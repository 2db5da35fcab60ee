"""Setting conditions by Kubernetes' rules: a transition time moves only with the status. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from rayfleet.model.conditions import Condition, ConditionStatus

Conditions = tuple[Condition, ...]


def find_condition(conditions: Sequence[Condition], name: str) -> Condition | None:
    """Return the condition of that type."""
    return next((condition for condition in conditions if condition.type == name), None)


def with_condition(conditions: Conditions, condition: Condition) -> Conditions:
    """Return the conditions with ``condition`` set; the very same when it says nothing new."""
    current = find_condition(conditions, condition.type)
    if current is None:
        return (*conditions, condition)
    if _meaning(current) == _meaning(condition):
        return conditions
    if current.status is condition.status:
        condition = replace(condition, last_transition_time=current.last_transition_time)
    return tuple(condition if other is current else other for other in conditions)


def without_condition(conditions: Conditions, name: str) -> Conditions:
    """Return the conditions without the one of that type."""
    return tuple(condition for condition in conditions if condition.type != name)


def new_condition(name: str, status: ConditionStatus, reason: str, message: str, now: datetime) -> Condition:
    """Return a condition that begins now."""
    return Condition(
        type=name,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=now.replace(microsecond=0),
        last_update_time=now.replace(microsecond=0),
    )


def _meaning(condition: Condition) -> tuple[ConditionStatus, str, str]:
    return condition.status, condition.reason, condition.message
