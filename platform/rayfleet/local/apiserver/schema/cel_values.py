"""JSON values as CEL sees them through a structural schema. Pure.

As ``apiserver/pkg/cel/common``: names that CEL cannot write are escaped (``a-b`` is ``a__dash__b``), strings with the
format date-time, date, duration or byte are timestamps, durations and bytes, a number is a double and an integer an int
even when JSON writes 1.0 or 1. Fields that the schema does not state cannot be seen. Unlike there, lists that are sets
or maps compare in their order.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.times import decode_time

_KEYWORDS = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_TO_ESCAPE = re.compile(r"__|[./-]")
_META_SCHEMA: Json = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}
_TYPE_META: Json = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META_SCHEMA}
_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ns|us|µs|μs|ms|s|m|h|d|w)")


def escaped_name(name: str) -> str:
    """Return how a rule writes the field ``name``."""
    return f"__{name}__" if name in _KEYWORDS else _TO_ESCAPE.sub(lambda match: _ESCAPES[match.group()], name)


def with_type_meta(schema: ReadOnlyJson) -> Json:
    """Return the schema of a whole object with what a rule at the root may see besides.

    Kind, apiVersion and two names.
    """
    return {**schema, "properties": {**schema.get("properties", {}), **_TYPE_META}}


def cel_value(value: Any, schema: ReadOnlyJson | None) -> Any:
    """Return ``value`` for the CEL library, which turns Python's types into CEL's."""
    if schema is None or value is None:
        return value
    if isinstance(value, dict):
        return _cel_map(value, schema)
    if isinstance(value, list):
        items = schema.get("items")
        return [cel_value(item, items) for item in value]
    if isinstance(value, str):
        convert = _BY_FORMAT.get(schema.get("format", "")) if schema.get("type") == "string" else None
        return convert(value) if convert else value
    return _cel_number(value, schema.get("type"))


def sample(schema: ReadOnlyJson) -> Any:
    """Return a JSON value that has every field of ``schema``: to run a rule once and see that its types fit."""
    if schema.get("x-kubernetes-int-or-string"):
        return 1
    match schema.get("type"):
        case "object":
            fields = {name: sample(inner) for name, inner in schema.get("properties", {}).items()}
            additional = schema.get("additionalProperties")
            return fields | ({"key": sample(additional)} if isinstance(additional, dict) else {})
        case "array":
            return [sample(schema.get("items", {}))]
        case "string":
            return _SAMPLE_TEXTS.get(schema.get("format", ""), "text")
        case plain:
            return {"integer": 1, "number": 1.5, "boolean": True}.get(plain or "")


def has_dynamic_parts(schema: ReadOnlyJson) -> bool:
    """Whether some value below has no single type, so that a sample proves nothing about others."""
    if schema.get("x-kubernetes-int-or-string") or schema.get("nullable") or "type" not in schema:
        return True
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return any(has_dynamic_parts(each) for each in inner if isinstance(each, dict))


def _cel_map(value: ReadOnlyJson, schema: ReadOnlyJson) -> Json:
    if schema.get("x-kubernetes-embedded-resource"):
        schema = with_type_meta(schema)
    properties = schema.get("properties")
    if properties is None:
        additional = schema.get("additionalProperties")
        inner_schema = additional if isinstance(additional, dict) else None
        return {name: cel_value(inner, inner_schema) for name, inner in value.items()}
    return {
        escaped_name(name): cel_value(inner, properties[name]) for name, inner in value.items() if name in properties
    }


def _cel_number(value: Any, type_name: str | None) -> Any:
    if isinstance(value, bool):
        return value
    if type_name == "number":
        return float(value)
    if type_name == "integer":
        return int(value)
    return value


def _timestamp(text: str) -> Any:
    return decode_time(text) or text


def _duration(text: str) -> Any:
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


def _bytes(text: str) -> Any:
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return text


_BY_FORMAT: Mapping[str, Callable[[str], Any]] = {
    "date-time": _timestamp,
    "datetime": _timestamp,
    "date": _timestamp,
    "duration": _duration,
    "byte": _bytes,
}
_SAMPLE_TEXTS = {
    "date-time": "2026-01-01T00:00:00Z",
    "datetime": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "duration": "1s",
    "byte": "aGk=",
}
