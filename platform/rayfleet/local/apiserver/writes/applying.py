"""Server-side apply: what an applied configuration makes of an object and of its owners. Pure.

Source: apimachinery ``pkg/util/managedfields`` (v1.36) with its messages; Kubernetes docs, "Server-Side Apply".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from rayfleet.local.apiserver.grammar.refusal import Cause, Refusal
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.shapes import Shape
from rayfleet.local.apiserver.writes.comparing import Comparison, compared, stated_fields
from rayfleet.local.apiserver.writes.field_sets import NO_FIELDS, FieldSet, Path, beside, shown_path
from rayfleet.local.apiserver.writes.merging import merged, pruned
from rayfleet.local.apiserver.writes.owners import (
    APPLY,
    UPDATE,
    Conflict,
    Manager,
    Owned,
    Owners,
    conflict_message,
    conflicts_of,
    decode_owners,
    owners_after_apply,
    owners_after_update,
    without_owners,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.times import encode_time

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"
_BEFORE = "before-first-apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is applied: as it was sent, and as typed data; ``left_out`` is what a part of the object does not set."""

    sent: ReadOnlyJson
    typed: ReadOnlyJson
    left_out: Sequence[Path] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An object after an apply, and who owns what of it now."""

    object: Json
    owners: Owners


def left_out_fields(kind: Kind, part: str) -> Sequence[Path]:
    """Return what a write to ``part`` does not set, so that nobody owns it by that."""
    if part == "status":
        return (("f:metadata",), ("f:spec",)) if kind.is_custom else (("f:spec",),)
    return (("f:status",),) if kind.has_status else ()


def applied(
    shape: Shape, live: ReadOnlyJson, configuration: Configuration, applier: Manager, *, force: bool, now: datetime
) -> Applied:
    """Return ``live`` with the configuration applied. Raises Refusal (409) for fields of others, unless forced."""
    owners = _owners_before(shape, live, now)
    last = owners[applier].fields if applier in owners else NO_FIELDS
    fields = beside(stated_fields(shape, configuration.sent), configuration.left_out)
    own = Owned(fields=fields, api_version=live["apiVersion"], time=encode_time(now))
    whole = merged(shape, live, configuration.typed)
    owned = frozenset().union(fields, *(each.fields for manager, each in owners.items() if manager != applier))
    new = pruned(shape, whole, last, owned)
    difference = _difference(shape, live, new, configuration.left_out)
    conflicts = conflicts_of(difference, owners, applier)
    if conflicts and not force:
        _check_conflicts(conflicts, _allowed(shape, live) if applier.name == _KUBECTL else NO_FIELDS)
    if applier.name == _KUBECTL:
        _renew_annotation(new, configuration.sent)
    return Applied(object=new, owners=owners_after_apply(difference, owners, applier, own))


def applier_named(name: str, subresource: str) -> Manager:
    """Return the manager that applies under a name."""
    return Manager(name=name, operation=APPLY, subresource=subresource)


def _owners_before(shape: Shape, live: ReadOnlyJson, now: datetime) -> Owners:
    """Return the owners of the object; of one that nobody tracked, all that is there was somebody's."""
    owners = decode_owners(live["metadata"])
    if owners or not live["metadata"].get("uid"):
        return owners or {}
    version = live["apiVersion"]
    nobody = {"apiVersion": version, "kind": live["kind"], "metadata": {}, **shape.nothing()}
    before = Manager(name=_BEFORE, operation=UPDATE, api_version=version)
    return owners_after_update(shape, nobody, live, {}, before, now)


def _difference(shape: Shape, live: ReadOnlyJson, new: ReadOnlyJson, left_out: Sequence[Path]) -> Comparison:
    """Return what the apply changes of what it sets; who owns what is no field of the object here."""
    whole = compared(shape, without_owners(live), without_owners(new))
    return Comparison(
        added=set(beside(frozenset(whole.added), left_out)),
        modified=set(beside(frozenset(whole.modified), left_out)),
        removed=set(beside(frozenset(whole.removed), left_out)),
    )


def _check_conflicts(conflicts: Sequence[Conflict], allowed: FieldSet) -> None:
    rest = [(manager, path) for manager, path in conflicts if path not in allowed]
    if not rest:
        return
    causes = [
        Cause(field=shown_path(path), reason="FieldManagerConflict", message=f"conflict with {manager}")
        for manager, path in rest
    ]
    details = {
        "causes": [{"reason": each.reason, "message": each.message, "field": each.field} for each in causes],
    }
    raise Refusal(409, "Conflict", conflict_message(rest), details=details)


def _allowed(shape: Shape, live: ReadOnlyJson) -> FieldSet:
    """Return the fields that kubectl applied on its own side and that are so still: those it may take over."""
    try:
        last: Any = orjson.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED) or b"")
    except orjson.JSONDecodeError:
        return NO_FIELDS
    if not isinstance(last, dict) or last.get("apiVersion") != live["apiVersion"]:
        return NO_FIELDS
    difference = compared(shape, last, live)
    return stated_fields(shape, last) - difference.modified - difference.added - difference.removed


def _renew_annotation(new: Json, config: ReadOnlyJson) -> None:
    """Write the configuration where kubectl's own apply looks for it, if that was used before; in place."""
    annotations = new["metadata"].get("annotations") or {}
    if annotations.get(LAST_APPLIED):
        annotations = {**annotations, LAST_APPLIED: orjson.dumps(config).decode() + "\n"}
        new["metadata"] = {**new["metadata"], "annotations": annotations}
