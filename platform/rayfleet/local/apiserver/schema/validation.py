"""Whether a custom object fits its structural schema, told in the words of kube-apiserver 1.36. Pure.

``manifest.violations`` finds what does not fit; here it becomes causes. Sources: ``kube-openapi/pkg/validation`` for
the texts, ``apiextensions-apiserver`` for how they become causes (a check that a whole alternative failed has no field:
``<nil>``), its ``schema/listtype`` for lists that are sets or maps. Of alternatives that all fail, the first is told;
the real server tells the one with most checks passed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rayfleet.local.apiserver.grammar.formats import is_of_format
from rayfleet.local.apiserver.grammar.patterns import BadPatternError, has_match
from rayfleet.local.apiserver.grammar.refusal import Cause, too_long
from rayfleet.manifest.structural import ABSENT, LIST_MAP_KEYS, LIST_TYPE, child_schema
from rayfleet.manifest.violations import (
    Path,
    Reading,
    Violation,
    allowed_types,
    repeated_places,
    type_name,
    violations,
)
from rayfleet.model.json import ReadOnlyJson

_INT64 = (-(2**63), 2**63 - 1)
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": _INT64}
_NOWHERE = "<nil>"


def validate(obj: ReadOnlyJson, schema: ReadOnlyJson, old: Any = ABSENT) -> list[Cause]:
    """Return what is wrong with ``obj`` (pruned and defaulted), in the order of the schema; no CEL rules here.

    On an update, with ``old``, a part that did not change is not judged again ("ratcheting"), so a schema that became
    stricter does not hold up other changes.
    """
    causes = [*_causes(violations(obj, schema, _READING, old=old))]
    repeated = [*_list_causes(obj, schema, "")]
    was_repeated = repeated and old is not ABSENT and any(True for _ in _list_causes(old, schema, ""))
    return causes if was_repeated else causes + repeated


def problems_at(value: Any, schema: ReadOnlyJson) -> list[Cause]:
    """Return what is wrong with ``value``, a part of an object such as a default; the fields begin there."""
    return [*_causes(violations(value, schema, _READING)), *_list_causes(value, schema, "")]


def shown(value: Any) -> str:
    """Return ``value`` as Go's ``field.Error`` prints it: strings quoted, objects and lists as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def invalid(field: str, value: Any, text: str) -> Cause:
    """Return the cause for a value that may not be."""
    return Cause(field=field or _NOWHERE, reason="FieldValueInvalid", message=f"Invalid value: {shown(value)}: {text}")


def _has_match(pattern: str, text: str) -> bool:
    try:
        return has_match(pattern, text)
    except BadPatternError:
        return False  # a CRD with such a pattern is refused when it is created


def _is_of_format(value: Any, schema: ReadOnlyJson) -> bool:
    name = schema.get("format", "")
    if isinstance(value, str):
        return not name or schema.get("type", "string") != "string" or is_of_format(value, name)
    if schema.get("type") != "integer":
        return True
    low, high = _RANGES.get(name, _INT64)
    return float(value).is_integer() and low <= value <= high


_READING = Reading(
    has_match=_has_match,
    is_of_format=_is_of_format,
    is_null_absent=False,
    is_type_decisive=False,
    is_pruned=True,
    is_required_first=False,
    is_decoded_by_go=True,
)


def _causes(broken: Iterator[Violation] | Sequence[Violation]) -> Iterator[Cause]:
    for violation in broken:
        yield from _CAUSES[violation.keyword](violation, _field(violation.path))


def _field(path: Path) -> str:
    """Return a path as causes have it: ``spec.ports[0].name``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _wrong_type(violation: Violation, field: str) -> Iterator[Cause]:
    types, actual = allowed_types(violation.schema), type_name(violation.value)
    listed, name = ",".join(types), violation.schema.get("format")
    if name and actual not in {"string", "array", "null"} and _is_known_format(types[0], name):
        listed, actual = name, {"integer": "int64", "number": "float64"}.get(actual, "")
    yield _not_of_type(field, listed, actual)


def _is_known_format(type_name: str, name: str) -> bool:
    return type_name == "string" or name in {"int32", "int64", "float", "double"}


def _not_of_type(field: str, expected: str, actual: str) -> Cause:
    message = f"Invalid value: {shown(actual)}: {field} in body must be of type {expected}: {shown(actual)}"
    return Cause(field=field or _NOWHERE, reason="FieldValueTypeInvalid", message=message)


def _any_of(violation: Violation, field: str) -> Iterator[Cause]:
    yield invalid("", "", f'"{field}" must validate at least one schema (anyOf)')
    yield from _causes(violation.alternatives[0])


def _one_of(violation: Violation, field: str) -> Iterator[Cause]:
    valid = violation.alternatives.count(())
    how_many = f"Found {valid} valid alternatives" if valid else "Found none valid"
    yield invalid("", "", f'"{field}" must validate one and only one schema (oneOf). {how_many}')
    if not valid:
        yield from _causes(violation.alternatives[0])


def _all_of(violation: Violation, field: str) -> Iterator[Cause]:
    for alternative in violation.alternatives:
        yield from _causes(alternative)
    none = ". None validated" if all(violation.alternatives) else ""
    yield invalid("", "", f'"{field}" must validate all the schemas (allOf){none}')


def _not(_violation: Violation, field: str) -> Iterator[Cause]:
    yield invalid("", "", f'"{field}" must not validate the schema (not)')


def _too_long(violation: Violation, field: str) -> Iterator[Cause]:
    yield too_long(field or _NOWHERE, violation.schema["maxLength"])


def _not_of_format(violation: Violation, field: str) -> Iterator[Cause]:
    name = violation.schema.get("format", "")
    if isinstance(violation.value, str):
        yield _not_of_type(field, name, violation.value)
        return
    which = f"with format {name}" if name in _RANGES else "(default format)"
    yield invalid("", "", f"Checked value must be of type integer {which} in {field}")


def _too_many(violation: Violation, field: str) -> Iterator[Cause]:
    limit = violation.schema[violation.keyword]
    message = f"Too many: {len(violation.value)}: must have at most {limit} items"
    yield Cause(field=field or _NOWHERE, reason="FieldValueTooMany", message=message)


def _not_in_enum(violation: Violation, field: str) -> Iterator[Cause]:
    allowed = violation.schema["enum"]
    listed = ", ".join(shown(each if isinstance(each, str) else shown(each)) for each in allowed)
    message = f"Unsupported value: {shown(violation.value)}: supported values: {listed}"
    yield Cause(field=field or _NOWHERE, reason="FieldValueNotSupported", message=message)


def _missing(_violation: Violation, field: str) -> Iterator[Cause]:
    yield Cause(field=field, reason="FieldValueRequired", message="Required value")


def _in_body(text: str, value: Callable[[Any], Any] = lambda value: value) -> Callable[..., Iterator[Cause]]:
    """Return what tells a value that should be otherwise: ``{}`` of ``text`` is the limit, ``value`` what is shown."""

    def causes(violation: Violation, field: str) -> Iterator[Cause]:
        limit = violation.schema[violation.keyword]
        yield invalid(field, value(violation.value), f"{field} in body {text.format(limit)}")

    return causes


def _beyond(bound: str, exclusive: str) -> Callable[[Violation, str], Iterator[Cause]]:
    """Return what tells a number beyond a bound, which the keyword ``exclusive`` may have forbidden too."""

    def causes(violation: Violation, field: str) -> Iterator[Cause]:
        or_equal = "" if violation.schema.get(exclusive) else "or equal to "
        limit = violation.schema[violation.keyword]
        yield invalid(field, violation.value, f"{field} in body should be {bound} than {or_equal}{limit}")

    return causes


_CAUSES: Mapping[str, Callable[[Violation, str], Iterator[Cause]]] = {
    "type": _wrong_type,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "allOf": _all_of,
    "not": _not,
    "maxLength": _too_long,
    "minLength": _in_body("should be at least {} chars long"),
    "pattern": _in_body("should match '{}'"),
    "format": _not_of_format,
    "multipleOf": _in_body("should be a multiple of {}"),
    "minimum": _beyond("greater", "exclusiveMinimum"),
    "maximum": _beyond("less", "exclusiveMaximum"),
    "minItems": _in_body("should have at least {} items", len),
    "maxItems": _too_many,
    "uniqueItems": _in_body("shouldn't contain duplicates", lambda _: ""),
    "enum": _not_in_enum,
    "minProperties": _in_body("should have at least {} properties", len),
    "maxProperties": _too_many,
    "required": _missing,
}


def _list_causes(value: Any, schema: ReadOnlyJson, path: str) -> Iterator[Cause]:
    """Tell the duplicates of lists that are sets or maps, at any depth."""
    if isinstance(value, list):
        yield from _own_list_causes(value, schema, path)
        if isinstance(items := schema.get("items"), dict):
            for index, item in enumerate(value):
                yield from _list_causes(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties: ReadOnlyJson = schema.get("properties", {})
        for name, inner in value.items():
            inner_schema = child_schema(schema, name)
            if inner_schema is not None:
                below = f"{path}.{name}".removeprefix(".") if name in properties else f"{path}[{name}]"
                yield from _list_causes(inner, inner_schema, below)


def _own_list_causes(value: list[Any], schema: ReadOnlyJson, path: str) -> Iterator[Cause]:
    match schema.get(LIST_TYPE):
        case "set":
            keys = value
        case "map":
            for index, item in enumerate(value):
                if item is not None and not isinstance(item, dict):
                    text = "must be an object for an array of list-type map"
                    yield invalid(f"{path}[{index}]", item, text)
                    return
            names = schema.get(LIST_MAP_KEYS, ())
            keys = [{name: item[name] for name in names if name in item} for item in (each or {} for each in value)]
        case _:
            return
    for index in repeated_places(keys):
        message = f"Duplicate value: {shown(keys[index])}"
        yield Cause(field=f"{path}[{index}]", reason="FieldValueDuplicate", message=message)
