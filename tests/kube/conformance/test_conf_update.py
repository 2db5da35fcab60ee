"""Replacing objects: versions, identity, what an update may not change, generations and status."""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import RawApi


def config_map(name: str = "a", **more: Any) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}} | more


def widget(name: str = "w", **spec: Any) -> Json:
    return {
        "apiVersion": "conformance.rayfleet.dev/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec,
    }


async def test_an_update_based_on_an_old_version_conflicts(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = (await api.post(path, config_map())).json
    assert (await api.put(f"{path}/a", {**made, "data": {"k": "2"}})).status == 200
    answer = await api.put(f"{path}/a", {**made, "data": {"k": "3"}})
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert answer.json["message"].startswith('Operation cannot be fulfilled on configmaps "a": the object has been')


async def test_a_built_in_may_be_updated_without_a_version(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = (await api.post(path, config_map())).json
    answer = await api.put(f"{path}/a", config_map(data={"k": "2"}))
    assert answer.status == 200
    assert answer.json["data"] == {"k": "2"}
    assert answer.json["metadata"]["uid"] == made["metadata"]["uid"]
    assert int(answer.json["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_a_custom_resource_may_not(api: RawApi, widgets: str) -> None:
    await api.post(widgets, widget())
    answer = await api.put(f"{widgets}/w", widget(replicas=2))
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert answer.causes == {("metadata.resourceVersion", "FieldValueInvalid")}


async def test_a_lease_may_not_either(api: RawApi, ns: str) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}}
    await api.post(path, lease)
    assert (await api.put(f"{path}/l", lease)).status == 422


async def test_another_uid_conflicts(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    await api.post(path, config_map())
    answer = await api.put(f"{path}/a", config_map(metadata={"name": "a", "uid": "another"}))
    assert (answer.status, answer.reason) == (409, "Conflict")


async def test_another_name_is_refused(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    await api.post(path, config_map())
    answer = await api.put(f"{path}/a", config_map("b"))
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert "does not match the name on the URL (a)" in answer.json["message"]


async def test_what_is_not_there_cannot_be_updated(api: RawApi, ns: str) -> None:
    answer = await api.put(f"/api/v1/namespaces/{ns}/configmaps/a", config_map())
    assert (answer.status, answer.reason) == (404, "NotFound")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("apis/coordination.k8s.io/v1/namespaces/{}/leases", {"spec": {"holderIdentity": "a"}}),
        ("api/v1/namespaces/{}/services", {"spec": {"ports": [{"port": 80}]}}),
    ],
)
async def test_some_kinds_are_created_by_an_update(api: RawApi, ns: str, path: str, body: ReadOnlyJson) -> None:
    answer = await api.put(f"/{path.format(ns)}/x", {"metadata": {"name": "x"}, **body})
    assert answer.status == 201


async def test_an_update_that_changes_nothing_is_not_a_write(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = (await api.post(path, config_map())).json
    answer = await api.put(f"{path}/a", made)
    assert answer.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_the_servers_own_metadata_stays(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = (await api.post(path, config_map())).json
    meta = {**made["metadata"], "creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"a": "b"}, "generation": 9}
    answer = await api.put(f"{path}/a", {**made, "metadata": meta})
    assert answer.json["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]
    assert answer.json["metadata"]["labels"] == {"a": "b"}


async def test_generation_counts_changes_of_the_spec_alone(api: RawApi, widgets: str) -> None:
    made = (await api.post(widgets, widget())).json
    assert made["metadata"]["generation"] == 1
    labelled = (await api.patch(f"{widgets}/w", {"metadata": {"labels": {"a": "b"}}})).json
    assert labelled["metadata"]["generation"] == 1
    stated = (await api.patch(f"{widgets}/w/status", {"status": {"phase": "Up"}})).json
    assert stated["metadata"]["generation"] == 1
    changed = (await api.patch(f"{widgets}/w", {"spec": {"replicas": 3}})).json
    assert changed["metadata"]["generation"] == 2


async def test_status_is_written_through_its_subresource_alone(api: RawApi, widgets: str) -> None:
    made = (await api.post(widgets, {**widget(), "status": {"phase": "Early"}})).json
    assert "status" not in made
    main = (await api.put(f"{widgets}/w", {**made, "status": {"phase": "Wrong"}, "spec": {"replicas": 2}})).json
    assert "status" not in main
    assert main["spec"]["replicas"] == 2
    body = {
        **main,
        "status": {"phase": "Up"},
        "spec": {"replicas": 9},
        "metadata": {**main["metadata"], "labels": {"x": "y"}},
    }
    stated = (await api.put(f"{widgets}/w/status", body)).json
    assert stated["status"] == {"phase": "Up"}
    assert stated["spec"]["replicas"] == 2
    assert "labels" not in stated["metadata"]
    again = (await api.patch(f"{widgets}/w", {"spec": {"replicas": 4}, "status": {"phase": "Wrong"}})).json
    assert again["status"] == {"phase": "Up"}


async def test_a_status_update_needs_the_newest_version(api: RawApi, widgets: str) -> None:
    made = (await api.post(widgets, widget())).json
    await api.patch(f"{widgets}/w", {"spec": {"replicas": 2}})
    answer = await api.put(f"{widgets}/w/status", {**made, "status": {"phase": "Up"}})
    assert (answer.status, answer.reason) == (409, "Conflict")


async def test_a_pods_status_is_written_with_its_labels(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods"
    made = (
        await api.post(path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
    ).json
    body = {
        **made,
        "spec": {**made["spec"], "nodeName": "other"},
        "metadata": {**made["metadata"], "labels": {"a": "b"}},
        "status": {"phase": "Running", "podIP": "10.0.0.9", "podIPs": [{"ip": "10.0.0.9"}]},
    }
    stated = (await api.put(f"{path}/p/status", body)).json
    assert stated["status"]["phase"] == "Running"
    assert "nodeName" not in stated["spec"]
    assert stated["metadata"]["labels"] == {"a": "b"}
    assert stated["metadata"]["generation"] == 1


async def test_a_pods_containers_cannot_be_changed_but_their_image(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods"
    made = (
        await api.post(path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
    ).json
    made["spec"]["containers"][0]["image"] = "i:2"
    changed = await api.put(f"{path}/p", made)
    assert changed.status == 200
    assert changed.json["metadata"]["generation"] == 2
    changed.json["spec"]["containers"][0]["command"] = ["x"]
    body = changed.json
    body["spec"]["containers"][0]["command"] = ["x"]
    answer = await api.put(f"{path}/p", body)
    assert (answer.status, answer.causes) == (422, {("spec", "FieldValueForbidden")})


@pytest.mark.parametrize(
    ("plural", "body", "change", "field"),
    [
        ("secrets", {"type": "a/b"}, {"type": "c/d"}, "type"),
        ("secrets", {"immutable": True, "data": {"a": "Yg=="}}, {"data": {"a": "Yw=="}}, "data"),
        ("configmaps", {"immutable": True, "data": {"a": "b"}}, {"data": {"a": "c"}}, "data"),
        ("configmaps", {"immutable": True}, {"immutable": False}, "immutable"),
    ],
)
async def test_what_is_immutable_stays(
    api: RawApi, ns: str, plural: str, body: ReadOnlyJson, change: ReadOnlyJson, field: str
) -> None:
    path = f"/api/v1/namespaces/{ns}/{plural}"
    await api.post(path, {"metadata": {"name": "x"}, **body})
    answer = await api.patch(f"{path}/x", change)
    assert answer.status == 422
    assert field in {name for name, _ in answer.causes}


async def test_a_dry_run_of_an_update_changes_nothing(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    made = (await api.post(path, config_map())).json
    answer = await api.put(f"{path}/a", config_map(data={"k": "2"}), dryRun="All")
    assert answer.json["data"] == {"k": "2"}
    assert (await api.get(f"{path}/a")).json == made


async def test_strict_updates_refuse_unknown_fields(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    await api.post(path, config_map())
    answer = await api.put(f"{path}/a", config_map(extra=1), fieldValidation="Strict")
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert 'unknown field "extra"' in answer.json["message"]


async def test_no_finalizer_joins_an_object_that_is_being_deleted(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    await api.post(path, config_map(metadata={"name": "a", "finalizers": ["x.io/a"]}))
    await api.delete(f"{path}/a")
    answer = await api.patch(f"{path}/a", {"metadata": {"finalizers": ["x.io/a", "x.io/b"]}})
    assert (answer.status, answer.causes) == (422, {("metadata.finalizers", "FieldValueForbidden")})
