"""What of a structural schema a value breaks: the one walk over both, for everybody who says it in his own words. Pure.

``checking`` says it to people, the embedded API server in kube-apiserver's words. Where the two do not read alike, a
``Reading`` says how. Order: of one part its type, alternatives, items, bounds and enumeration, then its fields as they
stand in the document. Source of the checks: ``kube-openapi/pkg/validation`` (Kubernetes v1.36).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.manifest.structural import (
    ABSENT,
    EMBEDDED,
    INT_OR_STRING,
    PRESERVE,
    child_schema,
    is_same,
    old_item,
    states_parts,
)
from rayfleet.model.json import ReadOnlyJson

Path = tuple[str | int, ...]
"""Names of fields and places in lists, from the value that was given down."""
UNKNOWN = "properties"
"""The keyword that a field breaks which the schema does not state."""
_INT64 = range(-(2**63), 2**63)
_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",  # before int, which it is too
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One keyword that one part of a value breaks; ``schema`` is the part's, so ``schema[keyword]`` is the limit.

    Of ``required`` and of an unknown field the path names that field, and the value is the object around it.
    ``alternatives`` are the violations of each schema in an ``anyOf``, ``oneOf`` or ``allOf``.
    """

    path: Path
    keyword: str
    value: Any
    schema: ReadOnlyJson
    alternatives: tuple[tuple["Violation", ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a value is read, where readers differ."""

    has_match: Callable[[str, str], bool]
    """Whether a pattern fits a text."""
    is_of_format: Callable[[Any, ReadOnlyJson], bool]
    """Whether a text or number is of the schema's ``format``; asked for those without one, too."""
    is_null_absent: bool
    """A field that is null is as one that is not there."""
    is_type_decisive: bool
    """A value of a wrong type is not looked into."""
    is_pruned: bool
    """Unknown fields were dropped before; else they are violations."""
    is_required_first: bool
    """What is missing is told before what is wrong with the fields that are there."""
    is_decoded_by_go: bool
    """1.0 is a whole number, and none is beyond 64 bits."""


def violations(value: Any, schema: ReadOnlyJson, reading: Reading, *, old: Any = ABSENT) -> Iterator[Violation]:
    """Yield what ``value`` breaks; ``old`` is what it was: a part that did not change is not judged again."""
    return _Walk(reading).at(value, schema, (), old)


def type_name(value: Any) -> str:
    """Return the JSON schema type of ``value`` as Go decodes it: an integer beyond 64 bits is a number."""
    name = _type_name(value)
    return "number" if name == "integer" and value not in _INT64 else name


def allowed_types(schema: ReadOnlyJson) -> tuple[str, ...]:
    """Return the types that a schema asks for, none when it takes any."""
    if schema.get(INT_OR_STRING):
        return ("integer", "string")
    return (schema["type"],) if schema.get("type") else ()


def repeated_places(values: Sequence[Any]) -> list[int]:
    """Return the place of the second of each group of equal values."""
    counts: dict[str, int] = {}
    places: list[int] = []
    for place, value in enumerate(values):
        text = json.dumps(value, ensure_ascii=False, sort_keys=True)
        counts[text] = counts.get(text, 0) + 1
        if counts[text] == 2:
            places.append(place)
    return places


@dataclass(frozen=True, slots=True)
class _Walk:
    reading: Reading

    def at(self, value: Any, schema: ReadOnlyJson, path: Path, old: Any) -> Iterator[Violation]:
        if old is not ABSENT and is_same(value, old):
            return
        if not self._is_of_type(value, schema):
            yield Violation(path=path, keyword="type", value=value, schema=schema)
            if self.reading.is_type_decisive:
                return
        if value is not None:
            yield from self._alternatives(value, schema, path)
        if isinstance(value, list):
            yield from self._items(value, schema, path, old)
        for keyword in self._broken(value, schema):
            yield Violation(path=path, keyword=keyword, value=value, schema=schema)
        if isinstance(value, dict):
            yield from self._object(value, schema, path, old)

    def _broken(self, value: Any, schema: ReadOnlyJson) -> Iterator[str]:
        """Yield the keywords that ``value`` itself breaks, but for those of types, alternatives and objects."""
        match value:
            case str():
                yield from self._of_text(value, schema)
            case bool():
                pass
            case int() | float():
                yield from self._of_number(value, schema)
            case list():
                yield from _of_list(value, schema)
        if "enum" in schema and not any(is_same(value, each) for each in schema["enum"]):
            yield "enum"

    def _is_of_type(self, value: Any, schema: ReadOnlyJson) -> bool:
        types = allowed_types(schema)
        if not types or (value is None and schema.get("nullable")):
            return True
        is_by_go = self.reading.is_decoded_by_go
        name = type_name(value) if is_by_go else _type_name(value)
        is_whole = is_by_go and isinstance(value, float) and value.is_integer()
        return name in types or ("number" in types and name == "integer") or ("integer" in types and is_whole)

    def _alternatives(self, value: Any, schema: ReadOnlyJson, path: Path) -> Iterator[Violation]:
        for keyword in ("anyOf", "oneOf", "allOf"):
            if not schema.get(keyword):
                continue
            broken = tuple(tuple(self.at(value, each, path, ABSENT)) for each in schema[keyword])
            fitting = broken.count(())
            is_right = {"anyOf": fitting > 0, "oneOf": fitting == 1, "allOf": fitting == len(broken)}[keyword]
            if not is_right:
                yield Violation(path=path, keyword=keyword, value=value, schema=schema, alternatives=broken)
        if "not" in schema and not any(True for _ in self.at(value, schema["not"], path, ABSENT)):
            yield Violation(path=path, keyword="not", value=value, schema=schema)

    def _of_text(self, value: str, schema: ReadOnlyJson) -> Iterator[str]:
        """Yield the broken keywords; of length and pattern the first one only."""
        pattern = schema.get("pattern")
        if len(value) > schema.get("maxLength", len(value)):
            yield "maxLength"
        elif len(value) < schema.get("minLength", 0):
            yield "minLength"
        elif pattern and not self.reading.has_match(pattern, value):
            yield "pattern"
        if not self.reading.is_of_format(value, schema):
            yield "format"

    def _of_number(self, value: float, schema: ReadOnlyJson) -> Iterator[str]:
        if not self.reading.is_of_format(value, schema):
            yield "format"
        if schema.get("multipleOf") and not _is_multiple(value, schema["multipleOf"]):
            yield "multipleOf"
        minimum, maximum = schema.get("minimum", value), schema.get("maximum", value)
        if value < minimum or (schema.get("exclusiveMinimum") and value == schema.get("minimum")):
            yield "minimum"
        if value > maximum or (schema.get("exclusiveMaximum") and value == schema.get("maximum")):
            yield "maximum"

    def _items(self, value: list[Any], schema: ReadOnlyJson, path: Path, old: Any) -> Iterator[Violation]:
        if isinstance(items := schema.get("items"), dict):
            for place, item in enumerate(value):
                yield from self.at(item, items, (*path, place), old_item(item, schema, old))

    def _object(self, value: ReadOnlyJson, schema: ReadOnlyJson, path: Path, old: Any) -> Iterator[Violation]:
        for keyword in _of_object(value, schema):
            yield Violation(path=path, keyword=keyword, value=value, schema=schema)
        parts = (self._missing(value, schema, path), self._fields(value, schema, path, old))
        for part in parts if self.reading.is_required_first else reversed(parts):
            yield from part

    def _missing(self, value: ReadOnlyJson, schema: ReadOnlyJson, path: Path) -> Iterator[Violation]:
        names = [*schema.get("required", ()), *(("apiVersion", "kind") if schema.get(EMBEDDED) else ())]
        for name in names:
            if name not in value or (self.reading.is_null_absent and value[name] is None):
                yield Violation(path=(*path, name), keyword="required", value=value, schema=schema)

    def _fields(self, value: ReadOnlyJson, schema: ReadOnlyJson, path: Path, old: Any) -> Iterator[Violation]:
        is_closed = not self.reading.is_pruned and not _is_open(schema)
        if not is_closed and not states_parts(schema):
            return
        for name, inner in value.items():
            if inner is None and self.reading.is_null_absent:
                continue
            inner_schema, below = child_schema(schema, name), (*path, str(name))
            if inner_schema is not None:
                before = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
                yield from self.at(inner, inner_schema, below, before)
            elif is_closed:
                yield Violation(path=below, keyword=UNKNOWN, value=value, schema=schema)


def _is_open(schema: ReadOnlyJson) -> bool:
    """Whether an object may have fields that the schema does not state."""
    additional = schema.get("additionalProperties")
    is_silent = not schema.get("properties") and not additional
    return bool(schema.get(PRESERVE)) or additional is True or is_silent


def _type_name(value: Any) -> str:
    exact = _TYPES.get(type(value))
    return exact or next((name for kind, name in _TYPES.items() if isinstance(value, kind)), "")


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    return (value / factor).is_integer()


def _of_list(value: Sequence[Any], schema: ReadOnlyJson) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield "minItems"
    if len(value) > schema.get("maxItems", len(value)):
        yield "maxItems"
    if schema.get("uniqueItems") and repeated_places(value):
        yield "uniqueItems"


def _of_object(value: ReadOnlyJson, schema: ReadOnlyJson) -> Iterator[str]:
    if len(value) < schema.get("minProperties", 0):
        yield "minProperties"
    if len(value) > schema.get("maxProperties", len(value)):
        yield "maxProperties"
