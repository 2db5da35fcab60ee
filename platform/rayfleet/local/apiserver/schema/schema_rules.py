"""What a definition's schema may be: structural, with lists and maps that can be merged, and defaults that fit. Pure.

As ``apiextensions-apiserver``'s ``schema/validation.go`` and ``apis/apiextensions/validation`` of Kubernetes 1.36, with
the messages. CEL rules are ``rules``'s.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rayfleet.local.apiserver.grammar.patterns import BadPatternError, check_pattern
from rayfleet.local.apiserver.grammar.refusal import Cause, forbidden_field, required
from rayfleet.local.apiserver.schema.list_rules import list_and_map_problems
from rayfleet.local.apiserver.schema.pruning import prune_default
from rayfleet.local.apiserver.schema.validation import invalid, problems_at, shown
from rayfleet.manifest.structural import EMBEDDED, INT_OR_STRING, META_FIELDS, PRESERVE
from rayfleet.model.json import Json, ReadOnlyJson

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_UNSUPPORTED = ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref")
_LEVELS = {"root": "at the root", "item": "for specified array items", "field": "for specified object fields"}
# Inside anyOf, allOf, oneOf and not there are only conditions on values: what must not stand there, and the complaint.
_FORBIDDEN_NESTED = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    PRESERVE: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_INT_OR_STRING_ANY_OF = [{"type": "integer"}, {"type": "string"}]


def schema_problems(schema: ReadOnlyJson, at: str) -> list[Cause]:
    """Return why ``schema`` (an openAPIV3Schema) cannot be one; the causes' fields begin with ``at``."""
    causes = [*_node_problems(schema, at, "root")]
    return causes or [*_default_problems(schema, at)]


def _node_problems(schema: ReadOnlyJson, at: str, level: str) -> Iterator[Cause]:
    yield from _type_problems(schema, at, level)
    yield from _keyword_problems(schema, at)
    yield from _resource_problems(schema, at, level)
    yield from list_and_map_problems(schema, at)
    yield from _condition_problems(schema, at)
    additional = schema.get("additionalProperties")
    if additional is not None and level == "root":
        yield forbidden_field(f"{at}.additionalProperties", "must not be used at the root")
    if schema.get("properties") and additional is not None and additional is not True:
        text = "additionalProperties and properties are mutual exclusive"
        yield forbidden_field(f"{at}.additionalProperties", text)
    for name, inner in schema.get("properties", {}).items():
        if level != "root" or name not in META_FIELDS:
            yield from _node_problems(inner, f"{at}.properties[{name}]", "field")
    if isinstance(additional, dict):
        yield from _node_problems(additional, f"{at}.additionalProperties", "field")
    if isinstance(items := schema.get("items"), dict):
        yield from _node_problems(items, f"{at}.items", "item")


def _type_problems(schema: ReadOnlyJson, at: str, level: str) -> Iterator[Cause]:
    type_name = schema.get("type", "")
    if schema.get(EMBEDDED) and type_name != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        yield invalid(f"{at}.type", type_name, text) if type_name else required(f"{at}.type", text)
    elif not type_name and not schema.get(INT_OR_STRING) and not schema.get(PRESERVE):
        yield required(f"{at}.type", f"must not be empty {_LEVELS[level]}")
    if type_name and type_name not in _TYPES:
        listed = ", ".join(map(shown, _TYPES))
        message = f"Unsupported value: {shown(type_name)}: supported values: {listed}"
        yield Cause(field=f"{at}.type", reason="FieldValueNotSupported", message=message)
    if type_name == "null":
        yield forbidden_field(f"{at}.type", "type cannot be set to null, use nullable as an alternative")
    if level == "root" and type_name not in {"", "object"}:
        yield invalid(f"{at}.type", type_name, "must be object at the root")
    if isinstance(schema.get("items"), list):
        yield forbidden_field(f"{at}.items", "items must be a schema object and not an array")
    elif type_name == "array" and "items" not in schema:
        yield required(f"{at}.items", "must be specified")


def _keyword_problems(schema: ReadOnlyJson, at: str) -> Iterator[Cause]:
    for name in _UNSUPPORTED:
        if schema.get(name):
            yield forbidden_field(f"{at}.{name}", f"{name} is not supported")
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield forbidden_field(f"{at}.uniqueItems", text)
    if schema.get(PRESERVE) is False:
        yield invalid(f"{at}.{PRESERVE}", value=False, text="must be true or undefined")
    for name in (PRESERVE, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(name):
            yield invalid(f"{at}.{name}", value=True, text="must be false if x-kubernetes-int-or-string is true")


def _resource_problems(schema: ReadOnlyJson, at: str, level: str) -> Iterator[Cause]:
    """Tell what is wrong at the root, and where another resource is embedded."""
    properties: Json = schema.get("properties", {})
    if schema.get(EMBEDDED):
        if schema.get("additionalProperties") is not None:
            text = "must not be used if x-kubernetes-embedded-resource is set"
            yield forbidden_field(f"{at}.additionalProperties", text)
        if not schema.get(PRESERVE) and not properties:
            text = "must not be empty if x-kubernetes-embedded-resource is true without"
            yield required(f"{at}.properties", f"{text} {PRESERVE}")
    if level != "root" and not schema.get(EMBEDDED):
        return
    for name in META_FIELDS:
        if name in properties:
            type_name = "object" if name == "metadata" else "string"
            below = f"{at}.properties[{name}]"
            if properties[name].get("type", "") != type_name:
                yield invalid(f"{below}.type", properties[name].get("type", ""), f"must be {type_name}")
            if level == "root" and "default" in properties[name]:
                yield forbidden_field(f"{below}.default", f"must not be set in top-level {name}")
    if level == "root" and not _is_plain_metadata(properties.get("metadata", {})):
        text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        yield forbidden_field(f"{at}.properties[metadata]", text)


def _is_plain_metadata(metadata: ReadOnlyJson) -> bool:
    is_plain = metadata.keys() <= {"type", "description", "title", "properties", "default"}
    return is_plain and metadata.get("properties", {}).keys() <= {"name", "generateName"}


def _condition_problems(schema: ReadOnlyJson, at: str) -> Iterator[Cause]:
    """Tell what is wrong with pattern, anyOf, allOf, oneOf and not."""
    if pattern := schema.get("pattern"):
        try:
            check_pattern(pattern)
        except BadPatternError as error:
            text = f"must be a valid regular expression, but isn't: error parsing regexp: {error}"
            yield invalid(f"{at}.pattern", pattern, text)
    for name in ("anyOf", "allOf", "oneOf"):
        for index, nested in enumerate(schema.get(name, ())):
            yield from _nested_problems(nested, f"{at}.{name}[{index}]", is_exempt=_is_exempt(schema, name, index))
    if "not" in schema:
        yield from _nested_problems(schema["not"], f"{at}.not", is_exempt=False)


def _is_exempt(schema: ReadOnlyJson, name: str, index: int) -> bool:
    """Whether this is part of the one way to repeat the types of int-or-string."""
    is_any = name == "anyOf" and schema["anyOf"] == _INT_OR_STRING_ANY_OF
    return is_any or (name == "allOf" and index == 0 and schema["allOf"][0].get("anyOf") == _INT_OR_STRING_ANY_OF)


def _nested_problems(nested: ReadOnlyJson, at: str, *, is_exempt: bool) -> Iterator[Cause]:
    if is_exempt:
        return
    for name, text in _FORBIDDEN_NESTED.items():
        if nested.get(name) not in (None, "", False, [], {}):
            yield forbidden_field(f"{at}.{name}", text)
    yield from _condition_problems(nested, at)
    for name, inner in nested.get("properties", {}).items():
        below = f"{at}.properties[{name}]"
        if name == "metadata":
            yield forbidden_field(below, "must not be specified in a nested context")
        yield from _nested_problems(inner, below, is_exempt=False)
    if isinstance(items := nested.get("items"), dict):
        yield from _nested_problems(items, f"{at}.items", is_exempt=False)


def _default_problems(schema: ReadOnlyJson, at: str) -> Iterator[Cause]:
    default = schema.get("default")
    if default is not None:
        yield from _wrong_default(default, schema, f"{at}.default")
    inner: Sequence[tuple[str, Any]] = [
        *((f"properties[{name}]", each) for name, each in schema.get("properties", {}).items()),
        ("additionalProperties", schema.get("additionalProperties")),
        ("items", schema.get("items")),
    ]
    for below, each in inner:
        if isinstance(each, dict):
            yield from _default_problems(each, f"{at}.{below}")


def _wrong_default(default: Any, schema: ReadOnlyJson, field: str) -> Iterator[Cause]:
    if prune_default(default, schema) != default:
        yield invalid(field, default, "must not have unknown fields")
    for cause in problems_at(default, schema):
        inner = "" if cause.field == "<nil>" else cause.field
        separator = "." if inner and not inner.startswith("[") else ""
        yield replace(cause, field=f"{field}{separator}{inner}")
