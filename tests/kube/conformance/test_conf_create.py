"""Creating objects: identity, names, namespaces, unknown fields, dry runs."""

from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.testing.raw_api import RawApi

JsonCase = tuple[Json, int, str, set[tuple[str, str]]]


def config_map(name: str = "a", **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}} | more


async def test_the_server_gives_uid_version_and_time(api: RawApi, ns: str) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map())
    meta = answer.json["metadata"]
    assert answer.status == 201
    assert len(meta["uid"]) == 36
    assert meta["resourceVersion"].isdigit()
    assert meta["creationTimestamp"].endswith("Z")
    assert meta["namespace"] == ns
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("ConfigMap", "v1")
    assert "generation" not in meta


async def test_kind_and_version_may_be_left_out(api: RawApi, ns: str) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", {"metadata": {"name": "a"}})
    assert answer.status == 201
    assert answer.json["kind"] == "ConfigMap"


async def test_what_only_the_server_sets_is_ignored(api: RawApi, ns: str) -> None:
    meta = {
        "name": "a",
        "uid": "mine",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "generation": 7,
        "deletionTimestamp": "2001-01-01T00:00:00Z",
    }
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map(metadata=meta))
    stored = answer.json["metadata"]
    assert answer.status == 201
    assert stored["uid"] != "mine"
    assert not stored["creationTimestamp"].startswith("2001")
    assert "deletionTimestamp" not in stored


async def test_a_name_is_made_of_its_beginning(api: RawApi, ns: str) -> None:
    body = config_map(metadata={"generateName": "made-"})
    first = await api.post(f"/api/v1/namespaces/{ns}/configmaps", body)
    second = await api.post(f"/api/v1/namespaces/{ns}/configmaps", body)
    names = {first.json["metadata"]["name"], second.json["metadata"]["name"]}
    assert len(names) == 2
    assert all(name.startswith("made-") and len(name) == 10 for name in names)
    assert first.json["metadata"]["generateName"] == "made-"


async def test_a_second_one_of_a_name_is_refused(api: RawApi, ns: str) -> None:
    await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map())
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map())
    assert (answer.status, answer.reason) == (409, "AlreadyExists")
    assert answer.json["message"] == 'configmaps "a" already exists'
    assert answer.json["details"] == {"name": "a", "kind": "configmaps"}


async def test_a_version_cannot_be_given_to_a_new_object(api: RawApi, ns: str) -> None:
    body = config_map(metadata={"name": "a", "resourceVersion": "5"})
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", body)
    assert answer.status == 500
    assert answer.json["message"] == "resourceVersion should not be set on objects to be created"


async def test_a_namespace_must_be_there(api: RawApi) -> None:
    answer = await api.post("/api/v1/namespaces/nowhere/configmaps", config_map())
    assert (answer.status, answer.reason) == (404, "NotFound")
    assert answer.json["message"] == 'namespaces "nowhere" not found'


BAD: dict[str, JsonCase] = {
    "no name": ({}, 422, "Invalid", {("metadata.name", "FieldValueRequired")}),
    "name of wrong letters": ({"name": "A_b"}, 422, "Invalid", {("metadata.name", "FieldValueInvalid")}),
    "name too long": ({"name": "a" * 254}, 422, "Invalid", {("metadata.name", "FieldValueInvalid")}),
    "label key": ({"name": "a", "labels": {"a b": "c"}}, 422, "Invalid", {("metadata.labels", "FieldValueInvalid")}),
    "label value": ({"name": "a", "labels": {"a": "c d"}}, 422, "Invalid", {("metadata.labels", "FieldValueInvalid")}),
    "annotation key": (
        {"name": "a", "annotations": {"a b": ""}},
        422,
        "Invalid",
        {("metadata.annotations", "FieldValueInvalid")},
    ),
    "finalizer": (
        {"name": "a", "finalizers": ["plain"]},
        422,
        "Invalid",
        {("metadata.finalizers[0]", "FieldValueInvalid")},
    ),
    "owner without uid": (
        {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "x"}]},
        422,
        "Invalid",
        {("metadata.ownerReferences.uid", "FieldValueInvalid")},
    ),
    "two controllers": (
        {
            "name": "a",
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": True} for name in "xy"
            ],
        },
        422,
        "Invalid",
        {("metadata.ownerReferences", "FieldValueInvalid")},
    ),
    "other namespace": ({"name": "a", "namespace": "other"}, 400, "BadRequest", set()),
    "labels of wrong type": ({"name": "a", "labels": {"a": 1}}, 400, "BadRequest", set()),
    "labels no map": ({"name": "a", "labels": ["a"]}, 400, "BadRequest", set()),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
async def test_wrong_metadata_is_refused(api: RawApi, ns: str, case: JsonCase) -> None:
    meta, status, reason, causes = case
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map(metadata=meta))
    assert (answer.status, answer.reason, answer.causes) == (status, reason, causes), answer.body


@pytest.mark.parametrize("body", [b"", b"[1", b"[]", b'"a"', b"{"])
async def test_what_is_no_object_is_refused(api: RawApi, ns: str, body: bytes) -> None:
    answer = await api.call("POST", f"/api/v1/namespaces/{ns}/configmaps", body)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_another_kind_is_refused(api: RawApi, ns: str) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map(kind="Secret"))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map(apiVersion="apps/v1"))
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_a_body_that_is_no_json_is_unsupported(api: RawApi, ns: str) -> None:
    answer = await api.call(
        "POST", f"/api/v1/namespaces/{ns}/configmaps", config_map(), headers={"Content-Type": "text/plain"}
    )
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


async def test_unknown_and_repeated_fields_fail_when_strict(api: RawApi, ns: str) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a","foo":1},"dat":{},"data":{"x":"1","x":"2"}}'
    answer = await api.call("POST", f"/api/v1/namespaces/{ns}/configmaps", body, query={"fieldValidation": "Strict"})
    assert (answer.status, answer.reason) == (400, "BadRequest")
    message = answer.json["message"]
    assert "strict decoding error" in message
    assert all(part in message for part in ('unknown field "metadata.foo"', 'unknown field "dat"', 'field "data.x"'))


@pytest.mark.parametrize("query", [{}, {"fieldValidation": "Warn"}])
async def test_unknown_and_repeated_fields_warn_by_default(api: RawApi, ns: str, query: dict[str, str]) -> None:
    body = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"dat":{},"data":{"x":"1","x":"2"}}'
    answer = await api.call("POST", f"/api/v1/namespaces/{ns}/configmaps", body, query=query)
    assert answer.status == 201
    assert answer.json["data"] == {"x": "2"}
    assert "dat" not in answer.json
    assert set(answer.warnings) == {'299 - "unknown field \\"dat\\""', '299 - "duplicate field \\"data.x\\""'}


async def test_unknown_fields_are_dropped_in_silence_when_ignored(api: RawApi, ns: str) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map(dat={}), fieldValidation="Ignore")
    assert answer.status == 201
    assert answer.warnings == ()


async def test_a_dry_run_answers_and_stores_nothing(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    answer = await api.post(path, config_map(), dryRun="All")
    assert answer.status == 201
    assert answer.json["metadata"]["uid"]
    assert (await api.get(f"{path}/a")).status == 404


@pytest.mark.parametrize("query", [{"dryRun": "Some"}, {"fieldValidation": "Perhaps"}])
async def test_unknown_options_are_refused(api: RawApi, ns: str, query: dict[str, str]) -> None:
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", config_map(), **query)
    assert (answer.status, answer.reason) == (422, "Invalid")


async def test_empty_maps_are_not_kept(api: RawApi, ns: str) -> None:
    body = config_map(data={}, metadata={"name": "a", "labels": {}, "annotations": None})
    answer = await api.post(f"/api/v1/namespaces/{ns}/configmaps", body)
    assert answer.status == 201
    assert not {"data", "labels", "annotations"} & (answer.json.keys() | answer.json["metadata"].keys())


@pytest.mark.parametrize(
    ("name", "status"), [("kube-system", 409), ("ok-1", 201), ("Not_ok", 422), ("a" * 64, 422), ("a.b", 422)]
)
async def test_namespaces_are_dns_labels(api: RawApi, name: str, status: int) -> None:
    answer = await api.post("/api/v1/namespaces", {"metadata": {"name": name}}, dryRun="All")
    assert answer.status == status
