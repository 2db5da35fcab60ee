"""What a plan may do: five verbs, with the kind of object as data. Pure.

A new kind, or a new reason to write, is a value and no new class; what is meant has a named constructor here. Every
write of an object that exists names its UID (and, where the decision rests on more, the version it was made on), so a
stale view can change no successor. How each verb is carried out, and why it is safe to repeat, is ``reconciling``'s.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

from rayfleet.model.events import EventType
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of, uid_of, version_of

STATUS = "status"
NAME_MARK = "{name}"
KEY_MARK = "{key}"
"""Stand in the message of an action's event for the written object's name, and ``namespace/name``."""


class Verb(StrEnum):
    """What an API server is asked for; the values are those of a Role's rules."""

    CREATE = "create"
    PATCH = "patch"
    DELETE = "delete"
    UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """A verb on a resource, or on a part of it that has a ``subresource`` of its own."""

    verb: Verb
    resource: ResourceType
    subresource: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """An object that exists, as it was seen. ``resource_version`` empty: any version will do."""

    key: ObjectKey
    uid: str
    resource_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell the user about the object that was planned for.

    ``is_said_once``: not again while neither its words nor the object's generation change; for what no status holds.
    """

    type: EventType = EventType.NORMAL
    reason: str
    message: str
    is_said_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Create an object; that it is there already, with the same controller, is success.

    ``event`` is told when it is there.
    """

    resource: ResourceType
    manifest: ReadOnlyJson
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTogether:
    """Create several objects of a kind at once; ``event`` is told for each that is there."""

    resource: ResourceType
    manifests: tuple[ReadOnlyJson, ...]
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Merge ``patch`` (RFC 7386) into exactly the object that was seen."""

    resource: ResourceType
    ref: ObjectRef
    patch: ReadOnlyJson
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """Delete exactly the object that was seen; that it is gone already is success."""

    resource: ResourceType
    ref: ObjectRef
    propagation: Propagation = Propagation.BACKGROUND
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """Replace a part that has a subresource of its own, so that what is left out goes.

    Only of exactly the object that was seen. ``content`` is the whole ``status``; for another subresource (a
    namespace's ``finalize``) the whole object. ``may_wait``: it may be left out now, for a later one that tells more.
    """

    resource: ResourceType
    ref: ObjectRef
    content: ReadOnlyJson
    subresource: str = STATUS
    may_wait: bool = False


Action = Create | CreateTogether | Merge | Delete | Replace


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFailure:
    """A write of this very pass that was refused for good (quota, webhook): its plan becomes a condition of the status.

    The pass plans again with it; a planner that is given one returns nothing but the write of a status, and events.
    """

    action: Action
    message: str


def permission_of(action: Action) -> Permission:
    """Return what a Role must allow for an action."""
    match action:
        case Create() | CreateTogether():
            return Permission(verb=Verb.CREATE, resource=action.resource)
        case Merge():
            return Permission(verb=Verb.PATCH, resource=action.resource)
        case Delete():
            return Permission(verb=Verb.DELETE, resource=action.resource)
        case Replace(subresource=subresource):
            verb = Verb.PATCH if subresource == STATUS else Verb.UPDATE
            return Permission(verb=verb, resource=action.resource, subresource=subresource)


def status_permission(resource: ResourceType) -> Permission:
    """Return what a Role must allow for a kind's status to be replaced."""
    return Permission(verb=Verb.PATCH, resource=resource, subresource=STATUS)


def permissions(resource: ResourceType, *verbs: Verb) -> frozenset[Permission]:
    """Return several verbs on one resource."""
    return frozenset(Permission(verb=verb, resource=resource) for verb in verbs)


def ref_of(raw: ReadOnlyJson, *, at_this_version: bool = False) -> ObjectRef:
    """Return the reference to an object as the API server gave it."""
    return ObjectRef(key=key_of(raw), uid=uid_of(raw), resource_version=version_of(raw) if at_this_version else "")


def ref_to(meta: ObjectMeta, *, at_this_version: bool = False) -> ObjectRef:
    """Return the reference to an object that was decoded."""
    return ObjectRef(key=meta.key, uid=meta.uid, resource_version=meta.resource_version if at_this_version else "")


def scaled(resource: ResourceType, ref: ObjectRef, replicas: int, annotations: Mapping[str, str]) -> Merge:
    """Return the write of ``spec.replicas`` and, in the same write, of annotations."""
    patch: Json = {"metadata": {"annotations": dict(annotations)}, "spec": {"replicas": replicas}}
    return Merge(resource=resource, ref=ref, patch=patch)


def status_replaced(resource: ResourceType, ref: ObjectRef, status: ReadOnlyJson, *, may_wait: bool = False) -> Replace:
    """Return the write of the whole status."""
    return Replace(resource=resource, ref=ref, content=status, may_wait=may_wait)


def writes_status(action: Action) -> TypeGuard[Replace]:
    """Whether an action says how its object stands, and does nothing else."""
    return isinstance(action, Replace) and action.subresource == STATUS


def in_batches(
    resource: ResourceType, manifests: Sequence[ReadOnlyJson], event: Event | None = None
) -> Iterator[CreateTogether]:
    """Cut creates into batches of 1, 2, 4, ...: a quota that is full is met once, not a hundred times."""
    start, size = 0, 1
    while start < len(manifests):
        batch = tuple(manifests[start : start + size])
        yield CreateTogether(resource=resource, manifests=batch, event=event)
        start, size = start + size, size * 2


def described(action: Action) -> str:
    """Return an action in one line, for transcripts and dry runs: ``merge RayClusterFleet/x {...}``."""
    kind = action.resource.kind
    match action:
        case Create(manifest=manifest):
            return f"create {kind}/{_name_of_new(manifest)}"
        case CreateTogether(manifests=manifests):
            return f"create together {kind}/{', '.join(_name_of_new(manifest) for manifest in manifests)}"
        case Merge(ref=ref, patch=patch):
            return f"merge {kind}/{ref.key.name} {_flat(patch)}"
        case Delete(ref=ref, propagation=propagation):
            return f"delete {kind}/{ref.key.name} ({propagation.value.lower()})"
        case Replace(ref=ref, content=content, subresource=subresource):
            return f"{subresource} {kind}/{ref.key.name} {_flat(content)}"


def _name_of_new(manifest: ReadOnlyJson) -> str:
    meta = manifest["metadata"]
    return str(meta.get("name") or f"{meta.get('generateName', '')}*")


def _flat(part: ReadOnlyJson) -> str:
    """Return fields with their paths: ``spec.replicas=3 metadata.annotations.a=b``."""
    return " ".join(f"{path}={value}" for path, value in _leaves(part, ""))


def _leaves(part: ReadOnlyJson, path: str) -> Iterator[tuple[str, object]]:
    for name, value in part.items():
        inner = f"{path}.{name}" if path else name
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, inner)
        else:
            yield inner, value
