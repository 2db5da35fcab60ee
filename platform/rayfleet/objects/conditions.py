"""Status conditions as values and in JSON: a transition time moves only with the status. Pure.

Source: Kubernetes API conventions, "Typical status properties". Values (``Condition``) are for objects that we decide
on; the questions to JSON are for objects of others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mapping, mappings
from rayfleet.objects.times import decode_time, encode_time

Conditions = tuple[Condition, ...]


def conditions_of(raw: ReadOnlyJson) -> list[Json]:
    """Return the conditions of an object's status as they stand, in order."""
    return mappings(mapping(raw.get("status")).get("conditions"))


def condition_of(raw: ReadOnlyJson, name: str) -> Json:
    """Return an object's condition of that type as it stands, empty without it."""
    return entry_of(conditions_of(raw), name)


def is_true(raw: ReadOnlyJson, name: str) -> bool:
    """Whether an object's condition of that type is True; absent and Unknown are not."""
    return condition_of(raw, name).get("status") == ConditionStatus.TRUE


def is_false(raw: ReadOnlyJson, name: str) -> bool:
    """Whether an object's condition of that type is False; absent and Unknown are not."""
    return condition_of(raw, name).get("status") == ConditionStatus.FALSE


def changed_at(raw: ReadOnlyJson, name: str) -> datetime | None:
    """Return when an object's condition of that type last changed its status, None when nobody says."""
    return decode_time(condition_of(raw, name).get("lastTransitionTime"))


def reason_of(raw: ReadOnlyJson, name: str) -> str:
    """Return the reason of an object's condition of that type, empty without it."""
    return str(condition_of(raw, name).get("reason") or "")


def message_of(raw: ReadOnlyJson, name: str) -> str:
    """Return the message of an object's condition of that type, empty without it."""
    return str(condition_of(raw, name).get("message") or "")


def entry_of(entries: Iterable[Json], name: str) -> Json:
    """Return the entry of that type in a list of conditions, empty without it."""
    return next((entry for entry in entries if entry.get("type") == name), {})


def since(entries: Iterable[Json], name: str, status: str, now: datetime) -> str:
    """Return the transition time that a condition of ``status`` has now: the one it had, unless the status flips."""
    before = entry_of(entries, name)
    if before.get("status") == status:
        return str(before.get("lastTransitionTime") or "") or encode_time(now)
    return encode_time(now)


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


def observed_at(conditions: Conditions, generation: int, *names: str) -> Conditions:
    """Return the conditions, those of the types ``names`` (none: all) as speaking of that generation of the spec."""
    return tuple(
        replace(condition, observed_generation=generation) if not names or condition.type in names else condition
        for condition in conditions
    )


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


def decode_conditions(raw: Any) -> Conditions:
    """Return the conditions that can be read; others are left out."""
    return tuple(condition for item in mappings(raw) if (condition := _decoded(item)) is not None)


def encode_condition(condition: Condition) -> Json:
    """Return one condition; fields without a value are left out."""
    encoded: Json = {
        "type": condition.type,
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": encode_time(condition.last_transition_time),
    }
    if condition.last_update_time is not None:
        encoded["lastUpdateTime"] = encode_time(condition.last_update_time)
    if condition.observed_generation is not None:
        encoded["observedGeneration"] = condition.observed_generation
    return encoded


def _decoded(item: ReadOnlyJson) -> Condition | None:
    updated = decode_time(item.get("lastUpdateTime"))
    changed = decode_time(item.get("lastTransitionTime")) or updated
    if "type" not in item or item.get("status") not in set(ConditionStatus) or changed is None:
        return None
    return Condition(
        type=item["type"],
        status=ConditionStatus(item["status"]),
        reason=item.get("reason", ""),
        message=item.get("message", ""),
        last_transition_time=changed,
        last_update_time=updated,
        observed_generation=item.get("observedGeneration"),
    )


def _meaning(condition: Condition) -> tuple[ConditionStatus, str, str]:
    return condition.status, condition.reason, condition.message
