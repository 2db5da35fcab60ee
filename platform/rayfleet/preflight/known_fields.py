"""Misspelt fields inside a RayCluster spec: KubeRay's definition drops them without a word. Pure.

Our own definition keeps the spec open, so that fields of a newer KubeRay reach it; so an unknown name is a warning and
no error. ``known_names`` is written from KubeRay's definition.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from rayfleet.manifest.checking import child_path, did_you_mean
from rayfleet.model.json import ReadOnlyJson
from rayfleet.preflight.findings import Finding
from rayfleet.preflight.known_names import TYPES, VERSION
from rayfleet.preflight.subject import Subject

_ANY = 0


def unknown_fields(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each field that KubeRay does not know, in the order of the document."""
    for path, message in unknown_in(subject.spec, subject.path):
        yield Finding(rule="unknown-field", path=path, message=message)


def unknown_in(spec: ReadOnlyJson, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each field of a RayCluster spec, at ``path``, that KubeRay does not know, and what to say."""
    for here, known in _unknown(spec, path, len(_types()) - 1):
        name = here.rpartition(".")[2]
        yield here, f"unknown field{did_you_mean(name, known)}: KubeRay {VERSION} drops it without a word"


def _unknown(value: Any, path: str, place: int) -> Iterator[tuple[str, list[str]]]:
    if place == _ANY:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, f"{path}[{index}]", place)
    elif isinstance(value, dict):
        fields = _types()[place]
        for name, inner in value.items():
            here = child_path(path, name)
            if name in fields:
                yield from _unknown(inner, here, fields[name])
            else:
                yield here, list(fields)


@cache
def _types() -> list[dict[str, int]]:
    return [dict(map(_field, each.split())) for each in TYPES.split(";")]


def _field(stated: str) -> tuple[str, int]:
    name, _, place = stated.partition(":")
    return name, int(place or _ANY)
