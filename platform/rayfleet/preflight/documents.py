"""What documents say of themselves, before any server has filled something in. Pure."""

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects import meta
from rayfleet.objects.parts import part

DEFAULT_NAMESPACE = "default"


def namespace_of(raw: ReadOnlyJson) -> str:
    """Return the namespace that an object will be in when nobody says another."""
    return meta.namespace_of(raw) or DEFAULT_NAMESPACE


def spoken(raw: ReadOnlyJson) -> str:
    """Return what a message calls an object: ``RayClusterFleet default/qwen``."""
    return f"{meta.kind_of(raw)} {namespace_of(raw)}/{meta.name_of(raw) or '(no name)'}"


def in_namespace(raw: ReadOnlyJson, namespace: str) -> Json:
    """Return the object in ``namespace`` when it names none; an object without metadata as it is."""
    metadata = part(raw, "metadata")
    is_placed = bool(meta.namespace_of(raw)) or not metadata
    return dict(raw) if is_placed else {**raw, "metadata": {**metadata, "namespace": namespace}}
