"""Structural schemas (``apiextensions.k8s.io/v1``): their own keywords, and their defaults filled in. Pure.

Shared by who checks a manifest before it is sent and by the embedded API server. Source: apiextensions-apiserver
``pkg/apiserver/schema/{structural,defaulting}`` (v1.36).
"""

import copy
from typing import Any, Final

from rayfleet.model.json import Json, ReadOnlyJson

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
EMBEDDED = "x-kubernetes-embedded-resource"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"
MAP_TYPE = "x-kubernetes-map-type"
META_FIELDS = ("apiVersion", "kind", "metadata")


class Absent:
    """The type of ``ABSENT``."""


ABSENT: Final = Absent()
"""Where null is a value: there is none."""


def child_schema(schema: ReadOnlyJson, name: str) -> Json | None:
    """Return the schema of the field ``name`` of an object, or None when none is stated."""
    inner = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
    return inner if isinstance(inner, dict) else None


def states_parts(schema: ReadOnlyJson) -> bool:
    """Whether a schema says anything of the fields or items of a value; what is left open need not be looked into."""
    return bool(schema.get("properties") or schema.get("additionalProperties") or schema.get("items"))


def is_same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; true is not 1, and 1.0 is 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(is_same(left[name], right[name]) for name in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(is_same, left, right))
    return bool(left == right)


def old_item(item: Any, schema: ReadOnlyJson, old: Any) -> Any:
    """Return the old item that ``item`` of a list can be compared with: only lists of type map can tell.

    Else ABSENT.
    """
    if not isinstance(old, list) or schema.get(LIST_TYPE) != "map" or not isinstance(item, dict):
        return ABSENT
    keys = schema.get(LIST_MAP_KEYS, ())
    candidates = (each for each in old if isinstance(each, dict))
    return next((each for each in candidates if all(each.get(key) == item.get(key) for key in keys)), ABSENT)


def with_defaults(obj: ReadOnlyJson, schema: ReadOnlyJson) -> Json:
    """Return a copy of ``obj`` with the defaults of ``schema``; what the schema leaves open stays as it is.

    Null where the schema does not allow it means absent: it is replaced by the default, or removed.
    """
    filled: Json = _defaulted(_without_nulls(obj, schema), schema)
    return filled


def _without_nulls(value: Any, schema: ReadOnlyJson | None) -> Any:
    """Return a copy, all the way down: the caller may change it."""
    if schema is None or not states_parts(schema):
        return _copied(value)
    if isinstance(value, dict):
        inner_schemas = {name: child_schema(schema, name) for name in value}
        return {
            name: _without_nulls(inner, inner_schemas[name])
            for name, inner in value.items()
            if not (_is_forbidden_null(inner, inner_schemas[name]) and "default" not in (inner_schemas[name] or {}))
        }
    if isinstance(value, list):
        items = schema.get("items")
        return [_without_nulls(item, items) for item in value]
    return value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(inner) for name, inner in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _defaulted(value: Any, schema: ReadOnlyJson | None) -> Any:
    if schema is None or not states_parts(schema):
        return value
    if isinstance(value, dict):
        filled = {name: _or_default(inner, child_schema(schema, name)) for name, inner in value.items()}
        for name, inner_schema in schema.get("properties", {}).items():
            if name not in filled and inner_schema.get("default") is not None:
                filled[name] = copy.deepcopy(inner_schema["default"])
        return {name: _defaulted(inner, child_schema(schema, name)) for name, inner in filled.items()}
    if isinstance(value, list):
        items = schema.get("items")
        return [_defaulted(_or_default(item, items), items) for item in value]
    return value


def _or_default(value: Any, schema: ReadOnlyJson | None) -> Any:
    if not _is_forbidden_null(value, schema):
        return value
    return copy.deepcopy((schema or {}).get("default"))


def _is_forbidden_null(value: Any, schema: ReadOnlyJson | None) -> bool:
    return value is None and schema is not None and not schema.get("nullable")
