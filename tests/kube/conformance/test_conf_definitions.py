"""The life of a definition: names, conditions, versions, deletion."""

from collections.abc import Callable
from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import Answer, RawApi
from rayfleet.testing.waiting import LIMIT_SECONDS, until

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str, **spec: Any) -> Json:
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


def conditions_of(definition: ReadOnlyJson) -> dict[str, str]:
    """Return the status of each condition; empty when there is none yet."""
    return {each["type"]: each["status"] for each in definition["status"].get("conditions") or ()}


async def until_definition(api: RawApi, name: str, what: str, holds: Callable[[ReadOnlyJson], object]) -> Json:
    async def look() -> Json:
        definition: Json = (await api.get(f"{DEFINITIONS}/{name}")).json
        return definition

    return await until(look, f"{name} {what}", LIMIT_SECONDS, holds=holds)


async def established(api: RawApi, name: str) -> Json:
    return await until_definition(
        api, name, "is established", lambda definition: conditions_of(definition).get("Established") == "True"
    )


async def answers(api: RawApi, path: str, status: int) -> Answer:
    """Read until the status is this one: a kind that was just made is listed once its cache is filled (429 before)."""
    return await until(
        lambda: api.get(path), f"{path}: {status}", LIMIT_SECONDS, holds=lambda answer: answer.status == status
    )


async def created(api: RawApi, path: str, thing: ReadOnlyJson) -> Answer:
    """Create an object of a kind that is new: an established definition is served a moment later."""
    return await until(
        lambda: api.post(path, thing), f"{path}: created", LIMIT_SECONDS, holds=lambda answer: answer.status == 201
    )


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
    await created(api, path, thing)
    answer = await api.delete(f"{DEFINITIONS}/{name}")
    assert answer.json["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    await answers(api, f"{DEFINITIONS}/{name}", 404)
    await answers(api, path, 404)
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, name)
    assert (await answers(api, path, 200)).json["items"] == []
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_an_object_with_a_finalizer_holds_its_definition(api: RawApi, ns: str) -> None:
    name, path = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, name)
    await answers(api, path, 200)
    meta = {"name": "t", "finalizers": ["x.io/a"]}
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": meta}
    await created(api, path, thing)
    await api.delete(f"{DEFINITIONS}/{name}")
    await until(
        lambda: api.get(f"{path}/t"),
        "the object is marked for deletion",
        LIMIT_SECONDS,
        holds=lambda answer: "deletionTimestamp" in answer.json["metadata"],
    )
    assert conditions_of((await api.get(f"{DEFINITIONS}/{name}")).json)["Terminating"] == "True"
    late = await until(
        # Nothing is stored by one that comes before the server's handler knows.
        lambda: api.post(path, {**thing, "metadata": {"name": "late"}}, dryRun="All"),
        "nothing is taken any more",
        holds=lambda answer: answer.status != 201,
    )
    assert (late.status, late.reason) == (403, "Forbidden")
    await api.patch(f"{path}/t", {"metadata": {"finalizers": None}})
    await answers(api, f"{DEFINITIONS}/{name}", 404)


def version(**more: Any) -> Json:
    schema = {"openAPIV3Schema": {"type": "object"}}
    return {"name": "v1", "served": True, "storage": True, "schema": schema, **more}


def with_schema(**properties: Json) -> Json:
    return {"versions": [version(schema={"openAPIV3Schema": {"type": "object", "properties": properties}})]}


REFUSED: dict[str, Json] = {
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
async def test_a_wrong_definition_is_refused(api: RawApi, ns: str, spec: ReadOnlyJson) -> None:
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
    judged = await until_definition(
        api, name, "has its names judged", lambda definition: "NamesAccepted" in conditions_of(definition)
    )
    assert conditions_of(judged) == {"NamesAccepted": "False", "Established": "False"}
    await api.delete(f"{DEFINITIONS}/{name}")
    await api.delete(f"{DEFINITIONS}/things.{ns}.io")


async def test_versions_show_the_same_objects(api: RawApi, ns: str) -> None:
    name = f"things.{ns}.io"
    await api.post(DEFINITIONS, definition(f"{ns}.io", versions=[version(), version(name="v2", storage=False)]))
    await established(api, name)
    old, new = (f"/apis/{ns}.io/{each}/namespaces/{ns}/things" for each in ("v1", "v2"))
    await answers(api, new, 200)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
    await created(api, old, thing)
    assert (await api.get(f"{new}/t")).json["apiVersion"] == f"{ns}.io/v2"
    assert (await answers(api, new, 200)).json["items"][0]["apiVersion"] == f"{ns}.io/v2"
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
    await created(api, path, thing)
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
    made = await created(api, path, thing)
    assert (made.json["status"], made.json["top"]) == ({"a": 1}, 1)
    changed = (await api.patch(f"{path}/t", {"status": {"a": 2}})).json
    assert (changed["status"], changed["metadata"]["generation"]) == ({"a": 2}, 2)
    assert (await api.get(f"{path}/t/status")).status == 404
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_a_condition_without_a_type_does_no_harm(api: RawApi, ns: str) -> None:
    name = f"things.{ns}.io"
    await api.post(DEFINITIONS, definition(f"{ns}.io"))
    await established(api, name)
    conditions = [{"reason": "Test", "message": "without a type"}]
    answer = await api.patch(f"{DEFINITIONS}/{name}/status", {"status": {"conditions": conditions}})
    assert answer.status == 200
    (shown,) = [each for each in answer.json["status"]["conditions"] if each.get("reason") == "Test"]
    assert (shown["type"], shown["status"], shown["lastTransitionTime"]) == ("", "", None)
    assert (await api.delete(f"{DEFINITIONS}/{name}")).status == 200
    await answers(api, f"{DEFINITIONS}/{name}", 404)


async def test_a_new_default_and_a_dropped_field_show_on_what_is_stored(api: RawApi, ns: str) -> None:
    name, things = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    spec = {"a": {"type": "string"}, "gone": {"type": "string"}}
    await api.post(DEFINITIONS, definition(f"{ns}.io", versions=[version_of(spec)]))
    await established(api, name)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"gone": "x"}}
    made = (await created(api, things, thing)).json
    changed = {"a": {"type": "string", "default": "filled"}}
    versions = {"spec": {"versions": [version_of(changed)]}}
    assert (await api.patch(f"{DEFINITIONS}/{name}", versions)).status == 200

    def shows_the_default(answer: Answer) -> bool:
        return answer.status == 200 and answer.json["spec"] == {"a": "filled"}

    read = await until(lambda: api.get(f"{things}/a"), "the default is there", LIMIT_SECONDS, holds=shows_the_default)
    assert read.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    (listed,) = (await answers(api, things, 200)).json["items"]
    assert listed["spec"] == {"a": "filled"}
    await api.delete(f"{DEFINITIONS}/{name}")


def version_of(spec: Json) -> Json:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}


async def test_a_rule_may_not_take_for_ever(api: RawApi, ns: str) -> None:
    """The definition is taken; an object for which the rule would take too many steps is not."""
    rule = "self.items.all(a, self.items.all(b, self.items.all(c, a + b + c >= 0)))"
    items = {"type": "array", "maxItems": 80, "items": {"type": "integer"}}
    spec = {"type": "object", "properties": {"items": items}, "x-kubernetes-validations": [{"rule": rule}]}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    name, things = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    made = await api.post(DEFINITIONS, definition(f"{ns}.io", versions=[version]))
    assert made.status == 201, made.body
    await established(api, name)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {"items": [1] * 10}}
    await created(api, things, thing)
    refused = await api.post(things, {**thing, "metadata": {"name": "b"}, "spec": {"items": [1] * 80}})
    assert refused.status == 422, refused.body
    [cause] = refused.json["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("spec", "FieldValueInvalid")
    assert "no further validation rules will be run due to call cost exceeds limit for rule" in cause["message"]
    await api.delete(f"{DEFINITIONS}/{name}")


async def test_a_default_of_the_status_shows_from_the_start(api: RawApi, ns: str) -> None:
    """Whoever makes an object sets no status; what waits by kstatus still sees that nobody has looked at it."""
    status = {"type": "object", "default": {"seen": -1}, "properties": {"seen": {"type": "integer"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"status": status}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema, "subresources": {"status": {}}}
    name, things = f"things.{ns}.io", f"/apis/{ns}.io/v1/namespaces/{ns}/things"
    await api.post(DEFINITIONS, definition(f"{ns}.io", versions=[version]))
    await established(api, name)
    thing = {"apiVersion": f"{ns}.io/v1", "kind": "Thing", "metadata": {"name": "a"}, "status": {"seen": 5}}
    assert (await created(api, things, thing)).json["status"] == {"seen": -1}
    assert (await api.get(f"{things}/a")).json["status"] == {"seen": -1}
    await api.delete(f"{DEFINITIONS}/{name}")
