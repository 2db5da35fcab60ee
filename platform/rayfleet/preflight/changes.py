"""What differs between two states of an object, field by field. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rayfleet.manifest.checking import child_path, shown
from rayfleet.manifest.structural import is_same
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.labels import LAST_APPLIED_ANNOTATION
from rayfleet.objects.parts import part

_ABSENT = object()
# What a server notes of an object; the rest of metadata is a person's.
_SERVERS = frozenset(
    {"resourceVersion", "generation", "managedFields", "uid", "creationTimestamp", "selfLink", "namespace"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A field with its values as a person would write them, ``(none)`` where there is none."""

    path: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.path}: {self.before} -> {self.after}"


def changes(before: ReadOnlyJson, after: ReadOnlyJson) -> list[Change]:
    """Return the fields that differ, in the order of ``before``; not the status, nor what a server notes of a write."""
    return list(_differences(_own(before), _own(after), ""))


def _own(raw: ReadOnlyJson) -> Json:
    meta = {name: value for name, value in part(raw, "metadata").items() if name not in _SERVERS}
    annotations = {n: text for n, text in part(meta, "annotations").items() if n != LAST_APPLIED_ANNOTATION}
    meta = {**meta, "annotations": annotations}
    return {**{name: value for name, value in raw.items() if name != "status"}, "metadata": meta}


def _differences(before: Any, after: Any, path: str) -> Iterator[Change]:
    if is_same(before, after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys((*before, *after)):
            yield from _differences(before.get(name, _ABSENT), after.get(name, _ABSENT), child_path(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        for place in range(max(len(before), len(after))):
            one, other = (each[place] if place < len(each) else _ABSENT for each in (before, after))
            yield from _differences(one, other, f"{path}[{place}]")
    else:
        yield Change(path=path, before=_shown(before), after=_shown(after))


def _shown(value: Any) -> str:
    return "(none)" if value is _ABSENT else shown(value)
