"""Hold a document to an OpenAPI schema, with errors for people: the path, the value, the way out. Pure.

Covers what our CRD schemas use (structural schemas of apiextensions v1): types, required, enums, bounds, patterns,
int-or-string, maps, open parts. An API server says the same later; here all errors come at once and offline.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rayfleet.model.errors import FieldError
from rayfleet.model.meta import JsonObject
from rayfleet.objects.quantity import QUANTITY_PATTERN

PERCENT_PATTERN = "^[0-9]+%$"
NAME_PATTERN = "^[a-z]([-a-z0-9]*[a-z0-9])?$"

_WRONG_TEXT: Mapping[str, str] = {
    PERCENT_PATTERN: "is neither a count nor a percentage",
    QUANTITY_PATTERN: "is no quantity (such as 500m, 2 or 8Gi)",
    NAME_PATTERN: "is no DNS-1035 name (lower-case letters, digits and '-', beginning with a letter)",
}
_TYPE_WORDS: Mapping[str, str] = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_SHOWN_LETTERS = 60


def schema_errors(value: Any, schema: JsonObject, path: str) -> tuple[FieldError, ...]:
    """Return everything in ``value`` that ``schema`` refuses, in the order of the document; null counts as absent."""
    return tuple(_errors(value, schema, path))


def defaulted(value: Any, schema: JsonObject) -> Any:
    """Return ``value`` without nulls and with the schema's defaults filled in; open parts are left as they are."""
    properties: JsonObject = schema.get("properties", {})
    match value:
        case dict() if properties:
            known = {name: item for name, item in value.items() if item is not None or name not in properties}
            for name, part in properties.items():
                if name not in known and "default" in part:
                    known[name] = part["default"]
            return {name: defaulted(item, properties.get(name, {})) for name, item in known.items()}
        case list() if "items" in schema:
            return [defaulted(item, schema["items"]) for item in value]
        case _:
            return value


def shown(value: Any) -> str:
    """Return ``value`` as a user wrote it, shortened: ``"30"``, ``7``, ``{"a": 1}``."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_LETTERS else f"{text[: _SHOWN_LETTERS - 3]}..."


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return `` (did you mean "replicas"?)`` when a known name is near, else nothing."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f' (did you mean "{near[0]}"?)' if near else ""


def quoting_hint(value: Any) -> str:
    """Return what to write instead where a number or truth value stands for text, else nothing."""
    return f' (quote it: "{json.dumps(value)}")' if isinstance(value, bool | int | float) else ""


def child_path(path: str, name: str) -> str:
    """Return the path of a field; names with dots or slashes stand in brackets (``labels["ray.io/group"]``)."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return f'{path}["{name}"]'
    return f"{path}.{name}" if path else name


def _errors(value: Any, schema: JsonObject, path: str) -> Iterator[FieldError]:
    wrong = _type_error(value, schema)
    if wrong:
        yield FieldError(path=path, message=wrong)
        return
    match value:
        case dict():
            yield from _mapping_errors(value, schema, path)
        case list():
            for index, item in enumerate(value):
                yield from _errors(item, schema.get("items", {}), f"{path}[{index}]")
        case _:
            yield from (FieldError(path=path, message=message) for message in _scalar_errors(value, schema))


def _type_error(value: Any, schema: JsonObject) -> str:
    """Return what is wrong with the type of ``value``, empty when nothing is."""
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            expected = _WRONG_TEXT.get(schema.get("pattern", ""), "is neither a whole number nor text")
            return f"{shown(value)} {expected}{quoting_hint(value)}"
        return ""
    kind = schema.get("type")
    fits = {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
    }
    if kind is None or fits[kind]:
        return ""
    hint = quoting_hint(value) if kind == "string" else ""
    return f"{shown(value)} is not {_TYPE_WORDS[kind]}{hint}"


def _mapping_errors(value: JsonObject, schema: JsonObject, path: str) -> Iterator[FieldError]:
    properties: JsonObject = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    is_open = schema.get("x-kubernetes-preserve-unknown-fields", False) or not (properties or rest)
    for name in schema.get("required", ()):
        if value.get(name) is None:
            yield FieldError(path=child_path(path, name), message="must be given")
    for name, item in value.items():
        here = child_path(path, str(name))
        if item is None:
            continue
        if name in properties:
            yield from _errors(item, properties[name], here)
        elif rest is not None:
            yield from _errors(item, rest, here)
        elif not is_open:
            yield FieldError(path=here, message=f"unknown field{did_you_mean(str(name), list(properties))}")


def _scalar_errors(value: Any, schema: JsonObject) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        choices = ", ".join(schema["enum"])
        yield f"{shown(value)} is none of {choices}{did_you_mean(str(value), schema['enum'])}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            word = "must not be negative" if schema["minimum"] == 0 else f"must be at least {schema['minimum']}"
            yield f"{shown(value)} {word}"
        if value > schema.get("maximum", value):
            yield f"{shown(value)} must be at most {schema['maximum']}"
    if isinstance(value, str):
        yield from _text_errors(value, schema)


def _text_errors(value: str, schema: JsonObject) -> Iterator[str]:
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value):
        yield f"{shown(value)} {_WRONG_TEXT.get(pattern, f'does not match {pattern}')}"
    if len(value) < schema.get("minLength", 0):
        yield "must not be empty"
    if len(value) > schema.get("maxLength", len(value)):
        yield f"{shown(value)} is {len(value)} letters long, at most {schema['maxLength']} are allowed"
