"""Keeps the registry in step with the stored CustomResourceDefinitions. Edge: storage and registry.

On a real server this takes three controllers and some milliseconds; here a definition is accepted right after the write
that made it, and its objects go right after the write that marked it as being deleted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from rayfleet.local.apiserver.kinds.custom.definition import (
    CLEANUP_FINALIZER,
    accepted_status,
    is_established,
    kinds_of,
)
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.metadata_fields import MetadataFields
from rayfleet.local.apiserver.serving.registry import Registry
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.storage.storage import Key, Storage
from rayfleet.local.apiserver.writes.writing import Aftermath
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import is_terminating
from rayfleet.objects.times import encode_time

DEFINITIONS = "apiextensions.k8s.io/customresourcedefinitions"


@dataclass(slots=True, kw_only=True)
class Definitions:
    """Called after every write and removal of any object (an ``Aftermath``)."""

    storage: Storage
    registry: Registry
    metadata: MetadataFields
    now: Callable[[], datetime]

    def load(self) -> None:
        """Serve what the stored definitions say; for the start."""
        for stored in self.storage.items(DEFINITIONS):
            if is_established(stored.object):
                self._serve(stored.object)

    def written(self, kind: Kind, stored: Stored) -> None:
        """Act on a write: accept a definition, or let it go when it is being deleted and the last object is gone."""
        if kind.storage_name != DEFINITIONS:
            return
        definition = stored.object
        if is_terminating(definition):
            self._finish(kind, stored)
            return
        status = accepted_status(definition, self._clashes(definition), encode_time(self.now()))
        if status != definition.get("status"):
            new = stored.copy()
            new["status"] = status
            stored = self.storage.write(DEFINITIONS, stored.key, new)
        if is_established(stored.object):
            self._serve(stored.object)

    def removed(self, kind: Kind, stored: Stored) -> None:
        """Act on a removal: of a definition, or of the last object of one that is being deleted."""
        if kind.storage_name == DEFINITIONS:
            self.registry.withdraw(stored.key[1])
            return
        definition = self._definition_of(kind)
        if definition is not None and is_terminating(definition.object):
            owner = self.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
            self._finish(owner, definition)

    def dependents(self, kind: Kind, stored: Stored) -> Sequence[tuple[Kind, Key]]:
        """Return the objects of a definition that is being deleted; those that are being deleted already left out."""
        if kind.storage_name != DEFINITIONS:
            return ()
        return [
            (served, each.key)
            for served in self.registry.of_definition(stored.key[1])[:1]  # its versions share their objects
            for each in self.storage.items(served.storage_name)
            if not is_terminating(each.object)
        ]

    def is_terminating(self, kind: Kind) -> bool:
        """Whether the definition of ``kind`` is being deleted, so that no object of it may be made."""
        definition = self._definition_of(kind)
        return definition is not None and is_terminating(definition.object)

    def _definition_of(self, kind: Kind) -> Stored | None:
        if not kind.is_custom:
            return None
        return self.storage.get(DEFINITIONS, ("", f"{kind.plural}.{kind.group}"))

    def _serve(self, definition: ReadOnlyJson) -> None:
        """Serve the kinds of a definition; what is stored is read by its schema: pruned, with defaults."""
        name = definition["metadata"]["name"]
        self.registry.serve(name, kinds_of(definition, self.metadata))
        for kind in self.registry.of_definition(name):
            if kind.version == kind.storage_version:
                self.storage.read_again(kind.storage_name, partial(_as_read, kind))

    def _clashes(self, definition: ReadOnlyJson) -> dict[str, str]:
        """Return which names another definition of the group has taken."""
        spec = definition["spec"]
        clashes: dict[str, str] = {}
        for stored in self.storage.items(DEFINITIONS):
            other = stored.object
            if other["spec"]["group"] != spec["group"] or other["metadata"]["name"] == definition["metadata"]["name"]:
                continue
            taken = (other.get("status") or {}).get("acceptedNames") or {}
            for field in ("singular", "kind", "listKind"):
                if spec["names"].get(field) and spec["names"][field] == taken.get(field):
                    clashes[field] = f'"{taken[field]}" is already in use'
            for short in spec["names"].get("shortNames") or ():
                if short in (taken.get("shortNames") or ()):
                    clashes["shortNames"] = f'"{short}" is already in use'
        return clashes

    def _finish(self, kind: Kind, stored: Stored) -> None:
        """Take the server's own finalizer off a definition without objects.

        The definition goes when it was the last.
        """
        spec = stored.object["spec"]
        finalizers = stored.object["metadata"].get("finalizers") or []
        if self.storage.items(f"{spec['group']}/{spec['names']['plural']}") or CLEANUP_FINALIZER not in finalizers:
            return
        rest = [each for each in finalizers if each != CLEANUP_FINALIZER]
        if rest:
            new = stored.copy()
            new["metadata"]["finalizers"] = rest
            self.storage.write(DEFINITIONS, stored.key, new)
            return
        self.removed(kind, self.storage.remove(DEFINITIONS, stored.key))


def _as_read(kind: Kind, manifest: Json) -> Json:
    cleaned, _ = kind.fields.clean(manifest)
    kind.fields.fill(cleaned)
    return cleaned


_: type[Aftermath] = Definitions
