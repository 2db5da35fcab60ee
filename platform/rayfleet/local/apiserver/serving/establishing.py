"""Keeps the registry in step with the stored CustomResourceDefinitions. Edge: storage and registry.

On a real server this takes three controllers and some milliseconds; here a definition is accepted right after the write
that made it, and its objects go right after the write that marked it as being deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.apiserver.grammar.times import timestamp
from rayfleet.local.apiserver.kinds.builtin.fields import MetadataFields
from rayfleet.local.apiserver.kinds.custom.definition import accepted_status, is_established, kinds_of
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.serving.registry import Registry
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.storage.storage import Storage
from rayfleet.local.apiserver.writes.deletion import DEFINITION_CLEANUP, DeleteOptions, Deleter
from rayfleet.local.apiserver.writes.writing import Writer
from rayfleet.model.meta import JsonObject

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"


@dataclass(slots=True, kw_only=True)
class Definitions:
    """Called after every write and removal of any object."""

    storage: Storage
    registry: Registry
    metadata: MetadataFields
    now: Callable[[], datetime]

    def load(self) -> None:
        """Serve what the stored definitions say; for the start."""
        for stored in self.storage.items(DEFINITIONS):
            if is_established(stored.object):
                self._serve(stored.object)

    def settled(self, kind: Kind, stored: Stored, writer: Writer, deleter: Deleter) -> None:
        """Act on a write: accept a definition, or begin to clear one away."""
        if kind.storage_name != DEFINITIONS:
            return
        definition = stored.object
        if definition["metadata"].get("deletionTimestamp"):
            self._clear(kind, stored, writer, deleter)
            return
        status = accepted_status(definition, self._clashes(definition), timestamp(self.now()))
        if status != definition.get("status"):
            new = stored.copy()
            new["status"] = status
            stored = self.storage.write(DEFINITIONS, stored.key, new)
        if is_established(stored.object):
            self._serve(stored.object)

    def gone(self, kind: Kind, stored: Stored, writer: Writer) -> None:
        """Act on a removal: of a definition, or of the last object of one that is being deleted."""
        if kind.storage_name == DEFINITIONS:
            self.registry.withdraw(stored.key[1])
            return
        if not kind.is_custom:
            return
        definition = self.storage.get(DEFINITIONS, ("", f"{kind.plural}.{kind.group}"))
        if definition is not None and definition.object["metadata"].get("deletionTimestamp"):
            owner = self.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
            self._finish(owner, definition, writer)

    def is_terminating(self, kind: Kind) -> bool:
        """Whether the definition of ``kind`` is being deleted, so that no object of it may be made."""
        if not kind.is_custom:
            return False
        definition = self.storage.get(DEFINITIONS, ("", f"{kind.plural}.{kind.group}"))
        return definition is not None and bool(definition.object["metadata"].get("deletionTimestamp"))

    def _serve(self, definition: JsonObject) -> None:
        self.registry.serve(definition["metadata"]["name"], kinds_of(definition, self.metadata))

    def _clashes(self, definition: JsonObject) -> dict[str, str]:
        """Return which names another definition of the group has taken."""
        spec = definition["spec"]
        found: dict[str, str] = {}
        for stored in self.storage.items(DEFINITIONS):
            other = stored.object
            if other["spec"]["group"] != spec["group"] or other["metadata"]["name"] == definition["metadata"]["name"]:
                continue
            taken = (other.get("status") or {}).get("acceptedNames") or {}
            for field in ("singular", "kind", "listKind"):
                if spec["names"].get(field) and spec["names"][field] == taken.get(field):
                    found[field] = f'"{taken[field]}" is already in use'
            for short in spec["names"].get("shortNames") or ():
                if short in (taken.get("shortNames") or ()):
                    found["shortNames"] = f'"{short}" is already in use'
        return found

    def _clear(self, kind: Kind, stored: Stored, writer: Writer, deleter: Deleter) -> None:
        for instance_kind in self.registry.of_definition(stored.key[1])[:1]:
            for each in self.storage.items(instance_kind.storage_name):
                if not each.object["metadata"].get("deletionTimestamp"):
                    deleter.delete(instance_kind, each.key, DeleteOptions())
        current = self.storage.get(DEFINITIONS, stored.key)
        if current is not None:
            self._finish(kind, current, writer)

    def _finish(self, kind: Kind, stored: Stored, writer: Writer) -> None:
        """Take the server's own finalizer off a definition without objects.

        The definition goes when it was the last.
        """
        spec = stored.object["spec"]
        finalizers = stored.object["metadata"].get("finalizers") or []
        if self.storage.items(f"{spec['group']}/{spec['names']['plural']}") or DEFINITION_CLEANUP not in finalizers:
            return
        rest = [each for each in finalizers if each != DEFINITION_CLEANUP]
        if rest:
            new = stored.copy()
            new["metadata"]["finalizers"] = rest
            self.storage.write(DEFINITIONS, stored.key, new)
            return
        last = self.storage.remove(DEFINITIONS, stored.key)
        writer.gone(kind, last)
