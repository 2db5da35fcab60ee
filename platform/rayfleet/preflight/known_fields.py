"""Misspelt fields inside a RayCluster spec: KubeRay's definition drops them without a word. Pure.

Our own definition keeps the spec open, so that fields of a newer KubeRay reach it; so an unknown name is a warning and
no error. ``known_fields.json`` is written by ``rayfleet.testing.known_fields``: types in a list, each a mapping from
field to the place of its type; place 0 is any value, the last place is the spec.
"""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from rayfleet.manifest.checking import child_path, did_you_mean
from rayfleet.preflight.findings import Finding
from rayfleet.preflight.subject import Subject

FILE_NAME = "known_fields.json"
_ANY = 0


def unknown_fields(subject: Subject) -> Iterator[Finding]:
    """Yield a warning for each field that KubeRay does not know, in the order of the document."""
    table = _table()
    for path, known in _unknown(subject.spec, subject.path, len(table.types) - 1):
        name = path.rpartition(".")[2]
        message = f"unknown field{did_you_mean(name, known)}: KubeRay {table.version} drops it without a word"
        yield Finding(rule="unknown-field", path=path, message=message)


def _unknown(value: Any, path: str, place: int) -> Iterator[tuple[str, list[str]]]:
    if place == _ANY:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, f"{path}[{index}]", place)
    elif isinstance(value, dict):
        fields = _table().types[place]
        for name, inner in value.items():
            here = child_path(path, name)
            if name in fields:
                yield from _unknown(inner, here, fields[name])
            else:
                yield here, list(fields)


class _Table(NamedTuple):
    version: str
    types: list[dict[str, int]]


@cache
def _table() -> _Table:
    return _Table(**json.loads(files(__package__).joinpath(FILE_NAME).read_bytes()))
