"""Deleting objects: preconditions, grace, finalizers, propagation, as the API server does it. Edge: the storage.

The collector of dependents is another process. Source: apiserver ``pkg/registry/rest/delete.go`` (v1.36).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.apiserver.grammar.refusal import conflict, not_found
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.storage.storage import Key, Storage
from rayfleet.local.apiserver.writes.delete_options import DeleteOptions
from rayfleet.local.apiserver.writes.grace import grace_of, is_waited_for, mark, remaining_finalizers
from rayfleet.local.apiserver.writes.writing import Writer, shown_as
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import is_terminating


@dataclass(slots=True, kw_only=True)
class Deleter:
    """Deletes objects of any kind."""

    storage: Storage
    writer: Writer
    now: Callable[[], datetime]

    def delete(self, kind: Kind, key: Key, options: DeleteOptions) -> ReadOnlyJson:
        """Delete, or begin to; return the object while it is still there (or as its kind wants), else a Status.

        Raises Refusal: 403, 404, 409.
        """
        stored = self.storage.get(kind.storage_name, key)
        if stored is None:
            raise not_found(kind.group, kind.plural, key[1])
        _check_preconditions(kind, stored, options)
        if is_terminating(stored.object):
            if kind.rules.is_held(stored.object):
                return shown_as(kind, stored.object)
        elif (marked := kind.rules.on_delete(stored.copy(), self.now())) is not None:
            return shown_as(kind, marked if options.is_dry_run else self._changed(kind, stored, marked).object)
        return self._delete(kind, stored, options)

    def _delete(self, kind: Kind, stored: Stored, options: DeleteOptions) -> ReadOnlyJson:
        """Delete the usual way: at once, or after the grace period, but never before the last finalizer is off."""
        if is_waited_for(kind, stored.object, options):
            return _answer(kind, stored.object)
        grace = grace_of(kind, stored.object, options, self.now())
        finalizers = remaining_finalizers(stored.object["metadata"].get("finalizers") or [], options.policy)
        if grace is None and not finalizers:
            return self._remove(kind, stored, options)
        marked = stored.copy()
        mark(marked, grace, finalizers, self.now())
        if options.is_dry_run:
            return shown_as(kind, marked)
        if marked != stored.object:
            stored = self._changed(kind, stored, marked)
        if finalizers or (grace is not None and grace.seconds):
            return shown_as(kind, stored.object)
        return self._remove(kind, stored, options)

    def _changed(self, kind: Kind, stored: Stored, marked: ReadOnlyJson) -> Stored:
        """Store the mark, and delete what goes with the object."""
        changed = self.writer.mutate(kind, stored, marked)
        for other_kind, key in self.writer.aftermath.dependents(kind, changed):
            self.delete(other_kind, key, DeleteOptions())
        return changed

    def _remove(self, kind: Kind, stored: Stored, options: DeleteOptions) -> ReadOnlyJson:
        if not options.is_dry_run:
            self.writer.remove(kind, stored)
        return _answer(kind, stored.object)


def _answer(kind: Kind, manifest: ReadOnlyJson) -> ReadOnlyJson:
    if kind.rules.returns_deleted:
        return shown_as(kind, manifest)
    meta = manifest["metadata"]
    group = {"group": kind.group} if kind.group else {}
    details = {"name": meta["name"], **group, "kind": kind.plural, "uid": meta["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _check_preconditions(kind: Kind, stored: Stored, options: DeleteOptions) -> None:
    meta = stored.object["metadata"]
    if options.uid and options.uid != meta["uid"]:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({meta['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise conflict(kind.group, kind.kind, meta["name"], why)
    if options.version and options.version != meta["resourceVersion"]:
        why = (
            f"the ResourceVersion in the precondition ({options.version}) does not match the ResourceVersion in record "
            f"({meta['resourceVersion']}). The object might have been modified"
        )
        raise conflict(kind.group, kind.kind, meta["name"], why)
