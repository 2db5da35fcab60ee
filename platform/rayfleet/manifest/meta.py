"""``metadata`` and ``status.conditions``, from and to JSON. Pure.

Decoding is lenient: an API server gave the object, so its metadata has the right types; what is missing is empty.
"""

from typing import Any

from rayfleet.manifest.times import decode_time, encode_time
from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.meta import JsonObject, ObjectMeta


def decode_meta(raw: JsonObject) -> ObjectMeta:
    """Return the metadata of any object."""
    meta = mapping(raw.get("metadata"))
    owners = (owner for owner in meta.get("ownerReferences") or () if owner.get("controller"))
    return ObjectMeta(
        name=meta.get("name", ""),
        namespace=meta.get("namespace") or "default",
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        labels=mapping(meta.get("labels")),
        annotations=mapping(meta.get("annotations")),
        owner_uid=next((owner.get("uid") for owner in owners), None),
        created_at=decode_time(meta.get("creationTimestamp")),
        deleted_at=decode_time(meta.get("deletionTimestamp")),
    )


def encode_meta(meta: ObjectMeta) -> JsonObject:
    """Return what a user may write of ``metadata``."""
    encoded: JsonObject = {"name": meta.name, "namespace": meta.namespace}
    if meta.labels:
        encoded["labels"] = dict(meta.labels)
    if meta.annotations:
        encoded["annotations"] = dict(meta.annotations)
    return encoded


def decode_conditions(raw: Any) -> tuple[Condition, ...]:
    """Return the conditions that can be read; others are left out."""
    return tuple(condition for item in raw or () if (condition := _decode_condition(item)) is not None)


def encode_condition(condition: Condition) -> JsonObject:
    """Return one condition; fields without a value are left out."""
    encoded: JsonObject = {
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


def mapping(value: Any) -> JsonObject:
    """Return ``value`` when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def _decode_condition(raw: Any) -> Condition | None:
    item = mapping(raw)
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
