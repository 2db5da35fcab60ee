"""Who manages which fields of an object: ``metadata.managedFields``, read, carried on and written. Pure.

Source: apimachinery ``pkg/util/managedfields`` (v1.36). Versions of a kind differ in their name only here, so a set of
fields means the same in each. Unlike there, a change of the schema from merged to atomic does not rewrite the sets, and
there is no bound on the number of managers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from rayfleet.local.apiserver.kinds.shapes import Shape
from rayfleet.local.apiserver.writes.comparing import Comparison, compared
from rayfleet.local.apiserver.writes.field_sets import (
    NO_FIELDS,
    FieldSet,
    Path,
    decode_fields,
    encode_fields,
    shown_path,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.times import encode_time

_META = "f:metadata"
_SERVERS_OWN: FieldSet = frozenset(
    {("f:apiVersion",), ("f:kind",), (_META,)}
    | {
        (_META, f"f:{name}")
        for name in (
            "clusterName",
            "creationTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    }
)


class Manager(NamedTuple):
    """Who wrote, and how; an applier is the same in every version."""

    name: str
    operation: str
    api_version: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        of = f' with subresource "{self.subresource}"' if self.subresource else ""
        using = f" using {self.api_version}" if self.operation == UPDATE else ""
        return f'"{self.name}"{of}{using}'


APPLY, UPDATE = "Apply", "Update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """The fields of one manager: in which version it wrote, and when last."""

    fields: FieldSet
    api_version: str
    time: str = ""


Owners = Mapping[Manager, Owned]
Conflict = tuple[Manager, Path]


def decode_owners(metadata: ReadOnlyJson) -> Owners | None:
    """Return who manages what; None for entries that cannot be read."""
    owners: dict[Manager, Owned] = {}
    for entry in metadata.get("managedFields") or ():
        operation, version = entry.get("operation"), entry.get("apiVersion", "")
        if operation not in (APPLY, UPDATE) or entry.get("fieldsType") not in ("FieldsV1", None, ""):
            return None
        manager = Manager(
            name=entry.get("manager", ""),
            operation=operation,
            api_version=version if operation == UPDATE else "",
            subresource=entry.get("subresource", ""),
        )
        fields = decode_fields(entry.get("fieldsV1") or {})
        owners[manager] = Owned(fields=fields, api_version=version, time=entry.get("time") or "")
    return owners


def encode_owners(owners: Owners) -> list[Json]:
    """Return the entries: appliers first, then by time and name."""
    order = sorted(owners, key=lambda each: (each.operation, owners[each].time, each.name, each.api_version))
    return [_entry(each, owners[each]) for each in order]


def keep_owners(manifest: Json, owners: Owners) -> None:
    """Write the owners into the object's metadata, in place; no entry is no list."""
    manifest["metadata"].pop("managedFields", None)
    if owners:
        manifest["metadata"]["managedFields"] = encode_owners(owners)


def inherited_owners(new: ReadOnlyJson, old: ReadOnlyJson) -> Owners:
    """Return the owners to go on from: what a writer states, or else what is stored.

    One empty entry (``[{}]``) is how a writer lets them all go.
    """
    stated = new["metadata"].get("managedFields")
    if stated == [{}]:
        return {}
    owners = decode_owners(new["metadata"]) if stated else None
    return owners or decode_owners(old["metadata"]) or {}


def owners_after_update(
    shape: Shape, old: ReadOnlyJson, new: ReadOnlyJson, owners: Owners, manager: Manager, now: datetime
) -> Owners:
    """Return the owners after a write: whoever changes a field has it alone."""
    difference = compared(shape, without_owners(old), without_owners(new))
    kept = _after(owners, difference)
    changed = frozenset(difference.added | difference.modified) - _SERVERS_OWN
    if not changed:
        return kept
    before = kept[manager].fields if manager in kept else NO_FIELDS
    version = new["apiVersion"]
    return {**kept, manager: Owned(fields=before | changed, api_version=version, time=encode_time(now))}


def conflicts_of(difference: Comparison, owners: Owners, applier: Manager) -> list[Conflict]:
    """Return the fields of others that would change, by manager and path."""
    changed = difference.added | difference.modified
    return sorted(
        (manager, path) for manager, owned in owners.items() if manager != applier for path in owned.fields & changed
    )


def conflict_message(conflicts: Iterable[Conflict]) -> str:
    """Return what an applier is told of at least one conflict."""
    listed = sorted(conflicts, key=lambda each: (str(each[0]), each[1]))
    if len(listed) == 1:
        manager, path = listed[0]
        return f"Apply failed with 1 conflict: conflict with {manager}: {shown_path(path)}"
    lines: list[str] = []
    for manager in dict.fromkeys(each for each, _ in listed):
        paths = [f"- {shown_path(path)}" for each, path in listed if each == manager]
        lines += [f"conflicts with {manager}:", *paths]
    return f"Apply failed with {len(listed)} conflicts: " + "\n".join(lines)


def owners_after_apply(difference: Comparison, owners: Owners, applier: Manager, applied: Owned) -> Owners:
    """Return the owners after an apply that is allowed: the applier has what it states, and nothing else."""
    others = {each: owned for each, owned in owners.items() if each != applier}
    fields = applied.fields - _SERVERS_OWN
    kept = _after(others, difference)
    return {**kept, applier: replace(applied, fields=fields)} if fields else kept


def is_same_but_for_times(new: ReadOnlyJson, old: ReadOnlyJson) -> bool:
    """Whether two states of an object differ at most in when somebody wrote: then nothing is written."""
    if new == old:
        return True
    if without_owners(new) != without_owners(old):
        return False
    some, other = (decode_owners(each["metadata"]) or {} for each in (new, old))
    return {each: owned.fields for each, owned in some.items()} == {each: owned.fields for each, owned in other.items()}


def without_owners(manifest: ReadOnlyJson) -> ReadOnlyJson:
    """Return the object as its fields are compared: who owns them is none of them."""
    if "managedFields" not in manifest["metadata"]:
        return manifest
    meta = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": meta}


def _after(owners: Owners, difference: Comparison) -> dict[Manager, Owned]:
    """Return the owners without what somebody else changed or what is gone."""
    lost = frozenset(difference.added | difference.modified | difference.removed)
    left = {each: replace(owned, fields=owned.fields - lost) for each, owned in owners.items()}
    return {each: owned for each, owned in left.items() if owned.fields}


def _entry(manager: Manager, owned: Owned) -> Json:
    entry: dict[str, Any] = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": owned.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": encode_fields(owned.fields),
        "subresource": manager.subresource,
    }
    return {key: value for key, value in entry.items() if value != ""}
