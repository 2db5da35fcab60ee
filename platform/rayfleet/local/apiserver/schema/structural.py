"""Custom objects by their structural schema: unknown fields go, defaults come. Pure.

As ``apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}`` of Kubernetes 1.36. The schema is one that
``definitions`` found nothing wrong with. ``metadata`` of the object itself is not looked at here.
"""

import copy
from collections.abc import Iterator
from typing import Any

from rayfleet.model.meta import JsonObject

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
_META_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
EMBEDDED = "x-kubernetes-embedded-resource"


def prune(obj: JsonObject, schema: JsonObject) -> tuple[JsonObject, list[str]]:
    """Return ``obj`` without the fields that ``schema`` does not know, and their paths (``spec.items[0].x``), sorted.

    An embedded resource keeps its apiVersion, kind and metadata as they are.
    """
    pruned: list[str] = []
    kept = _pruned(obj, schema | {EMBEDDED: True}, "", pruned)
    return kept, sorted(pruned)


def prune_default(value: Any, schema: JsonObject) -> Any:
    """Return ``value``, a default of the field with ``schema``, without what the schema does not know."""
    return _pruned(value, schema, "", [])


def apply_defaults(obj: JsonObject, schema: JsonObject) -> JsonObject:
    """Return ``obj`` with the defaults of ``schema``.

    Null where the schema does not allow it means absent: it is replaced by the default, or removed.
    """
    defaulted: JsonObject = _defaulted(_without_nulls(obj, schema), schema)
    return defaulted


def child_schema(schema: JsonObject, name: str) -> JsonObject | None:
    """Return the schema of the field ``name`` of an object, or None when none is stated."""
    properties: JsonObject = schema.get("properties", {})
    found = properties.get(name, schema.get("additionalProperties"))
    return found if isinstance(found, dict) else None


def _pruned(value: Any, schema: JsonObject | None, path: str, pruned: list[str]) -> Any:
    if isinstance(value, list):
        items = (schema or {}).get("items")
        if schema is not None and schema.get(PRESERVE) and items is None:
            return copy.deepcopy(value)
        return [_pruned(item, items, f"{path}[{index}]", pruned) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return dict(_kept_fields(value, schema or {}, path, pruned))


def _kept_fields(value: JsonObject, schema: JsonObject, path: str, pruned: list[str]) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        if schema.get(EMBEDDED) and name in _META_FIELDS:
            yield name, copy.deepcopy(inner)
        elif name in schema.get("properties", {}) or schema.get("additionalProperties"):
            yield name, _pruned(inner, child_schema(schema, name), below, pruned)
        elif schema.get(PRESERVE):
            yield name, copy.deepcopy(inner)
        else:
            pruned.append(below)


def _without_nulls(value: Any, schema: JsonObject | None) -> Any:
    if isinstance(value, dict):
        inner_schemas = {name: child_schema(schema or {}, name) for name in value}
        return {
            name: _without_nulls(inner, inner_schemas[name])
            for name, inner in value.items()
            if not (_is_forbidden_null(inner, inner_schemas[name]) and "default" not in (inner_schemas[name] or {}))
        }
    if isinstance(value, list):
        items = (schema or {}).get("items")
        return [_without_nulls(item, items) for item in value]
    return value


def _defaulted(value: Any, schema: JsonObject | None) -> Any:
    if schema is None:
        return value
    if isinstance(value, dict):
        result = {name: _or_default(inner, child_schema(schema, name)) for name, inner in value.items()}
        for name, inner_schema in schema.get("properties", {}).items():
            if name not in result and inner_schema.get("default") is not None:
                result[name] = copy.deepcopy(inner_schema["default"])
        return {name: _defaulted(inner, child_schema(schema, name)) for name, inner in result.items()}
    if isinstance(value, list):
        items = schema.get("items")
        return [_defaulted(_or_default(item, items), items) for item in value]
    return value


def _or_default(value: Any, schema: JsonObject | None) -> Any:
    if not _is_forbidden_null(value, schema):
        return value
    return copy.deepcopy((schema or {}).get("default"))


def _is_forbidden_null(value: Any, schema: JsonObject | None) -> bool:
    return value is None and schema is not None and not schema.get("nullable")
