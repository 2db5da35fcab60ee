"""What every manifest of ours has: apiVersion, kind, metadata. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rayfleet.manifest.checking import NAME_PATTERN, child_path, schema_errors, shown
from rayfleet.manifest.schema import RAY_CLUSTER_NAME_LETTERS
from rayfleet.model.errors import FieldError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import ResourceType
from rayfleet.objects.parts import mapping

_TEXT_MAP: Json = {"type": "object", "additionalProperties": {"type": "string"}}


def subject_of(raw: ReadOnlyJson, resource: ResourceType) -> str:
    """Return what a message calls the object: ``RayClusterFleet default/qwen``."""
    meta = mapping(raw.get("metadata"))
    return f"{resource.kind} {meta.get('namespace') or 'default'}/{meta.get('name') or '(no name)'}"


def envelope_errors(raw: ReadOnlyJson, resource: ResourceType, name_letters: int) -> Iterator[FieldError]:
    """Return what is wrong around ``spec``; a name may have at most ``name_letters``."""
    for field, expected in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if raw.get(field) != expected:
            yield FieldError(path=field, message=f"{shown(raw.get(field))} is not {expected}")
    meta = raw.get("metadata")
    if not isinstance(meta, dict):
        yield FieldError(path="metadata", message="must be given")
    else:
        yield from _name_errors(meta.get("name"), name_letters)
        for field in ("labels", "annotations"):
            if meta.get(field) is not None:
                yield from schema_errors(meta[field], _TEXT_MAP, child_path("metadata", field))
    if not isinstance(raw.get("spec"), dict):
        message = "must be given" if raw.get("spec") is None else f"{shown(raw['spec'])} is not a mapping"
        yield FieldError(path="spec", message=message)


def is_same_envelope(before: ReadOnlyJson, after: ReadOnlyJson) -> bool:
    """Whether two versions of an object are the same in all that is held to rules around ``spec``, or read for it."""
    one, other = mapping(before.get("metadata")), mapping(after.get("metadata"))
    return all(before.get(field) == after.get(field) for field in ("apiVersion", "kind")) and all(
        one.get(field) == other.get(field) for field in ("name", "labels", "annotations")
    )


def is_wrong_at(errors: Sequence[FieldError], path: str) -> bool:
    """Whether an error was found at ``path`` or below it."""
    return any(error.path == path or error.path.startswith((f"{path}.", f"{path}[")) for error in errors)


def _name_errors(name: Any, letters: int) -> Iterator[FieldError]:
    path = "metadata.name"
    if not isinstance(name, str) or not name:
        yield FieldError(path=path, message="must be given")
        return
    if len(name) > letters:
        suffix = RAY_CLUSTER_NAME_LETTERS - letters
        message = (
            f"{shown(name)} has {len(name)} letters, at most {letters} are allowed: its RayClusters have names"
            f" {suffix} letters longer, and KubeRay takes {RAY_CLUSTER_NAME_LETTERS}"
        )
        yield FieldError(path=path, message=message)
    if not re.fullmatch(NAME_PATTERN, name):
        message = (
            "is no DNS-1035 name (lower-case letters, digits and '-', beginning with a letter): KubeRay takes no other"
        )
        yield FieldError(path=path, message=f"{shown(name)} {message}")
