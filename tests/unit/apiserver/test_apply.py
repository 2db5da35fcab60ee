"""Merging, comparing and owning fields: pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.kinds.schemas import Schemas
from rayfleet.local.apiserver.kinds.shapes import Shape
from rayfleet.local.apiserver.writes.applying import LAST_APPLIED, Configuration, applied, applier_named
from rayfleet.local.apiserver.writes.comparing import compared, first_type_problem, stated_fields
from rayfleet.local.apiserver.writes.field_sets import decode_fields, encode_fields, shown_path
from rayfleet.local.apiserver.writes.merging import merged, pruned
from rayfleet.local.apiserver.writes.owners import UPDATE, Manager, Owned, encode_owners
from rayfleet.model.json import Json

NOW = datetime(2026, 1, 2, tzinfo=UTC)
KEYED = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}},
}
SHAPE = Shape(
    Schemas({}),
    {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {
                "type": "object",
                "properties": {
                    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
                    "uid": {"type": "string"},
                },
            },
            "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "plain": {"type": "array", "items": {"type": "string"}},
            "keyed": KEYED,
            "struct": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
            "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
)


def fields(*paths: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(f"f:{name}" for name in path.split(".")) for path in paths)


@pytest.mark.parametrize(
    ("old", "new", "result"),
    [
        ("abc", "ca", "bca"),
        ("abc", "xb", "axbc"),
        ("ab", "", "ab"),
        ("", "ba", "ba"),
        ("abcd", "db", "acdb"),
    ],
)
def test_a_set_keeps_others_and_takes_the_order_of_what_is_applied(old: str, new: str, result: str) -> None:
    assert merged(SHAPE, {"names": [*old]}, {"names": [*new]}) == {"names": [*result]}


@pytest.mark.parametrize(
    ("live", "config", "result"),
    [
        ({"plain": ["a"]}, {"plain": ["b"]}, {"plain": ["b"]}),
        ({"whole": {"a": "1"}}, {"whole": {"b": "1"}}, {"whole": {"b": "1"}}),
        ({"open": {"a": {"x": 1}}}, {"open": {"a": {"y": 1}}}, {"open": {"a": {"x": 1, "y": 1}}}),
        (
            {"keyed": [{"name": "a", "size": 1}]},
            {"keyed": [{"name": "b"}, {"name": "a", "size": 2}]},
            {"keyed": [{"name": "b"}, {"name": "a", "size": 2}]},
        ),
    ],
)
def test_what_is_atomic_is_replaced_and_all_else_merged(live: Json, config: Json, result: Json) -> None:
    assert merged(SHAPE, live, config) == result


def test_fields_are_written_and_read_again() -> None:
    value = {"names": ["a"], "keyed": [{"name": "x", "size": 1}], "whole": {"a": "1"}, "struct": {"a": 1}}
    stated = stated_fields(SHAPE, value)
    tree = encode_fields(stated)
    assert tree == {
        "f:keyed": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:size": {}}},
        "f:names": {'v:"a"': {}},
        "f:struct": {"f:a": {}},
        "f:whole": {},
    }
    assert decode_fields(tree) == stated
    assert sorted(shown_path(path) for path in stated)[:2] == ['.keyed[name="x"]', '.keyed[name="x"].name']


def test_a_comparison_tells_structs_that_come_and_go() -> None:
    difference = compared(SHAPE, {"struct": {"a": 1}}, {"whole": {}, "keyed": [{"name": "x"}]})
    assert difference.removed == fields("struct", "struct.a")
    item = ("f:keyed", 'k:{"name":"x"}')
    assert difference.added == {*fields("whole", "keyed"), item, (*item, "f:name")}
    assert compared(SHAPE, {"struct": {"a": 1}}, {"struct": {"a": 1.5}}).modified == fields("struct.a")


@pytest.mark.parametrize(
    ("last", "owned", "left"),
    [
        (("struct.a",), ("struct.b",), {"struct": {"b": 2}}),
        (("struct.a",), ("struct.a", "struct.b"), {"struct": {"a": 1, "b": 2}}),
        (("struct.a", "struct.b"), (), {}),
        (("struct.a", "struct.b"), ("struct.b",), {"struct": {"b": 2}}),
        ((), (), {"struct": {"a": 1, "b": 2}}),
    ],
)
def test_what_nobody_owns_any_more_goes_with_the_struct_around_it(last: Any, owned: Any, left: Json) -> None:
    whole = {"struct": {"a": 1, "b": 2}}
    assert pruned(SHAPE, whole, fields(*last), fields(*owned)) == left
    assert whole == {"struct": {"a": 1, "b": 2}}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"nothing": 1}, ".nothing: field not declared in schema"),
        ({"struct": {"a": "1"}}, ".struct.a: expected numeric, got '1'"),
        ({"struct": {"a": True}}, ".struct.a: expected numeric, got True"),
        ({"keyed": [{"size": 1}]}, '.keyed: element 0: associative list with keys has an element that omits all of ["'),
        ({"open": {"a": [1]}, "struct": None}, ""),
    ],
)
def test_a_wrong_type_is_named_with_its_place(value: Json, problem: str) -> None:
    found = first_type_problem(SHAPE, value)
    assert found.startswith(problem) if problem else found == ""


def live(owner: Manager, **content: Any) -> Json:
    meta = content.pop("metadata", {})
    stated = stated_fields(SHAPE, content)
    owners = encode_owners({owner: Owned(fields=stated, api_version="v1")})
    return {"apiVersion": "v1", "kind": "K", "metadata": {"uid": "u", "managedFields": owners, **meta}, **content}


KUBECTL = Manager(name="kubectl-client-side-apply", operation=UPDATE, api_version="v1")


def configuration(**content: Any) -> Configuration:
    config = {"apiVersion": "v1", "kind": "K", "metadata": {}, **content}
    return Configuration(sent=config, typed=config)


@pytest.mark.parametrize(
    ("applier", "value", "is_taken"), [("kubectl", 1, True), ("kubectl", 7, False), ("x", 1, False)]
)
def test_kubectl_takes_over_what_it_applied_on_its_own_side(applier: str, value: int, is_taken: bool) -> None:
    last = f'{{"apiVersion":"v1","struct":{{"a":{value}}}}}'
    before = live(KUBECTL, struct={"a": 1}, metadata={"annotations": {LAST_APPLIED: last}})
    manager = applier_named(applier, "")
    if not is_taken:
        with pytest.raises(Refusal, match="Apply failed with 1 conflict") as refused:
            applied(SHAPE, before, configuration(struct={"a": 2}), manager, force=False, now=NOW)
        assert refused.value.code == 409
        return
    result = applied(SHAPE, before, configuration(struct={"a": 2}), manager, force=False, now=NOW)
    assert result.object["struct"] == {"a": 2}
    assert result.object["metadata"]["annotations"][LAST_APPLIED] != last
    assert result.owners[manager].fields == fields("struct.a")
