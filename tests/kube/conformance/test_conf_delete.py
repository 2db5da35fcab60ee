"""Deleting: preconditions, propagation, finalizers, grace, namespaces, collections."""

from typing import Any

import pytest

from rayfleet.model.json import ReadOnlyJson
from rayfleet.testing.raw_api import RawApi


async def config_map(api: RawApi, ns: str, name: str = "a", **meta: Any) -> str:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    answer = await api.post(path, {"metadata": {"name": name, **meta}})
    assert answer.status == 201
    return f"{path}/{name}"


async def pod(api: RawApi, ns: str, **spec: Any) -> str:
    path = f"/api/v1/namespaces/{ns}/pods"
    whole = {"containers": [{"name": "c", "image": "i:1"}], **spec}
    answer = await api.post(path, {"metadata": {"name": "p"}, "spec": whole})
    assert answer.status == 201, answer.body
    return f"{path}/p"


async def test_a_plain_object_goes_at_once(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns)
    uid = (await api.get(path)).json["metadata"]["uid"]
    answer = await api.delete(path)
    assert answer.status == 200
    assert answer.json["status"] == "Success"
    assert answer.json["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert (await api.get(path)).status == 404
    again = await api.delete(path)
    assert (again.status, again.reason) == (404, "NotFound")


@pytest.mark.parametrize("precondition", [{"uid": "other"}, {"resourceVersion": "1"}])
async def test_a_precondition_that_does_not_hold_conflicts(api: RawApi, ns: str, precondition: dict[str, str]) -> None:
    path = await config_map(api, ns)
    answer = await api.delete(path, {"preconditions": precondition})
    assert (answer.status, answer.reason) == (409, "Conflict")
    assert (await api.get(path)).status == 200


async def test_preconditions_that_hold_pass(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns)
    meta = (await api.get(path)).json["metadata"]
    holding = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
    assert (await api.delete(path, {"preconditions": holding})).status == 200


async def test_a_dry_run_deletes_nothing(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns)
    assert (await api.delete(path, dryRun="All")).status == 200
    assert (await api.delete(path, {"dryRun": ["All"]})).status == 200
    assert (await api.get(path)).status == 200


@pytest.mark.parametrize(
    "options",
    [
        {"propagationPolicy": "Sideways"},
        {"dryRun": ["Some"]},
        {"propagationPolicy": "Orphan", "orphanDependents": True},
    ],
)
async def test_wrong_options_are_refused(api: RawApi, ns: str, options: ReadOnlyJson) -> None:
    path = await config_map(api, ns)
    answer = await api.delete(path, options)
    assert (answer.status, answer.reason) == (422, "Invalid")
    assert (await api.get(path)).status == 200


@pytest.mark.parametrize(
    ("options", "finalizer"),
    [
        ({"propagationPolicy": "Foreground"}, "foregroundDeletion"),
        ({"propagationPolicy": "Orphan"}, "orphan"),
        ({"orphanDependents": True}, "orphan"),
    ],
)
async def test_propagation_leaves_its_finalizer(api: RawApi, ns: str, options: ReadOnlyJson, finalizer: str) -> None:
    path = await config_map(api, ns)
    answer = await api.delete(path, options)
    assert answer.status == 200
    meta = answer.json["metadata"]
    assert meta["finalizers"] == [finalizer]
    assert meta["deletionGracePeriodSeconds"] == 0
    assert meta["deletionTimestamp"]
    assert (await api.patch(path, {"metadata": {"finalizers": None}})).status == 200
    assert (await api.get(path)).status == 404


async def test_propagation_can_be_asked_in_the_query(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns)
    answer = await api.delete(path, propagationPolicy="Foreground")
    assert answer.json["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_background_takes_a_collectors_finalizer_off(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns)
    await api.delete(path, {"propagationPolicy": "Foreground"})
    assert (await api.delete(path, {"propagationPolicy": "Background"})).status == 200
    assert (await api.get(path)).status == 404


async def test_a_finalizer_keeps_the_object_until_it_is_taken_off(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns, finalizers=["x.io/a", "x.io/b"])
    first = await api.delete(path)
    assert first.status == 200
    marked = first.json["metadata"]
    assert marked["deletionTimestamp"]
    second = await api.delete(path)
    assert second.json["metadata"]["deletionTimestamp"] == marked["deletionTimestamp"]
    assert (await api.patch(path, {"metadata": {"finalizers": ["x.io/b"]}})).status == 200
    assert (await api.get(path)).status == 200
    assert (await api.patch(path, {"metadata": {"finalizers": []}})).status == 200
    assert (await api.get(path)).status == 404


async def test_the_deletion_mark_cannot_be_taken_off(api: RawApi, ns: str) -> None:
    path = await config_map(api, ns, finalizers=["x.io/a"])
    await api.delete(path)
    answer = await api.patch(path, {"metadata": {"deletionTimestamp": None, "labels": {"a": "b"}}})
    assert answer.json["metadata"]["deletionTimestamp"]
    assert answer.json["metadata"]["labels"] == {"a": "b"}


async def test_being_deleted_counts_as_a_generation(api: RawApi, widgets: str) -> None:
    body = {
        "apiVersion": "conformance.rayfleet.dev/v1",
        "kind": "Widget",
        "metadata": {"name": "w", "finalizers": ["x.io/a"]},
    }
    await api.post(widgets, body)
    answer = await api.delete(f"{widgets}/w")
    assert answer.json["metadata"]["generation"] == 2
    assert (await api.delete(f"{widgets}/w")).json["metadata"]["generation"] == 2


async def test_a_pod_without_node_goes_at_once(api: RawApi, ns: str) -> None:
    path = await pod(api, ns)
    answer = await api.delete(path)
    assert answer.status == 200
    assert answer.json["kind"] == "Pod"
    assert (await api.get(path)).status == 404


async def test_a_pod_with_a_node_has_its_grace(api: RawApi, ns: str) -> None:
    path = await pod(api, ns, nodeName="n", terminationGracePeriodSeconds=2000)
    first = (await api.delete(path)).json["metadata"]
    assert first["deletionGracePeriodSeconds"] == 2000
    assert (await api.get(path)).status == 200
    shorter = (await api.delete(path, {"gracePeriodSeconds": 5})).json["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 5
    assert shorter["deletionTimestamp"] < first["deletionTimestamp"]
    longer = (await api.delete(path, {"gracePeriodSeconds": 50})).json["metadata"]
    assert longer["deletionGracePeriodSeconds"] == 5
    await api.delete(path, {"gracePeriodSeconds": 0})
    assert (await api.get(path)).status == 404


async def test_a_pod_with_a_finalizer_outlives_grace_zero(api: RawApi, ns: str) -> None:
    path = await pod(api, ns, nodeName="n")
    await api.patch(path, {"metadata": {"finalizers": ["x.io/a"]}})
    await api.delete(path, {"gracePeriodSeconds": 0})
    assert (await api.get(path)).json["metadata"]["deletionGracePeriodSeconds"] == 0
    await api.patch(path, {"metadata": {"finalizers": None}})
    assert (await api.get(path)).status == 404


async def test_a_finished_pod_goes_at_once(api: RawApi, ns: str) -> None:
    path = await pod(api, ns, nodeName="n")
    await api.patch(f"{path}/status", {"status": {"phase": "Succeeded"}})
    await api.delete(path)
    assert (await api.get(path)).status == 404


async def test_a_service_is_shown_as_it_goes(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/services"
    await api.post(path, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}})
    answer = await api.delete(f"{path}/s")
    assert answer.json["kind"] == "Service"
    assert (await api.get(f"{path}/s")).status == 404


async def test_a_collection_is_deleted_by_selector(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    for number in range(4):
        await config_map(api, ns, f"m{number}", labels={"odd": str(number % 2)})
    answer = await api.delete(path, labelSelector="odd=1")
    assert answer.status == 200
    assert {each["metadata"]["name"] for each in (await api.get(path)).json["items"]} >= {"m0", "m2"}
    assert not {each["metadata"]["name"] for each in (await api.get(path)).json["items"]} & {"m1", "m3"}


async def test_namespaces_are_not_deleted_as_a_collection(api: RawApi) -> None:
    answer = await api.delete("/api/v1/namespaces")
    assert (answer.status, answer.reason) == (405, "MethodNotAllowed")


async def test_a_namespace_ends_in_two_steps(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}"
    answer = await api.delete(path)
    assert answer.status == 200
    assert answer.json["status"]["phase"] == "Terminating"
    assert answer.json["spec"]["finalizers"] == ["kubernetes"]
    refused = await api.post(f"{path}/configmaps", {"metadata": {"name": "late"}})
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.causes == {("metadata.namespace", "NamespaceTerminating")}
    found = (await api.get(path)).json
    finished = await api.put(f"{path}/finalize", {**found, "spec": {"finalizers": []}})
    assert finished.status == 200
    assert (await api.get(path)).status == 404


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_stay(api: RawApi, name: str) -> None:
    answer = await api.delete(f"/api/v1/namespaces/{name}")
    assert (answer.status, answer.reason) == (403, "Forbidden")
