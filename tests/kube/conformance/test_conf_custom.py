"""Custom resources: pruning, defaults, validation, rules, scale, tables, and the life of a definition."""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import TABLE, RawApi

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def widget(name: str = "w", **spec: Any) -> Json:
    return {"apiVersion": "conformance.rayfleet.dev/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


async def test_defaults_are_filled_in(api: RawApi, widgets: str) -> None:
    made = (await api.post(widgets, widget(ports=[{"name": "http"}]))).json
    assert made["spec"] == {"replicas": 1, "size": "small", "ports": [{"name": "http", "protocol": "TCP"}]}
    assert (await api.get(f"{widgets}/w")).json == made


async def test_nulls_are_dropped_unless_allowed(api: RawApi, widgets: str) -> None:
    made = (await api.post(widgets, widget(replicas=None, code=None, maybe=None))).json
    assert made["spec"] == {"replicas": 1, "size": "small", "maybe": None}


async def test_unknown_fields_are_pruned_with_a_warning(api: RawApi, widgets: str) -> None:
    answer = await api.post(widgets, widget(closed={"a": 1, "b": 2}, other=1, open={"x": {"y": 1}}, labels={"a": "b"}))
    assert answer.status == 201
    spec = answer.json["spec"]
    assert spec["closed"] == {"a": 1}
    assert spec["open"] == {"x": {"y": 1}}
    assert spec["labels"] == {"a": "b"}
    assert "other" not in spec
    assert set(answer.warnings) == {
        '299 - "unknown field \\"spec.closed.b\\""',
        '299 - "unknown field \\"spec.other\\""',
    }


async def test_unknown_fields_fail_when_strict(api: RawApi, widgets: str) -> None:
    body = {**widget(closed={"b": 2}), "extra": 1}
    answer = await api.post(widgets, body, fieldValidation="Strict")
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert 'unknown field "spec.closed.b"' in answer.json["message"]
    assert 'unknown field "extra"' in answer.json["message"]


async def test_repeated_fields_fail_when_strict(api: RawApi, widgets: str) -> None:
    body = (
        b'{"apiVersion":"conformance.rayfleet.dev/v1","kind":"Widget","metadata":{"name":"w"},'
        b'"spec":{"replicas":1,"replicas":2}}'
    )
    answer = await api.call("POST", widgets, body, query={"fieldValidation": "Strict"})
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert 'duplicate field "spec.replicas"' in answer.json["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Widget", "metadata": {"name": "w"}},
        {"apiVersion": "conformance.rayfleet.dev/v1", "metadata": {"name": "w"}},
        {"apiVersion": "conformance.rayfleet.dev/v2", "kind": "Widget", "metadata": {"name": "w"}},
    ],
)
async def test_a_custom_resource_must_say_what_it_is(api: RawApi, widgets: str, body: ReadOnlyJson) -> None:
    answer = await api.post(widgets, body)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_another_kind_is_invalid(api: RawApi, widgets: str) -> None:
    answer = await api.post(widgets, {**widget(), "kind": "Gadget"})
    assert answer.status == 422
    assert ("kind", "FieldValueInvalid") in answer.causes


WRONG: dict[str, tuple[Json, tuple[str, str]]] = {
    "below minimum": ({"replicas": -1}, ("spec.replicas", "FieldValueInvalid")),
    "wrong type": ({"replicas": "3"}, ("spec.replicas", "FieldValueTypeInvalid")),
    "fraction for a whole": ({"replicas": 1.5}, ("spec.replicas", "FieldValueTypeInvalid")),
    "outside the enumeration": ({"size": "huge"}, ("spec.size", "FieldValueNotSupported")),
    "pattern": ({"code": "A1"}, ("spec.code", "FieldValueInvalid")),
    "too long": ({"code": "a" * 9}, ("spec.code", "FieldValueTooLong")),
    "too short": ({"code": ""}, ("spec.code", "FieldValueInvalid")),
    "above maximum": ({"ratio": 1.5}, ("spec.ratio", "FieldValueInvalid")),
    "neither integer nor text": ({"share": 1.5}, ("spec.share", "FieldValueTypeInvalid")),
    "too many items": ({"tags": ["a", "b", "c", "d"]}, ("spec.tags", "FieldValueTooMany")),
    "repeated in a set": ({"tags": ["a", "a"]}, ("spec.tags[1]", "FieldValueDuplicate")),
    "item of wrong type": ({"tags": ["a", 1]}, ("spec.tags[1]", "FieldValueTypeInvalid")),
    "item without its key": ({"ports": [{"port": 1}]}, ("spec.ports[0].name", "FieldValueRequired")),
    "key twice": ({"ports": [{"name": "a"}, {"name": "a"}]}, ("spec.ports[1]", "FieldValueDuplicate")),
    "value of wrong type": ({"labels": {"a": 1}}, ("spec.labels.a", "FieldValueTypeInvalid")),
    "no map": ({"labels": []}, ("spec.labels", "FieldValueTypeInvalid")),
    "no time": ({"when": "yesterday"}, ("spec.when", "FieldValueTypeInvalid")),
    "rule": ({"replicas": 11}, ("spec", "FieldValueInvalid")),
    "rule with a field and a reason": ({"code": "bad"}, ("spec.code", "FieldValueForbidden")),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG.keys())
async def test_a_wrong_value_is_refused_with_its_field(
    api: RawApi, widgets: str, case: tuple[ReadOnlyJson, tuple[str, str]]
) -> None:
    spec, cause = case
    answer = await api.post(widgets, widget(**spec))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert cause in answer.causes, answer.causes
    assert answer.json["details"]["kind"] == "Widget"
    assert answer.json["details"]["group"] == "conformance.rayfleet.dev"


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 11, "size": "large"},
        {"share": "30%"},
        {"share": 3},
        {"ratio": 1},
        {"ratio": 0.25},
        {"tags": []},
        {"when": "2026-01-02T03:04:05Z"},
        {"code": "abc", "fixed": "x"},
    ],
)
async def test_a_right_value_is_taken(api: RawApi, widgets: str, spec: ReadOnlyJson) -> None:
    answer = await api.post(widgets, widget(**spec))
    assert answer.status == 201, answer.body
    assert answer.json["spec"].items() >= spec.items()


async def test_a_rules_message_is_told(api: RawApi, widgets: str) -> None:
    plain = await api.post(widgets, widget(replicas=11))
    assert "more than ten must be large" in plain.json["message"]
    made_up = await api.post(widgets, widget(code="bad"))
    assert "code bad is refused" in made_up.json["message"]


async def test_a_transition_rule_holds_on_updates_alone(api: RawApi, widgets: str) -> None:
    assert (await api.post(widgets, widget(fixed="a"))).status == 201
    answer = await api.patch(f"{widgets}/w", {"spec": {"fixed": "b"}})
    assert answer.status == 422
    assert answer.causes == {("spec.fixed", "FieldValueInvalid")}
    assert "fixed cannot change" in answer.json["message"]
    assert (await api.patch(f"{widgets}/w", {"spec": {"replicas": 2}})).status == 200
    assert (await api.patch(f"{widgets}/w", {"spec": {"fixed": None}})).status == 200
    assert (await api.patch(f"{widgets}/w", {"spec": {"fixed": "c"}})).status == 200


async def test_the_scale_shows_and_sets_replicas(api: RawApi, widgets: str) -> None:
    made = (await api.post(widgets, widget(replicas=3))).json
    scale = (await api.get(f"{widgets}/w/scale")).json
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["metadata"]["uid"] == made["metadata"]["uid"]
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 0}
    await api.patch(f"{widgets}/w/status", {"status": {"replicas": 2, "selector": "a=b"}})
    assert (await api.get(f"{widgets}/w/scale")).json["status"] == {"replicas": 2, "selector": "a=b"}
    patched = await api.patch(f"{widgets}/w/scale", {"spec": {"replicas": 5}})
    assert (patched.status, patched.json["spec"]) == (200, {"replicas": 5})
    found = (await api.get(f"{widgets}/w")).json
    assert (found["spec"]["replicas"], found["metadata"]["generation"]) == (5, 2)
    body = (await api.get(f"{widgets}/w/scale")).json | {"spec": {"replicas": 6}}
    assert (await api.put(f"{widgets}/w/scale", body)).json["spec"] == {"replicas": 6}
    assert (await api.get(f"{widgets}/w")).json["status"] == {"replicas": 2, "selector": "a=b"}


@pytest.mark.parametrize(("replicas", "status"), [(-1, 422), (11, 422), ("3", 422)])
async def test_a_wrong_scale_is_refused(api: RawApi, widgets: str, replicas: object, status: int) -> None:
    await api.post(widgets, widget())
    assert (await api.patch(f"{widgets}/w/scale", {"spec": {"replicas": replicas}})).status == status


async def test_a_scale_of_an_old_version_conflicts(api: RawApi, widgets: str) -> None:
    await api.post(widgets, widget())
    scale = (await api.get(f"{widgets}/w/scale")).json
    await api.patch(f"{widgets}/w", {"spec": {"replicas": 2}})
    answer = await api.put(f"{widgets}/w/scale", {**scale, "spec": {"replicas": 3}})
    assert (answer.status, answer.reason) == (409, "Conflict")


async def test_the_table_has_the_definitions_columns(api: RawApi, widgets: str) -> None:
    await api.post(widgets, widget(ports=[{"name": "admin", "port": 1}, {"name": "http", "port": 8}]))
    await api.patch(f"{widgets}/w/status", {"status": {"phase": "Up"}})
    await api.post(widgets, widget("x"))
    found = (await api.get(widgets, accept=TABLE)).json
    columns = [(each["name"], each["type"], each["priority"]) for each in found["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0),
        ("Replicas", "integer", 0),
        ("Phase", "string", 0),
        ("Port", "integer", 0),
        ("Age", "date", 0),
        ("Size", "string", 1),
    ]
    assert found["rows"][0]["cells"][:4] == ["w", 1, "Up", 8]
    assert found["rows"][1]["cells"][:4] == ["x", 1, None, None]
    assert found["rows"][0]["cells"][5] == "small"
