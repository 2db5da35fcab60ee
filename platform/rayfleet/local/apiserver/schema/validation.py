"""Whether a custom object fits its structural schema, told in the words of kube-apiserver 1.36. Pure.

Sources: ``kube-openapi/pkg/validation`` for the checks and their texts, ``apiextensions-apiserver`` for how they become
causes (a check that a whole alternative failed has no field: ``<nil>``), its ``schema/listtype`` for lists that are
sets or maps. Of alternatives that all fail, the first is told; the real server tells the one with most checks passed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rayfleet.local.apiserver.grammar.formats import is_of_format
from rayfleet.local.apiserver.grammar.patterns import BadPatternError, has_match
from rayfleet.local.apiserver.grammar.refusal import Cause
from rayfleet.local.apiserver.schema.structural import child_schema
from rayfleet.model.meta import JsonObject

_INT64 = (-(2**63), 2**63 - 1)
_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": _INT64}
_NOWHERE = "<nil>"
_TYPES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
}


class _Absent:
    """Marks that there is no old value to compare with."""


ABSENT: Final = _Absent()


def validate(obj: JsonObject, schema: JsonObject, old: Any = ABSENT) -> list[Cause]:
    """Return what is wrong with ``obj`` (pruned and defaulted), in the order of the schema; no CEL rules here.

    On an update, with ``old``, a part that did not change is not judged again ("ratcheting"), so a schema that became
    stricter does not hold up other changes.
    """
    found = [*_problems(obj, schema, "", old)]
    repeated = [*_list_problems(obj, schema, "")]
    was_repeated = repeated and old is not ABSENT and any(True for _ in _list_problems(old, schema, ""))
    return found if was_repeated else found + repeated


def problems_at(value: Any, schema: JsonObject) -> list[Cause]:
    """Return what is wrong with ``value``, a part of an object such as a default; the fields begin there."""
    return [*_problems(value, schema, ""), *_list_problems(value, schema, "")]


def old_item(item: Any, schema: JsonObject, old: Any) -> Any:
    """Return the old item that ``item`` of a list can be compared with: only lists of type map can tell.

    Else ABSENT.
    """
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map" or not isinstance(item, dict):
        return ABSENT
    keys = schema.get("x-kubernetes-list-map-keys", ())
    known = (each for each in old if isinstance(each, dict))
    return next((each for each in known if all(each.get(key) == item.get(key) for key in keys)), ABSENT)


def shown(value: Any) -> str:
    """Return ``value`` as Go's ``field.Error`` prints it: strings quoted, objects and lists as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def invalid(field: str, value: Any, text: str) -> Cause:
    """Return the cause for a value that may not be."""
    return Cause(field=field or _NOWHERE, reason="FieldValueInvalid", message=f"Invalid value: {shown(value)}: {text}")


def _problems(value: Any, schema: JsonObject, path: str, old: Any = ABSENT) -> Iterator[Cause]:
    if old is not ABSENT and is_same(value, old):
        return
    type_problem = _type_problem(value, schema, path)
    if type_problem is not None:
        yield type_problem
    if value is not None:
        yield from _junctor_problems(value, schema, path)
        if isinstance(value, str):
            yield from _text_problems(value, schema, path)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield from _number_problems(value, schema, path)
        elif isinstance(value, list):
            yield from _array_problems(value, schema, path, old)
    if "enum" in schema and not any(is_same(value, allowed) for allowed in schema["enum"]):
        yield _not_in_enum(value, schema["enum"], path)
    if isinstance(value, dict):
        yield from _object_problems(value, schema, path, old)


def json_type(value: Any) -> str:
    """Return the JSON schema type of ``value``; an integer beyond 64 bits is a number, as Go decodes it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "integer" if _INT64[0] <= value <= _INT64[1] else "number"
    return _TYPES[type(value)]


def _type_problem(value: Any, schema: JsonObject, path: str) -> Cause | None:
    types = ("integer", "string") if schema.get("x-kubernetes-int-or-string") else (schema.get("type", ""),)
    if types == ("",) or (value is None and schema.get("nullable")):
        return None
    found = json_type(value)
    if found in types or ("number" in types and found == "integer"):
        return None
    if "integer" in types and isinstance(value, float) and value.is_integer():
        return None
    wanted = ",".join(types)
    stated_format = schema.get("format")
    if stated_format and found not in {"string", "array", "null"} and _is_known_format(types[0], stated_format):
        wanted, found = stated_format, {"integer": "int64", "number": "float64"}.get(found, "")
    return _wrong_type(path, wanted, found)


def _is_known_format(type_name: str, name: str) -> bool:
    return type_name == "string" or name in {"int32", "int64", "float", "double"}


def _wrong_type(path: str, wanted: str, found: str) -> Cause:
    message = f"Invalid value: {shown(found)}: {path} in body must be of type {wanted}: {shown(found)}"
    return Cause(field=path or _NOWHERE, reason="FieldValueTypeInvalid", message=message)


def _junctor_problems(value: Any, schema: JsonObject, path: str) -> Iterator[Cause]:
    if alternatives := schema.get("anyOf"):
        yield from _any_of(value, alternatives, path)
    if alternatives := schema.get("oneOf"):
        yield from _one_of(value, alternatives, path)
    if parts := schema.get("allOf"):
        found = [list(_problems(value, part, path)) for part in parts]
        for causes in found:
            yield from causes
        if any(found):
            none = ". None validated" if all(found) else ""
            yield invalid("", "", f'"{path}" must validate all the schemas (allOf){none}')
    if "not" in schema and not any(True for _ in _problems(value, schema["not"], path)):
        yield invalid("", "", f'"{path}" must not validate the schema (not)')


def _any_of(value: Any, alternatives: Sequence[JsonObject], path: str) -> Iterator[Cause]:
    found = [list(_problems(value, alternative, path)) for alternative in alternatives]
    if all(found):
        yield invalid("", "", f'"{path}" must validate at least one schema (anyOf)')
        yield from found[0]


def _one_of(value: Any, alternatives: Sequence[JsonObject], path: str) -> Iterator[Cause]:
    found = [list(_problems(value, alternative, path)) for alternative in alternatives]
    valid = found.count([])
    if valid != 1:
        how_many = f"Found {valid} valid alternatives" if valid else "Found none valid"
        yield invalid("", "", f'"{path}" must validate one and only one schema (oneOf). {how_many}')
        if not valid:
            yield from found[0]


def _text_problems(value: str, schema: JsonObject, path: str) -> Iterator[Cause]:
    pattern = schema.get("pattern", "")
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        message = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield Cause(field=path or _NOWHERE, reason="FieldValueTooLong", message=message)
    elif len(value) < schema.get("minLength", 0):
        yield invalid(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
    elif pattern and not _is_match(pattern, value):
        yield invalid(path, value, f"{path} in body should match '{pattern}'")
    stated_format = schema.get("format")
    if stated_format and schema.get("type", "string") == "string" and not is_of_format(value, stated_format):
        yield _wrong_type(path, stated_format, value)


def _is_match(pattern: str, value: str) -> bool:
    try:
        return has_match(pattern, value)
    except BadPatternError:
        return False  # a CRD with such a pattern is refused when it is created


def _number_problems(value: float, schema: JsonObject, path: str) -> Iterator[Cause]:
    if schema.get("type") == "integer":
        yield from _range_problems(value, schema.get("format", ""), path)
    factor = schema.get("multipleOf")
    if factor and not _is_multiple(value, factor):
        yield invalid(path, value, f"{path} in body should be a multiple of {factor}")
    minimum, maximum = schema.get("minimum"), schema.get("maximum")
    if minimum is not None and (value < minimum or (value == minimum and schema.get("exclusiveMinimum"))):
        bound = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(path, value, f"{path} in body should be {bound} {minimum}")
    if maximum is not None and (value > maximum or (value == maximum and schema.get("exclusiveMaximum"))):
        bound = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(path, value, f"{path} in body should be {bound} {maximum}")


def _range_problems(value: float, stated_format: str, path: str) -> Iterator[Cause]:
    low, high = _RANGES.get(stated_format, _INT64)
    if not float(value).is_integer() or not low <= value <= high:
        which = f"with format {stated_format}" if stated_format in _RANGES else "(default format)"
        yield invalid("", "", f"Checked value must be of type integer {which} in {path}")


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int) and isinstance(factor, int):
        return value % factor == 0
    return (value / factor).is_integer()


def _array_problems(value: list[Any], schema: JsonObject, path: str, old: Any) -> Iterator[Cause]:
    if isinstance(items := schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _problems(item, items, f"{path}[{index}]", old_item(item, schema, old))
    if len(value) < schema.get("minItems", 0):
        yield invalid(path, len(value), f"{path} in body should have at least {schema['minItems']} items")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        yield _too_many(path, len(value), schema["maxItems"])
    if schema.get("uniqueItems") and _repeated(value):
        yield invalid(path, "", f"{path} in body shouldn't contain duplicates")


def _object_problems(value: JsonObject, schema: JsonObject, path: str, old: Any) -> Iterator[Cause]:
    if len(value) < schema.get("minProperties", 0):
        yield invalid(path, len(value), f"{path} in body should have at least {schema['minProperties']} properties")
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        yield _too_many(path, len(value), schema["maxProperties"])
    for name, inner in value.items():
        inner_schema = child_schema(schema, name)
        if inner_schema is not None:
            before = old.get(name, ABSENT) if isinstance(old, dict) else ABSENT
            yield from _problems(inner, inner_schema, _below(path, name), before)
    required = [*schema.get("required", ())]
    if schema.get("x-kubernetes-embedded-resource"):
        required += ["apiVersion", "kind"]
    for name in required:
        if name not in value:
            yield Cause(field=_below(path, name), reason="FieldValueRequired", message="Required value")


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _too_many(path: str, found: int, limit: int) -> Cause:
    message = f"Too many: {found}: must have at most {limit} items"
    return Cause(field=path or _NOWHERE, reason="FieldValueTooMany", message=message)


def _not_in_enum(value: Any, allowed: Sequence[Any], path: str) -> Cause:
    listed = ", ".join(shown(each if isinstance(each, str) else shown(each)) for each in allowed)
    message = f"Unsupported value: {shown(value)}: supported values: {listed}"
    return Cause(field=path or _NOWHERE, reason="FieldValueNotSupported", message=message)


def is_same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; true is not 1, and 1.0 is 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    return bool(left == right)


def _list_problems(value: Any, schema: JsonObject, path: str) -> Iterator[Cause]:
    """Tell the duplicates of lists that are sets or maps, at any depth."""
    if isinstance(value, list):
        yield from _own_list_problems(value, schema, path)
        if isinstance(items := schema.get("items"), dict):
            for index, item in enumerate(value):
                yield from _list_problems(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties: Mapping[str, JsonObject] = schema.get("properties", {})
        for name, inner in value.items():
            inner_schema = child_schema(schema, name)
            if inner_schema is not None:
                below = _below(path, name) if name in properties else f"{path}[{name}]"
                yield from _list_problems(inner, inner_schema, below)


def _own_list_problems(value: list[Any], schema: JsonObject, path: str) -> Iterator[Cause]:
    match schema.get("x-kubernetes-list-type"):
        case "set":
            keys = value
        case "map":
            for index, item in enumerate(value):
                if item is not None and not isinstance(item, dict):
                    text = "must be an object for an array of list-type map"
                    yield invalid(f"{path}[{index}]", item, text)
                    return
            names = schema.get("x-kubernetes-list-map-keys", ())
            keys = [{name: item[name] for name in names if name in item} for item in (each or {} for each in value)]
        case _:
            return
    for index in _repeated(keys):
        message = f"Duplicate value: {shown(keys[index])}"
        yield Cause(field=f"{path}[{index}]", reason="FieldValueDuplicate", message=message)


def _repeated(values: Sequence[Any]) -> list[int]:
    """Return the place of the second of each group of equal values."""
    seen: dict[str, int] = {}
    second: list[int] = []
    for index, value in enumerate(values):
        text = shown(value)
        seen[text] = seen.get(text, 0) + 1
        if seen[text] == 2:
            second.append(index)
    return second
