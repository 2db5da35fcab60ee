"""Custom objects without the fields that their structural schema does not know. Pure.

As ``apiextensions-apiserver/pkg/apiserver/schema/pruning`` of Kubernetes 1.36. The schema is one that ``schema_rules``
found nothing wrong with. ``metadata`` of the object itself is not looked at here.
"""

import copy
from collections.abc import Iterator
from typing import Any

from rayfleet.manifest.structural import EMBEDDED, META_FIELDS, PRESERVE, child_schema
from rayfleet.model.json import Json, ReadOnlyJson


def prune(obj: ReadOnlyJson, schema: ReadOnlyJson) -> tuple[Json, list[str]]:
    """Return ``obj`` without the fields that ``schema`` does not know, and their paths (``spec.items[0].x``), sorted.

    An embedded resource keeps its apiVersion, kind and metadata as they are.
    """
    pruned: list[str] = []
    kept = _pruned(obj, {**schema, EMBEDDED: True}, "", pruned)
    return kept, sorted(pruned)


def prune_default(value: Any, schema: ReadOnlyJson) -> Any:
    """Return ``value``, a default of the field with ``schema``, without what the schema does not know."""
    return _pruned(value, schema, "", [])


def _pruned(value: Any, schema: ReadOnlyJson | None, path: str, pruned: list[str]) -> Any:
    if isinstance(value, list):
        items = (schema or {}).get("items")
        if schema is not None and schema.get(PRESERVE) and items is None:
            return copy.deepcopy(value)
        return [_pruned(item, items, f"{path}[{index}]", pruned) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    return dict(_kept_fields(value, schema or {}, path, pruned))


def _kept_fields(value: Json, schema: ReadOnlyJson, path: str, pruned: list[str]) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        below = f"{path}.{name}" if path else name
        if schema.get(EMBEDDED) and name in META_FIELDS:
            yield name, copy.deepcopy(inner)
        elif name in schema.get("properties", {}) or schema.get("additionalProperties"):
            yield name, _pruned(inner, child_schema(schema, name), below, pruned)
        elif schema.get(PRESERVE):
            yield name, copy.deepcopy(inner)
        else:
            pruned.append(below)
