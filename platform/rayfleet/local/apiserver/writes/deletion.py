"""Deleting objects: grace, finalizers, propagation, exactly as the API server does it.

The collector of dependents is another process.

Source: apiserver ``pkg/registry/rest/delete.go`` and ``pkg/registry/generic/registry/store.go`` (v1.36).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import (
    Cause,
    bad_request,
    conflict,
    forbidden,
    invalid,
    invalid_object,
    not_found,
    unsupported,
)
from rayfleet.local.apiserver.grammar.times import parse_timestamp, timestamp
from rayfleet.local.apiserver.kinds.builtin.others import IMMORTAL_NAMESPACES
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.storage.storage import Key, Storage
from rayfleet.local.apiserver.writes.writing import Writer, shown_as
from rayfleet.model.meta import JsonObject

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
DEFINITION_CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_POLICIES = ("Foreground", "Background", "Orphan", "nil")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """The wishes of a deletion; None and the empty text mean: not said."""

    grace_seconds: int | None = None
    policy: str = ""
    uid: str = ""
    version: str = ""
    is_dry_run: bool = False


def decode_delete_options(body: JsonObject, query: dict[str, str]) -> DeleteOptions:
    """Return the options of a body, or of the query when there is none. Raises Refusal: 400, 422. Pure."""
    said: JsonObject = dict(body) if body else {key: value for key, value in query.items() if key in _QUERY}
    causes: list[Cause] = []
    policy = said.get("propagationPolicy") or ""
    orphan = said.get("orphanDependents")
    if policy and policy not in _POLICIES[:3]:
        causes.append(unsupported("propagationPolicy", policy, _POLICIES))
    if policy and orphan is not None:
        causes.append(
            invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if orphan is not None and not policy:
        policy = "Orphan" if orphan in (True, "true") else "Background"
    dry = said.get("dryRun") or []
    dry = [dry] if isinstance(dry, str) else [*dry]
    if any(each != "All" for each in dry):
        causes.append(unsupported("dryRun", dry, ("All",)))
    if causes:
        raise invalid_object("meta.k8s.io", "DeleteOptions", "", causes)
    preconditions = said.get("preconditions") or {}
    return DeleteOptions(
        grace_seconds=_whole(said.get("gracePeriodSeconds")),
        policy=policy,
        uid=preconditions.get("uid") or "",
        version=preconditions.get("resourceVersion") or "",
        is_dry_run=bool(dry),
    )


_QUERY = ("gracePeriodSeconds", "propagationPolicy", "orphanDependents", "dryRun")


@dataclass(slots=True, kw_only=True)
class Deleter:
    """Deletes objects of any kind; ``gone`` is called after each removal."""

    storage: Storage
    writer: Writer
    now: Callable[[], datetime]
    gone: Callable[[Kind, Stored], None]

    def delete(self, kind: Kind, key: Key, options: DeleteOptions) -> JsonObject:
        """Delete, or begin to; return the object while it is still there (or as its kind wants), else a Status.

        Raises Refusal: 403, 404, 409.
        """
        found = self.storage.get(kind.storage_name, key)
        if found is None:
            raise not_found(kind.group, kind.plural, key[1])
        _check_preconditions(kind, found, options)
        if kind.storage_name == "/namespaces" and key[1] in IMMORTAL_NAMESPACES:
            raise forbidden(kind.group, kind.plural, key[1], "this namespace may not be deleted")
        if begun := self._own_way(kind, found, options):
            return begun
        if options.grace_seconds is not None and options.grace_seconds < 0:
            options = replace(options, grace_seconds=1)
        new = found.copy()
        grace = _graceful(kind, new, options, self.now())
        if grace is _Pending.YES:
            return self._answer(kind, found.object)
        finalizers = _wanted_finalizers(new["metadata"].get("finalizers") or [], options.policy)
        _set_finalizers(new["metadata"], finalizers)
        if grace is None and not finalizers:
            return self._remove(kind, found, options)
        if grace is None:
            _mark(new["metadata"], self.now())
        if options.is_dry_run:
            return shown_as(kind, new)
        stored = found if new == found.object else self.writer.mutate(kind, found, new)
        if finalizers or grace:
            return shown_as(kind, stored.object)
        return self._remove(kind, stored, options)

    def _own_way(self, kind: Kind, found: Stored, options: DeleteOptions) -> JsonObject | None:
        """Begin the deletion of what goes in an order of its own; None when the usual way is to be gone."""
        if kind.storage_name == "/namespaces":
            return self._namespace(kind, found, options)
        if kind.storage_name == "apiextensions.k8s.io/customresourcedefinitions":
            return self._definition(kind, found, options)
        return None

    def _namespace(self, kind: Kind, found: Stored, options: DeleteOptions) -> JsonObject | None:
        if not found.object["metadata"].get("deletionTimestamp"):
            new = found.copy()
            new["metadata"]["deletionTimestamp"] = timestamp(self.now())
            new.setdefault("status", {})["phase"] = "Terminating"
            return new if options.is_dry_run else self.writer.mutate(kind, found, new).object
        return found.object if found.object["spec"].get("finalizers") else None

    def _definition(self, kind: Kind, found: Stored, options: DeleteOptions) -> JsonObject | None:
        if found.object["metadata"].get("deletionTimestamp"):
            return None
        new = found.copy()
        meta = new["metadata"]
        meta["deletionTimestamp"] = timestamp(self.now())
        if DEFINITION_CLEANUP not in meta.get("finalizers", ()):
            meta.setdefault("finalizers", []).append(DEFINITION_CLEANUP)
        status = new.setdefault("status", {})
        others = [each for each in status.get("conditions") or () if each["type"] != "Terminating"]
        status["conditions"] = [
            *others,
            {
                "type": "Terminating",
                "status": "True",
                "lastTransitionTime": timestamp(self.now()),
                "reason": "InstanceDeletionPending",
                "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            },
        ]
        return new if options.is_dry_run else self.writer.mutate(kind, found, new).object

    def _remove(self, kind: Kind, found: Stored, options: DeleteOptions) -> JsonObject:
        if not options.is_dry_run:
            self.storage.remove(kind.storage_name, found.key)
            self.gone(kind, found)
        return self._answer(kind, found.object)

    def _answer(self, kind: Kind, manifest: JsonObject) -> JsonObject:
        if kind.rules.returns_deleted:
            return shown_as(kind, manifest)
        meta = manifest["metadata"]
        group = {"group": kind.group} if kind.group else {}
        details = {"name": meta["name"], **group, "kind": kind.plural, "uid": meta["uid"]}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


class _Pending:
    """Marks a deletion that is under way already and is not changed by this one."""

    YES: "_Pending"


_Pending.YES = _Pending()


def _graceful(kind: Kind, new: JsonObject, options: DeleteOptions, now: datetime) -> int | _Pending | None:
    """Write a graceful deletion into ``new`` and return its seconds; None for kinds that have none."""
    if kind.rules.grace_seconds is None:
        return None
    meta = new["metadata"]
    if (deleted := parse_timestamp(meta.get("deletionTimestamp"))) is not None:
        return _shortened(meta, deleted, options, now)
    default = kind.rules.grace_seconds(new)
    asked = options.grace_seconds
    seconds = default if asked is None or (default == 0 and _never_waits(kind, new)) else asked
    seconds = 1 if seconds < 0 else seconds
    meta["deletionTimestamp"] = timestamp(now + timedelta(seconds=seconds))
    meta["deletionGracePeriodSeconds"] = seconds
    if meta.get("generation"):
        meta["generation"] += 1
    return seconds


def _never_waits(kind: Kind, manifest: JsonObject) -> bool:
    """Whether nobody runs the object, so that no grace period can be asked for either."""
    assert kind.rules.grace_seconds is not None, "asked of graceful kinds only"
    patient = {**manifest, "spec": {**manifest["spec"], "terminationGracePeriodSeconds": 1}}
    return kind.rules.grace_seconds(patient) == 0


def _shortened(meta: JsonObject, deleted: datetime, options: DeleteOptions, now: datetime) -> int | _Pending | None:
    before = meta.get("deletionGracePeriodSeconds") or 0
    if not before:
        return None
    if options.grace_seconds is None or options.grace_seconds >= before:
        return _Pending.YES
    seconds = options.grace_seconds
    moment = deleted - timedelta(seconds=before) + timedelta(seconds=seconds)
    if moment < now:
        moment, seconds = now, min(seconds, 1)
    meta["deletionTimestamp"] = timestamp(moment)
    meta["deletionGracePeriodSeconds"] = seconds
    return seconds


def _wanted_finalizers(finalizers: list[str], policy: str) -> list[str]:
    """Return the finalizers with the ones of the collector as the policy, or else the object, wants them."""
    orphan = policy == "Orphan" if policy else ORPHAN in finalizers
    foreground = policy == "Foreground" if policy else FOREGROUND in finalizers
    kept = [each for each in finalizers if each not in (ORPHAN, FOREGROUND)]
    wanted = kept + [ORPHAN] * orphan + [FOREGROUND] * foreground
    return finalizers if set(wanted) == set(finalizers) else wanted


def _set_finalizers(meta: JsonObject, finalizers: list[str]) -> None:
    if finalizers:
        meta["finalizers"] = finalizers
    else:
        meta.pop("finalizers", None)


def _mark(meta: JsonObject, now: datetime) -> None:
    """Mark an object without grace as being deleted."""
    deleted = parse_timestamp(meta.get("deletionTimestamp"))
    if deleted is None and meta.get("generation"):
        meta["generation"] += 1
    if deleted is None or deleted > now:
        meta["deletionTimestamp"] = timestamp(now)
    meta["deletionGracePeriodSeconds"] = 0


def _check_preconditions(kind: Kind, found: Stored, options: DeleteOptions) -> None:
    meta = found.object["metadata"]
    if options.uid and options.uid != meta["uid"]:
        raise conflict(
            kind.group,
            kind.kind,
            meta["name"],
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated",
        )
    if options.version and options.version != meta["resourceVersion"]:
        raise conflict(
            kind.group,
            kind.kind,
            meta["name"],
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified",
        )


def _whole(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise bad_request(f"gracePeriodSeconds: {value!r} is no whole number") from error
