"""The one walk over schemas: what it finds, and where a manifest and a stored object are read differently."""

from dataclasses import replace
from typing import Any

import pytest

from rayfleet.manifest.structural import with_defaults
from rayfleet.manifest.violations import Reading, violations
from rayfleet.model.json import Json, ReadOnlyJson

STORED = Reading(
    has_match=lambda pattern, text: pattern in text,
    is_of_format=lambda value, schema: schema.get("format") != "never" or value == "",
    is_null_absent=False,
    is_type_decisive=False,
    is_pruned=True,
    is_required_first=False,
    is_decoded_by_go=True,
)
TEXT: Json = {"type": "string"}
WHOLE: Json = {"type": "integer"}
FIELDS: Json = {"type": "object", "required": ["a"], "properties": {"a": TEXT, "b": WHOLE}}


def broken(value: Any, schema: Json, reading: Reading = STORED, **old: Any) -> list[tuple[tuple[str | int, ...], str]]:
    return [(each.path, each.keyword) for each in violations(value, schema, reading, **old)]


@pytest.mark.parametrize(
    ("value", "schema", "keywords"),
    [
        ("abc", {"type": "string", "maxLength": 2, "pattern": "x", "enum": ["a"]}, ["maxLength", "enum"]),
        ("a", {"type": "string", "minLength": 2, "pattern": "x"}, ["minLength"]),
        ("a", {"type": "string", "pattern": "x", "format": "never"}, ["pattern", "format"]),
        (7, {"type": "integer", "multipleOf": 2, "minimum": 8, "format": "never"}, ["format", "multipleOf", "minimum"]),
        (8, {"type": "integer", "maximum": 8}, []),
        (8, {"type": "integer", "maximum": 8, "exclusiveMaximum": True}, ["maximum"]),
        ([1, 1], {"type": "array", "minItems": 3, "uniqueItems": True}, ["minItems", "uniqueItems"]),
        ([True, 1], {"type": "array", "uniqueItems": True}, []),
        ({"a": 1}, {"type": "object", "minProperties": 2}, ["minProperties"]),
        (True, {"enum": [1]}, ["enum"]),
        ("x", {"x-kubernetes-int-or-string": True, "minimum": 3}, []),
        (True, {"x-kubernetes-int-or-string": True}, ["type"]),
        (None, {"type": "string", "nullable": True}, []),
        (1, {"anyOf": [TEXT, {"minimum": 2}]}, ["anyOf"]),
        (1, {"oneOf": [WHOLE, {"minimum": 1}]}, ["oneOf"]),
        (1, {"allOf": [WHOLE, TEXT]}, ["allOf"]),
        (1, {"not": WHOLE}, ["not"]),
    ],
)
def test_a_value_breaks_these_keywords_in_this_order(value: Any, schema: Json, keywords: list[str]) -> None:
    assert broken(value, schema) == [((), keyword) for keyword in keywords]


def test_a_violation_has_its_path_and_its_alternatives() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "array", "items": {"anyOf": [TEXT, FIELDS]}}}
    (violation,) = violations({"x.y": ["", {"a": 1}]}, schema, STORED)
    assert (violation.path, violation.value) == (("x.y", 1), {"a": 1})
    inner = [[(each.path, each.keyword) for each in alternative] for alternative in violation.alternatives]
    assert inner == [[(("x.y", 1), "type")], [(("x.y", 1, "a"), "type")]]


@pytest.mark.parametrize(
    ("difference", "value", "stored", "manifest"),
    [
        ({"is_null_absent": True}, {"a": "x", "b": None}, [(("b",), "type")], []),
        ({"is_null_absent": True}, {"a": None}, [(("a",), "type")], [(("a",), "required")]),
        ({"is_type_decisive": True}, "x", [((), "type"), ((), "enum")], [((), "type")]),
        ({"is_pruned": False}, {"a": "x", "c": 1}, [], [(("c",), "properties")]),
        (
            {"is_required_first": True},
            {"b": "x"},
            [(("b",), "type"), (("a",), "required")],
            [(("a",), "required"), (("b",), "type")],
        ),
        ({"is_decoded_by_go": False}, {"a": "x", "b": 1.0}, [], [(("b",), "type")]),
        ({"is_decoded_by_go": False}, {"a": "x", "b": 2**63}, [(("b",), "type")], []),
    ],
)
def test_a_manifest_is_read_otherwise(difference: Json, value: Any, stored: Any, manifest: Any) -> None:
    schema = {**FIELDS, "enum": [value] if isinstance(value, dict) else []}
    assert broken(value, schema) == stored
    assert broken(value, schema, replace(STORED, **difference)) == manifest


def test_what_did_not_change_is_not_judged_again() -> None:
    items = {**FIELDS, "properties": {**FIELDS["properties"], "c": WHOLE}}
    schema = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items": items}
    old = [{"a": "x", "b": "wrong"}]
    assert broken([{"a": "x", "b": "wrong", "c": "wrong"}], schema, old=old) == [((0, "c"), "type")]


def test_null_gives_way_to_a_default_or_goes() -> None:
    schema: Json = {
        "type": "object",
        "properties": {
            "a": {"type": "integer", "default": 1},
            "b": TEXT,
            "c": {"type": "string", "nullable": True},
            "labels": {"type": "object", "additionalProperties": TEXT},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    given: Json = {"a": None, "b": None, "c": None, "labels": {"x": None, "y": "z"}, "open": {"x": None}}
    assert with_defaults(given, schema) == {"a": 1, "c": None, "labels": {"y": "z"}, "open": {"x": None}}
    assert given["a"] is None, "the object that was given stays as it is"


@pytest.mark.parametrize("schema", [{}, {"x-kubernetes-preserve-unknown-fields": True}, {"properties": {"a": {}}}])
def test_what_is_defaulted_shares_no_part_with_what_was_given(schema: ReadOnlyJson) -> None:
    given: Json = {"a": {"b": [{"c": 1}]}}
    filled = with_defaults(given, schema)
    assert filled == given
    filled["a"]["b"][0]["c"] = 2
    assert given == {"a": {"b": [{"c": 1}]}}
