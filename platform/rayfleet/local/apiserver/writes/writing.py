"""Creating and changing objects: the one path that every write of an object takes. Edge: the storage.

decode -> drop and report unknown fields -> defaults -> admission -> metadata -> validation -> store. Every step refuses
by raising ``Refusal``; nothing is stored then, and a dry run stops before the store.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import uuid4

from rayfleet.local.apiserver.grammar.names import changed_metadata_problems, metadata_problems
from rayfleet.local.apiserver.grammar.refusal import (
    Cause,
    Refusal,
    already_exists,
    bad_request,
    forbidden,
    invalid,
    invalid_object,
    not_found,
    required,
)
from rayfleet.local.apiserver.kinds.kind import Kind, Review
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.local.apiserver.storage.storage import Key, Storage
from rayfleet.local.apiserver.writes.applying import Configuration, applied, applier_named, left_out_fields
from rayfleet.local.apiserver.writes.comparing import first_type_problem
from rayfleet.local.apiserver.writes.configurations import (
    Shapes,
    check_configuration,
    check_expected,
    shape_of_nothing,
)
from rayfleet.local.apiserver.writes.metadata import (
    check_identity,
    check_update,
    keep_servers_own,
    placed,
    raise_generation,
    should_go,
    stamp_new,
)
from rayfleet.local.apiserver.writes.owners import (
    UPDATE,
    Manager,
    Owners,
    inherited_owners,
    is_same_but_for_times,
    keep_owners,
    owners_after_update,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import is_terminating

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # as Kubernetes': no vowels, so no words
NAMESPACES = "/namespaces"


class FieldValidation(Enum):
    """What happens to unknown and repeated fields."""

    IGNORE = "Ignore"
    WARN = "Warn"
    STRICT = "Strict"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """The query of a write; ``duplicates`` are the fields that the body gave twice."""

    is_dry_run: bool = False
    validation: FieldValidation = FieldValidation.WARN
    duplicates: Sequence[str] = ()
    manager: str = "unknown"
    """Who writes, for ``managedFields``."""
    subresource: str = ""
    is_forced: bool = False
    """An apply takes the fields of others too."""
    owners: Owners | None = None
    """Who owns what after this write, where an apply has found that out; None: whoever writes has what it changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The object after a write; ``warnings`` go into headers."""

    object: ReadOnlyJson
    is_new: bool = False
    warnings: tuple[str, ...] = ()


class Aftermath(Protocol):
    """What a write brings about beyond its object: which kinds are served depends on the stored definitions."""

    def written(self, kind: Kind, stored: Stored) -> None:
        """Act on what was stored just now."""

    def removed(self, kind: Kind, stored: Stored) -> None:
        """Act on what was removed just now; ``stored`` was its last state."""

    def dependents(self, kind: Kind, stored: Stored) -> Sequence[tuple[Kind, Key]]:
        """Return what must be deleted now, because ``stored`` is being deleted."""


@dataclass(slots=True, kw_only=True)
class Writer:
    """Creates and changes objects of any kind."""

    storage: Storage
    now: Callable[[], datetime]
    aftermath: Aftermath
    shapes: Shapes
    _random: random.Random = field(default_factory=random.SystemRandom)

    def create(self, kind: Kind, namespace: str, manifest: ReadOnlyJson, options: WriteOptions) -> Written:
        """Store a new object. Raises Refusal: 400, 403, 404 (namespace), 409, 422."""
        check_identity(kind, manifest)
        cleaned, warnings = self._cleaned(kind, manifest, options)
        new = placed(kind, cleaned, namespace)
        if new["metadata"].get("resourceVersion"):
            raise Refusal(500, "", "resourceVersion should not be set on objects to be created")
        self.check_namespace(kind, namespace, new["metadata"].get("name", ""))
        if kind.rules.own_status_on_create:
            new.pop("status", None)
        kind.fields.fill(new)
        keep_owners(new, self._owners(kind, None, new, options))
        suffix = "".join(self._random.choices(_SUFFIX_LETTERS, k=5))
        stamp_new(kind, new, uid=str(uuid4()), now=self.now(), suffix=suffix)
        if not new["metadata"].get("name"):
            raise invalid_object(
                kind.group, kind.kind, "", [required("metadata.name", "name or generateName is required")]
            )
        kind.rules.prepare(new, None)
        self._check(kind, new, None)
        key = (namespace if kind.is_namespaced else "", new["metadata"]["name"])
        if self.storage.get(kind.storage_name, key) is not None:
            raise already_exists(kind.group, kind.plural, key[1])
        if options.is_dry_run:
            return Written(object=new, is_new=True, warnings=warnings)
        stored = self.storage.write(kind.storage_name, key, new)
        self.aftermath.written(kind, stored)
        return Written(object=stored.object, is_new=True, warnings=warnings)

    def reviewed(self, kind: Kind, manifest: ReadOnlyJson, options: WriteOptions, review: Review) -> Written:
        """Answer an object that asks something; nothing is stored. Raises Refusal: 400, 422."""
        check_identity(kind, manifest)
        cleaned, warnings = self._cleaned(kind, manifest, options)
        asked = {"apiVersion": kind.api_version, "kind": kind.kind, **cleaned}
        asked.setdefault("metadata", {})
        return Written(object=review(asked, self.now()), is_new=True, warnings=warnings)

    def replace(self, kind: Kind, key: Key, manifest: ReadOnlyJson, options: WriteOptions, part: str = "") -> Written:
        """Store a changed object; ``part`` is a subresource (``status``, ``finalize``).

        Raises Refusal: 400, 404, 409, 422.
        """
        check_identity(kind, manifest)
        cleaned, warnings = self._cleaned(kind, manifest, options)
        new = placed(kind, cleaned, key[0])
        if new["metadata"].setdefault("name", key[1]) != key[1]:
            raise bad_request(
                f"the name of the object ({new['metadata']['name']}) does not match the name on the URL ({key[1]})"
            )
        stored = self.storage.get(kind.storage_name, key)
        if stored is None:
            if part or not kind.rules.creates_on_update:
                raise not_found(kind.group, kind.plural, key[1])
            return self.create(kind, key[0], manifest, options)
        return self._change(kind, stored, new, options, part=part, warnings=warnings)

    def patch(
        self,
        kind: Kind,
        key: Key,
        patched: Callable[[ReadOnlyJson], Json],
        options: WriteOptions,
        part: str = "",
    ) -> Written:
        """Store what ``patched`` makes of the object. Raises Refusal as ``replace``."""
        stored = self.storage.get(kind.storage_name, key)
        if stored is None:
            raise not_found(kind.group, kind.plural, key[1])
        before = shown_as(kind, stored.object)
        changed = patched(before)
        cleaned, warnings = self._decoded_patch(kind, changed, options)
        new = placed(kind, cleaned, key[0])
        if (name := new["metadata"].get("name", "")) != key[1]:
            raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({key[1]})")
        if new["metadata"].get("uid", before["metadata"]["uid"]) != before["metadata"]["uid"]:
            cause = invalid("metadata.uid", new["metadata"]["uid"], "field is immutable")
            raise invalid_object(kind.group, kind.kind, key[1], [cause])
        if before["metadata"].get("resourceVersion") and not new["metadata"].get("resourceVersion"):
            new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        return self._change(kind, stored, new, options, part=part, warnings=warnings)

    def apply(self, kind: Kind, key: Key, config: ReadOnlyJson, options: WriteOptions, part: str = "") -> Written:
        """Store what an applied configuration makes of the object, or of nothing.

        Raises Refusal: 400, 404, 409, 422; 500 for what the schema does not know, as a real server does.
        """
        shape = self.shapes.of(kind)
        check_configuration(kind, key, config, first_type_problem(shape, config))
        stored = self.storage.get(kind.storage_name, key)
        if stored is None and part:
            raise not_found(kind.group, kind.plural, key[1])
        check_expected(kind, key, config, is_there=stored is not None)
        live = shape_of_nothing(kind, shape) if stored is None else shown_as(kind, stored.object)
        typed, _ = kind.fields.clean(config)
        configuration = Configuration(sent=config, typed=typed, left_out=left_out_fields(kind, part))
        applier = applier_named(options.manager, part)
        result = applied(shape, live, configuration, applier, force=options.is_forced, now=self.now())
        options = replace(options, owners=result.owners)
        if stored is None:
            result.object["metadata"].pop("resourceVersion", None)
            result.object["metadata"].setdefault("name", key[1])
            return self.create(kind, key[0], result.object, options)
        return self._change(kind, stored, placed(kind, result.object, key[0]), options, part=part, warnings=())

    def mutate(self, kind: Kind, stored: Stored, new: ReadOnlyJson) -> Stored:
        """Store a change that the server itself makes; nothing is checked."""
        changed = self.storage.write(kind.storage_name, stored.key, new)
        self.aftermath.written(kind, changed)
        return changed

    def remove(self, kind: Kind, stored: Stored) -> None:
        """Remove an object that is there; nothing is checked."""
        self.storage.remove(kind.storage_name, stored.key)
        self.aftermath.removed(kind, stored)

    def check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        """Raise Refusal (404, 403) unless objects may be created in ``namespace``."""
        if not kind.is_namespaced:
            return
        place = self.storage.get(NAMESPACES, ("", namespace))
        if place is None:
            raise not_found("", "namespaces", namespace)
        if is_terminating(place.object):
            cause = Cause(
                field="metadata.namespace",
                reason="NamespaceTerminating",
                message=f"namespace {namespace} is being terminated",
            )
            raise forbidden(
                kind.group,
                kind.plural,
                name,
                f"unable to create new content in namespace {namespace} because it is being terminated",
                [cause],
            )

    def _change(
        self,
        kind: Kind,
        stored: Stored,
        new: ReadOnlyJson,
        options: WriteOptions,
        *,
        part: str,
        warnings: tuple[str, ...],
    ) -> Written:
        old = shown_as(kind, stored.object)
        check_update(kind, new, old)
        new = _merged(kind, new, old, part)
        keep_servers_own(new, old)
        kind.fields.fill(new)
        keep_owners(new, self._owners(kind, old, new, options))
        if part != "finalize":
            kind.rules.prepare(new, old)
        raise_generation(kind, new, old)
        self._check(kind, new, old)
        if is_same_but_for_times(new, old):
            return Written(object=old, warnings=warnings)
        if options.is_dry_run:
            return Written(object=new, warnings=warnings)
        if should_go(kind, new):
            self.remove(kind, stored)
            return Written(object=new, warnings=warnings)
        return Written(object=self.mutate(kind, stored, new).object, warnings=warnings)

    def _owners(self, kind: Kind, old: ReadOnlyJson | None, new: ReadOnlyJson, options: WriteOptions) -> Owners:
        """Return who owns what of ``new``; an object that is there and has no owners has none from now on either."""
        if options.owners is not None:
            return options.owners
        shape = self.shapes.of(kind)
        before = shape_of_nothing(kind, shape) if old is None else old
        owners = inherited_owners(new, before)
        if not owners and old is not None:
            return owners
        manager = Manager(
            name=options.manager, operation=UPDATE, api_version=kind.api_version, subresource=options.subresource
        )
        return owners_after_update(shape, before, new, owners, manager, self.now())

    def _decoded_patch(self, kind: Kind, changed: ReadOnlyJson, options: WriteOptions) -> tuple[Json, tuple[str, ...]]:
        """Return the patched object as ``_cleaned`` does; what cannot be decoded is the patch's fault, and 422."""
        try:
            check_identity(kind, changed)
            return self._cleaned(kind, changed, options)
        except Refusal as refusal:
            if refusal.code != 400:
                raise
            cause = Cause(field="patch", reason="FieldValueInvalid", message=f"Invalid value: {refusal.message}")
            raise invalid_object("", "", "", [cause]) from refusal

    def _cleaned(self, kind: Kind, manifest: ReadOnlyJson, options: WriteOptions) -> tuple[Json, tuple[str, ...]]:
        cleaned, unknown = kind.fields.clean(manifest)
        if options.validation is FieldValidation.IGNORE:
            return cleaned, ()
        complaints = [f'unknown field "{path}"' for path in unknown]
        complaints += [f'duplicate field "{path}"' for path in options.duplicates]
        if complaints and options.validation is FieldValidation.STRICT:
            raise bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: '
                + ", ".join(complaints)
            )
        return cleaned, tuple(complaints)

    def _check(self, kind: Kind, new: ReadOnlyJson, old: ReadOnlyJson | None) -> None:
        if old is None:
            causes = metadata_problems(new["metadata"], kind.rules.name_problem, is_namespaced=kind.is_namespaced)
        else:
            causes = changed_metadata_problems(new["metadata"], old["metadata"])
        causes += kind.fields.problems(new, old)
        causes += kind.rules.problems(new, old)
        if causes:
            raise invalid_object(kind.group, kind.kind, new["metadata"]["name"], causes)


def shown_as(kind: Kind, manifest: ReadOnlyJson) -> ReadOnlyJson:
    """Return the object in the version of ``kind``; versions differ in their name only."""
    return manifest if manifest["apiVersion"] == kind.api_version else {**manifest, "apiVersion": kind.api_version}


def _merged(kind: Kind, new: ReadOnlyJson, old: ReadOnlyJson, part: str) -> Json:
    """Return what a write to ``part`` may change: status only its own, everything else all but the status."""
    match part:
        case "status":
            meta = dict(old["metadata"] if kind.is_custom else new["metadata"])
            kept = {key: value for key, value in old.items() if key not in ("status", "metadata")}
            status = {"status": new["status"]} if "status" in new else {}
            if not kind.is_custom:
                meta["ownerReferences"] = old["metadata"].get("ownerReferences")
                meta = {key: value for key, value in meta.items() if value is not None}
            return {**kept, "metadata": meta, **status}
        case "finalize":
            return {**old, "metadata": dict(old["metadata"]), "spec": {**old["spec"], **_finalizers(new)}}
        case _:
            result = dict(new)
            if kind.has_status:
                result.pop("status", None)
                if "status" in old:
                    result["status"] = old["status"]
            return result


def _finalizers(new: ReadOnlyJson) -> Json:
    return {"finalizers": list(new.get("spec", {}).get("finalizers") or [])}
