"""Custom resources: pruning, defaults, validation, rules, scale, tables, and the life of a definition."""

import asyncio
from typing import Any

import pytest

from rayfleet.model.meta import JsonObject
from rayfleet.testing.raw_api import TABLE, RawApi

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def widget(name: str = "w", **spec: Any) -> JsonObject:
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
async def test_a_custom_resource_must_say_what_it_is(api: RawApi, widgets: str, body: JsonObject) -> None:
    answer = await api.post(widgets, body)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_another_kind_is_invalid(api: RawApi, widgets: str) -> None:
    answer = await api.post(widgets, {**widget(), "kind": "Gadget"})
    assert answer.status == 422
    assert ("kind", "FieldValueInvalid") in answer.causes


WRONG: dict[str, tuple[JsonObject, tuple[str, str]]] = {
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
    api: RawApi, widgets: str, case: tuple[JsonObject, tuple[str, str]]
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
async def test_a_right_value_is_taken(api: RawApi, widgets: str, spec: JsonObject) -> None:
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


def definition(group: str, **spec: Any) -> JsonObject:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object"}}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    whole = {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [version],
        **spec,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{whole['names']['plural']}.{group}"},
        "spec": whole,
    }


async def established(api: RawApi, name: str) -> JsonObject:
    async with asyncio.timeout(20):
        while True:
            found: JsonObject = (await api.get(f"{DEFINITIONS}/{name}")).json
            conditions = {each["type"]: each["status"] for each in found["status"].get("conditions") or ()}
            if conditions.get("Established") == "True":
                return found
            await asyncio.sleep(0.05)


async def answers(api: RawApi, path: str, status: int) -> None:
    async with asyncio.timeout(20):
        while (await api.get(path)).status != status:
            await asyncio.sleep(0.05)


async def test_a_definition_gets_names_and_conditions(api: RawApi, ns: str) -> None:
    name = f"things.{ns}.io"
    made = await api.post(DEFINITIONS, definition(f"{ns}.io"))
    assert made.status == 201
    assert made.json["spec"]["names"] == {
        "plural": "things",
        "singular": "thing",
        "kind": "Thing",
        "listKind": "ThingList",
    }
    assert made.json["spec"]["conversion"] == {"strategy": "None"}
    found = await established(api, name)
    assert found["status"]["storedVersions"] == ["v1"]
    assert found["status"]["acceptedNames"]["kind"] == "Thing"
    reasons = {each["type"]: each["reason"] for each in found["status"]["conditions"]}
    assert reasons == {"NamesAccepted": "NoConflicts", "Established": "InitialNamesAccepted"}
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_a_definition_goes_with_its_objects(api: RawApi, ns: str) -> None:
    name, path = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, name)
    await answers(api, path, 200)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
    async with asyncio.timeout(20):
        while (await api.post(path, thing)).status != 201:
            await asyncio.sleep(0.05)
    answer = await api.delete(f"{DEFINITIONS}/{name}")
    assert answer.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    await answers(api, f"{DEFINITIONS}/{name}", 404)
    await answers(api, path, 404)
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, name)
    await answers(api, path, 200)
    assert (await api.get(path)).json["items"] == []
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_an_object_with_a_finalizer_holds_its_definition(api: RawApi, ns: str) -> None:
    name, path = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, name)
    await answers(api, path, 200)
    meta = {"name": "t", "finalizers": ["x.io/a"]}
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": meta}
    async with asyncio.timeout(20):
        while (await api.post(path, thing)).status != 201:
            await asyncio.sleep(0.05)
    await api.delete(f"{DEFINITIONS}/{name}")
    async with asyncio.timeout(20):
        while "deletionTimestamp" not in (await api.get(f"{path}/t")).json["metadata"]:
            await asyncio.sleep(0.05)
    found = (await api.get(f"{DEFINITIONS}/{name}")).json
    conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
    assert conditions["Terminating"] == "True"
    late = await api.post(path, {**thing, "metadata": {"name": "late"}})
    assert (late.status, late.reason) == (403, "Forbidden")
    await api.patch(f"{path}/t", {"metadata": {"finalizers": None}})
    await answers(api, f"{DEFINITIONS}/{name}", 404)


def version(**more: Any) -> JsonObject:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {"name": "v1", "served": True, "storage": True, "schema": schema, **more}


def with_schema(**properties: JsonObject) -> JsonObject:
    return {"versions": [version(schema={"openAPIV3Schema": {"type": "object", "properties": properties}})]}


REFUSED: dict[str, JsonObject] = {
    "no scope": {"scope": ""},
    "wrong scope": {"scope": "World"},
    "no version": {"versions": []},
    "two storage versions": {"versions": [version(), version(name="v2")]},
    "no schema": {"versions": [version(schema=None)]},
    "no type": with_schema(a={"description": "x"}),
    "wrong type": with_schema(a={"type": "text"}),
    "list without items": with_schema(a={"type": "array"}),
    "reference": with_schema(a={"$ref": "#/x"}),
    "root is no object": {"versions": [version(schema={"openAPIV3Schema": {"type": "string"}})]},
    "rule is no expression": with_schema(
        a={"type": "object", "x-kubernetes-validations": [{"rule": "self.", "message": "x"}]}
    ),
    "rule with unknown function": with_schema(
        a={"type": "string", "x-kubernetes-validations": [{"rule": "nothing(self)", "message": "x"}]}
    ),
    "default of wrong type": with_schema(a={"type": "integer", "default": "x"}),
    "list map without keys": with_schema(
        a={"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}
    ),
    "kind with space": {"names": {"plural": "things", "kind": "A Thing"}},
    "no kind": {"names": {"plural": "things"}},
    "short name": {"names": {"plural": "things", "kind": "Thing", "shortNames": ["T_"]}},
}


@pytest.mark.parametrize("spec", REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_definition_is_refused(api: RawApi, ns: str, spec: JsonObject) -> None:
    answer = await api.post(DEFINITIONS, definition(f"{ns}.io", **spec))
    assert (answer.status, answer.reason) == (422, "Invalid"), answer.body


async def test_a_definition_is_named_after_its_kind(api: RawApi, ns: str) -> None:
    body = definition(f"{ns}.io")
    body["metadata"]["name"] = "other.io"
    answer = await api.post(DEFINITIONS, body)
    assert answer.status == 422
    assert ("metadata.name", "FieldValueInvalid") in answer.causes


async def test_a_kind_that_is_taken_is_not_accepted(api: RawApi, ns: str) -> None:
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, f"things.{ns}.io")
    await api.post(
        DEFINITIONS, definition(f"{ns}.io", names={"plural": "others", "kind": "Thing", "singular": "other"})
    )
    name = f"others.{ns}.io"
    async with asyncio.timeout(20):
        while True:
            found = (await api.get(f"{DEFINITIONS}/{name}")).json
            conditions = {each["type"]: each for each in found["status"].get("conditions") or ()}
            if "NamesAccepted" in conditions:
                break
            await asyncio.sleep(0.05)
    assert conditions["NamesAccepted"]["status"] == "False"
    assert conditions["Established"]["status"] == "False"
    await api.delete(f"{DEFINITIONS}/{name}")
    await api.delete(f"{DEFINITIONS}/things.{ns}.io")


async def test_versions_show_the_same_objects(api: RawApi, ns: str) -> None:
    name = f"things.{ns}.io"
    await api.post(DEFINITIONS, definition(f"{ns}.io", versions=[version(), version(name="v2", storage=False)]))
    await established(api, name)
    old, new = (f"/apis/{ns}.io/{each}/namespaces/{ns}/things" for each in ("v1", "v2"))
    await answers(api, new, 200)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
    async with asyncio.timeout(20):
        while (await api.post(old, thing)).status != 201:
            await asyncio.sleep(0.05)
    assert (await api.get(f"{new}/t")).json["apiVersion"] == f"{ns}.io/v2"
    assert (await api.get(new)).json["items"][0]["apiVersion"] == f"{ns}.io/v2"
    changed = await api.patch(f"{new}/t", {"metadata": {"labels": {"a": "b"}}})
    assert changed.json["apiVersion"] == f"{ns}.io/v2"
    assert (await api.get(f"{old}/t")).json["metadata"]["labels"] == {"a": "b"}
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_a_cluster_wide_kind_has_no_namespace(api: RawApi, ns: str) -> None:
    name, path = f"things.{ns}.io", f"/apis/{ns}.io/v1/things"
    await api.post(DEFINITIONS, definition(f"{ns}.io", scope="Cluster"))
    await established(api, name)
    await answers(api, path, 200)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
    async with asyncio.timeout(20):
        while (await api.post(path, thing)).status != 201:
            await asyncio.sleep(0.05)
    assert "namespace" not in (await api.get(f"{path}/t")).json["metadata"]
    assert (await api.get(f"/apis/{ns}.io/v1/namespaces/{ns}/things")).status == 404
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_without_a_status_subresource_status_is_a_field(api: RawApi, ns: str) -> None:
    name, path = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    await api.post(DEFINITIONS, definition(f"{ns}.io", versions=[version(schema={"openAPIV3Schema": schema})]))
    await established(api, name)
    await answers(api, path, 200)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "status": {"a": 1}, "top": 1}
    async with asyncio.timeout(20):
        while (made := await api.post(path, thing)).status != 201:
            await asyncio.sleep(0.05)
    assert (made.json["status"], made.json["top"]) == ({"a": 1}, 1)
    changed = (await api.patch(f"{path}/t", {"status": {"a": 2}})).json
    assert (changed["status"], changed["metadata"]["generation"]) == ({"a": 2}, 2)
    assert (await api.get(f"{path}/t/status")).status == 404
    await api.delete(f"{DEFINITIONS}/{name}")
