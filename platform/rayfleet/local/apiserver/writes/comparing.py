"""What differs between two objects, and which fields one states, by the shape of their kind. Pure.

Source: structured-merge-diff ``typed`` (v6.3): what is atomic is one field; the items of a set or a keyed list are
compared by their identity, wherever they stand.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rayfleet.local.apiserver.kinds.shapes import Scalar, Shape
from rayfleet.local.apiserver.writes.field_sets import FieldSet, Path, item_part
from rayfleet.local.apiserver.writes.field_sets import field as field_part
from rayfleet.manifest.structural import is_same
from rayfleet.model.json import ReadOnlyJson

ABSENT: Any = object()
_ANYTHING = (str, bool, int, float)
_TYPES: dict[Scalar, tuple[type, ...]] = {
    Scalar.STRING: (str,),
    Scalar.NUMBER: (int, float),
    Scalar.BOOLEAN: (bool,),
    Scalar.ANY: _ANYTHING,
}


@dataclass(slots=True)
class Comparison:
    """The fields in which two objects differ."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)


def compared(shape: Shape, old: ReadOnlyJson, new: ReadOnlyJson) -> Comparison:
    """Return what ``new`` has beside, other than and less than ``old``."""
    result = Comparison()
    _compare(shape, (), old, new, result)
    return result


def stated_fields(shape: Shape, value: Any) -> FieldSet:
    """Return the fields that ``value`` states: leaves, items of lists, keys of maps; not the structs around them."""
    return frozenset(_stated(shape, (), value))


def indexed(shape: Shape, items: Any) -> dict[str, Any]:
    """Return the items of a merged list by their identity; those without one are left out."""
    parts = ((item_part(shape, item), item) for item in items or ())
    return {part: item for part, item in parts if part is not None}


def first_type_problem(shape: Shape, value: Any) -> str:
    """Return the first place that the shape does not allow (``.spec.a: field not declared in schema``), or nothing."""
    return next(_type_problems(shape, "", value), "")


def _compare(shape: Shape, path: Path, old: Any, new: Any, out: Comparison) -> None:
    sample = old if new is ABSENT or new is None else new
    if isinstance(sample, dict):
        is_leaf = _compare_maps(shape, path, old, new, out)
    elif isinstance(sample, list):
        is_leaf = _compare_lists(shape, path, old, new, out)
    else:
        is_leaf = True
    if is_leaf and old is not ABSENT and new is not ABSENT:
        if not is_same(old, new):
            out.modified.add(path)
    elif old is ABSENT:
        out.added.add(path)
    elif new is ABSENT:
        out.removed.add(path)


def _compare_maps(shape: Shape, path: Path, old: Any, new: Any, out: Comparison) -> bool:
    """Compare the fields of two objects; return whether they are one field as a whole."""
    before, after = (each if isinstance(each, dict) else {} for each in (old, new))
    if shape.is_atomic or not (before or after):
        return True
    if old is new:
        return False
    for name in before.keys() | after.keys():
        below = shape.below(name)
        if below is not None:
            _compare(below, (*path, field_part(name)), before.get(name, ABSENT), after.get(name, ABSENT), out)
    return False


def _compare_lists(shape: Shape, path: Path, old: Any, new: Any, out: Comparison) -> bool:
    before, after = (each if isinstance(each, list) else [] for each in (old, new))
    if not shape.is_merged_list or not (before or after):
        return True
    left, right = indexed(shape, before), indexed(shape, after)
    for part in left.keys() | right.keys():
        _compare(shape.item, (*path, part), left.get(part, ABSENT), right.get(part, ABSENT), out)
    return False


def _stated(shape: Shape, path: Path, value: Any) -> Iterator[Path]:
    if isinstance(value, dict):
        if shape.is_atomic:
            yield path
            return
        for name, inner in value.items():
            here = (*path, field_part(name))
            if inner is None or inner == {} or not shape.declares(name):
                yield here
            below = shape.below(name)
            if below is not None:
                yield from _stated(below, here, inner)
    elif isinstance(value, list):
        if not shape.is_merged_list:
            yield path
            return
        for part, item in indexed(shape, value).items():
            yield (*path, part)
            yield from _stated(shape.item, (*path, part), item)
    else:
        yield path


def _type_problems(shape: Shape, path: str, value: Any) -> Iterator[str]:
    if value is None:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            below = shape.below(name)
            if below is None:
                yield f"{path}.{name}: field not declared in schema"
            else:
                yield from _type_problems(below, f"{path}.{name}", inner)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            if shape.is_merged_list and item_part(shape, item) is None:
                keys = " ".join(f'"{key}"' for key in shape.keys)
                yield f"{path}: element {index}: associative list with keys has an element that omits all of [{keys}]"
            yield from _type_problems(shape.item, f"{path}[{index}]", item)
    elif not isinstance(value, _TYPES[shape.scalar]) or (shape.scalar is Scalar.NUMBER and isinstance(value, bool)):
        yield f"{path}: expected {shape.scalar.value}, got {value!r}"
