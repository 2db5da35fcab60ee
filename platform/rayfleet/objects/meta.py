"""``metadata``: keys, names, labels, deletion; as ``ObjectMeta``. Pure.

Reading is lenient: an API server gave the object, so its metadata has the right types; what is missing is empty.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.objects.owners import controller_uid
from rayfleet.objects.parts import mapping
from rayfleet.objects.times import decode_time


def key_of(raw: ReadOnlyJson) -> ObjectKey:
    """Return where an object lies; the namespace of a cluster-scoped one is empty. Raises KeyError without a name."""
    meta = raw["metadata"]
    return ObjectKey(namespace=meta.get("namespace") or "", name=meta["name"])


def kind_of(raw: ReadOnlyJson) -> str:
    """Return the object's kind, empty without one."""
    return str(raw.get("kind") or "")


def name_of(raw: ReadOnlyJson) -> str:
    """Return the object's name, empty before it has one."""
    return str(mapping(raw.get("metadata")).get("name") or "")


def namespace_of(raw: ReadOnlyJson) -> str:
    """Return the object's namespace, empty for a cluster-scoped one."""
    return str(mapping(raw.get("metadata")).get("namespace") or "")


def uid_of(raw: ReadOnlyJson) -> str:
    """Return the object's UID, empty before an API server has given it one."""
    return str(mapping(raw.get("metadata")).get("uid") or "")


def version_of(raw: ReadOnlyJson) -> str:
    """Return the object's resourceVersion, empty before an API server has given it one."""
    return str(mapping(raw.get("metadata")).get("resourceVersion") or "")


def generation_of(raw: ReadOnlyJson) -> int:
    """Return the generation of the object's spec, 0 for kinds that have none."""
    return int(mapping(raw.get("metadata")).get("generation") or 0)


def labels_of(raw: ReadOnlyJson) -> Mapping[str, str]:
    """Return the object's labels (also those of a pod template)."""
    return mapping(mapping(raw.get("metadata")).get("labels"))


def annotations_of(raw: ReadOnlyJson) -> Mapping[str, str]:
    """Return the object's annotations (also those of a pod template)."""
    return mapping(mapping(raw.get("metadata")).get("annotations"))


def label(raw: ReadOnlyJson, name: str) -> str:
    """Return a label's value, empty without it."""
    return str(labels_of(raw).get(name) or "")


def annotation(raw: ReadOnlyJson, name: str) -> str:
    """Return an annotation's value, empty without it."""
    return str(annotations_of(raw).get(name) or "")


def without_labels(raw: ReadOnlyJson, names: Collection[str]) -> Json:
    """Return an object (or pod template) without these labels, nor what that leaves empty."""
    kept = {name: value for name, value in labels_of(raw).items() if name not in names}
    if kept == labels_of(raw):
        return dict(raw)
    return _with_part(raw, "metadata", _with_part(mapping(raw.get("metadata")), "labels", kept))


def _with_part(raw: ReadOnlyJson, name: str, part: Json) -> Json:
    """Return ``raw`` with another part, without it when that is empty."""
    return {**raw, name: part} if part else {each: value for each, value in raw.items() if each != name}


def is_terminating(raw: ReadOnlyJson) -> bool:
    """Whether somebody has asked for the object's deletion."""
    return bool(mapping(raw.get("metadata")).get("deletionTimestamp"))


def finalizers_of(raw: ReadOnlyJson) -> tuple[str, ...]:
    """Return what holds the object after its deletion was asked for, in order."""
    return tuple(mapping(raw.get("metadata")).get("finalizers") or ())


def created_at(raw: ReadOnlyJson) -> datetime | None:
    """Return when an API server stored the object first."""
    return decode_time(mapping(raw.get("metadata")).get("creationTimestamp"))


def deleted_at(raw: ReadOnlyJson) -> datetime | None:
    """Return the object's deletionTimestamp: of a pod, when its grace period is over."""
    return decode_time(mapping(raw.get("metadata")).get("deletionTimestamp"))


def decode_meta(raw: ReadOnlyJson) -> ObjectMeta:
    """Return the metadata of any object."""
    meta = mapping(raw.get("metadata"))
    return ObjectMeta(
        name=meta.get("name", ""),
        namespace=meta.get("namespace") or "default",
        uid=meta.get("uid", ""),
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        labels=labels_of(raw),
        annotations=annotations_of(raw),
        owner_uid=controller_uid(raw),
        created_at=created_at(raw),
        deleted_at=deleted_at(raw),
    )
