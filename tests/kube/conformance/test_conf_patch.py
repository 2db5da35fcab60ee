"""Patches of all forms."""

from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.raw_api import JSON_PATCH, MERGE, STRATEGIC, RawApi

BEFORE: Json = {"a": "1", "b": "2"}


async def made(api: RawApi, ns: str) -> str:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    await api.post(path, {"metadata": {"name": "x", "labels": {"l": "1"}}, "data": BEFORE})
    return f"{path}/x"


MERGES: dict[str, tuple[Json, Json]] = {
    "add": ({"data": {"c": "3"}}, {"a": "1", "b": "2", "c": "3"}),
    "change": ({"data": {"a": "9"}}, {"a": "9", "b": "2"}),
    "remove": ({"data": {"a": None}}, {"b": "2"}),
    "remove what is not there": ({"data": {"z": None}}, BEFORE),
    "nothing": ({}, BEFORE),
}


@pytest.mark.parametrize("case", MERGES.values(), ids=MERGES.keys())
@pytest.mark.parametrize("form", [MERGE, STRATEGIC])
async def test_a_merge_patch(api: RawApi, ns: str, form: str, case: tuple[ReadOnlyJson, ReadOnlyJson]) -> None:
    patch, after = case
    path = await made(api, ns)
    answer = await api.patch(path, patch, form)
    assert answer.status == 200
    assert answer.json["data"] == after
    assert answer.json["metadata"]["labels"] == {"l": "1"}


OPERATIONS: dict[str, tuple[list[Json], Json]] = {
    "add": ([{"op": "add", "path": "/data/c", "value": "3"}], {"a": "1", "b": "2", "c": "3"}),
    "replace": ([{"op": "replace", "path": "/data/a", "value": "9"}], {"a": "9", "b": "2"}),
    "remove": ([{"op": "remove", "path": "/data/a"}], {"b": "2"}),
    "move": ([{"op": "move", "from": "/data/a", "path": "/data/c"}], {"b": "2", "c": "1"}),
    "copy": ([{"op": "copy", "from": "/data/a", "path": "/data/c"}], {"a": "1", "b": "2", "c": "1"}),
    "test, then add": (
        [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "add", "path": "/data/a", "value": "5"}],
        {"a": "5", "b": "2"},
    ),
    "escaped": ([{"op": "add", "path": "/metadata/annotations", "value": {"x.io/y": "1"}}], BEFORE),
}


@pytest.mark.parametrize("case", OPERATIONS.values(), ids=OPERATIONS.keys())
async def test_a_json_patch(api: RawApi, ns: str, case: tuple[list[ReadOnlyJson], ReadOnlyJson]) -> None:
    patch, after = case
    answer = await api.patch(await made(api, ns), patch, JSON_PATCH)
    assert answer.status == 200
    assert answer.json["data"] == after


REFUSED: dict[str, tuple[str, Any, int]] = {
    "test fails": (JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "9"}], 422),
    "replace nothing": (JSON_PATCH, [{"op": "replace", "path": "/none/a", "value": "9"}], 422),
    "remove nothing": (JSON_PATCH, [{"op": "remove", "path": "/data/z"}], 422),
    "unknown operation": (JSON_PATCH, [{"op": "jump", "path": "/data/a"}], 422),
    "no list": (JSON_PATCH, {"op": "add"}, 400),
    "no json": (MERGE, b"{", 400),
    "strategic no json": (STRATEGIC, b"{", 400),
    "no object": (MERGE, [], 400),
    "wrong type": (MERGE, {"data": {"a": 1}}, 422),
    "other name": (MERGE, {"metadata": {"name": "other"}}, 400),
    "other version": (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
    "other uid": (MERGE, {"metadata": {"uid": "other"}}, 422),
    "bad label": (MERGE, {"metadata": {"labels": {"a": "b c"}}}, 422),
    "plain json": ("application/json", {}, 415),
    "plain text": ("text/plain", b"", 415),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
async def test_a_wrong_patch_changes_nothing(api: RawApi, ns: str, case: tuple[str, Any, int]) -> None:
    form, patch, status = case
    path = await made(api, ns)
    before = (await api.get(path)).json
    answer = await api.patch(path, patch, form)
    assert answer.status == status, answer.body
    assert (await api.get(path)).json == before


async def test_a_patch_of_the_newest_version_passes(api: RawApi, ns: str) -> None:
    path = await made(api, ns)
    version = (await api.get(path)).json["metadata"]["resourceVersion"]
    answer = await api.patch(path, {"metadata": {"resourceVersion": version}, "data": {"a": "5"}})
    assert answer.status == 200


async def test_what_is_not_there_cannot_be_patched(api: RawApi, ns: str) -> None:
    answer = await api.patch(f"/api/v1/namespaces/{ns}/configmaps/none", {"data": {"a": "1"}})
    assert (answer.status, answer.reason) == (404, "NotFound")


async def test_a_patch_without_effect_is_no_write(api: RawApi, ns: str) -> None:
    path = await made(api, ns)
    before = (await api.get(path)).json["metadata"]["resourceVersion"]
    answer = await api.patch(path, {"data": {"a": "1"}})
    assert answer.json["metadata"]["resourceVersion"] == before


async def test_a_strict_patch_names_unknown_fields(api: RawApi, ns: str) -> None:
    answer = await api.patch(await made(api, ns), {"extra": 1}, fieldValidation="Strict")
    assert answer.status == 422
    assert 'unknown field "extra"' in answer.json["message"]


async def test_a_dry_run_of_a_patch_changes_nothing(api: RawApi, ns: str) -> None:
    path = await made(api, ns)
    answer = await api.patch(path, {"data": {"a": "5"}}, dryRun="All")
    assert answer.json["data"]["a"] == "5"
    assert (await api.get(path)).json["data"]["a"] == "1"


async def test_a_custom_resource_takes_no_strategic_patch(api: RawApi, widgets: str) -> None:
    await api.post(widgets, {"apiVersion": "conformance.rayfleet.dev/v1", "kind": "Widget", "metadata": {"name": "w"}})
    answer = await api.patch(f"{widgets}/w", {"spec": {"replicas": 3}}, STRATEGIC)
    assert (answer.status, answer.reason) == (415, "UnsupportedMediaType")


SERVICE: Json = {
    "metadata": {"name": "s"},
    "spec": {
        "selector": {"a": "b"},
        "ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81, "targetPort": 9}],
    },
}
PORTS: dict[str, tuple[Json, list[tuple[str, int]]]] = {
    "change one": ({"ports": [{"port": 80, "name": "web"}]}, [("web", 80), ("admin", 81)]),
    "add one": ({"ports": [{"port": 82, "name": "more"}]}, [("more", 82), ("http", 80), ("admin", 81)]),
    "delete one": ({"ports": [{"port": 81, "$patch": "delete"}]}, [("http", 80)]),
    "replace all": (
        {"ports": [{"port": 90, "name": "only"}, {"$patch": "replace"}]},
        [("only", 90)],
    ),
    "order": (
        {"$setElementOrder/ports": [{"port": 81}, {"port": 80}], "ports": [{"port": 80, "name": "web"}]},
        [("admin", 81), ("web", 80)],
    ),
}


@pytest.mark.parametrize("case", PORTS.values(), ids=PORTS.keys())
async def test_a_strategic_patch_merges_ports_by_their_number(
    api: RawApi, ns: str, case: tuple[ReadOnlyJson, list[tuple[str, int]]]
) -> None:
    patch, after = case
    path = f"/api/v1/namespaces/{ns}/services"
    await api.post(path, SERVICE)
    answer = await api.patch(f"{path}/s", {"spec": patch}, STRATEGIC)
    assert answer.status == 200, answer.body
    found = [(each["name"], each["port"]) for each in answer.json["spec"]["ports"]]
    assert sorted(found) == sorted(after)
    if "$setElementOrder/ports" in patch:
        assert found == after


async def test_a_merge_patch_replaces_lists(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/services"
    await api.post(path, SERVICE)
    answer = await api.patch(f"{path}/s", {"spec": {"ports": [{"port": 99}]}}, MERGE)
    assert [each["port"] for each in answer.json["spec"]["ports"]] == [99]


async def test_a_strategic_patch_replaces_a_map_on_demand(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/services"
    await api.post(path, SERVICE)
    answer = await api.patch(f"{path}/s", {"spec": {"selector": {"$patch": "replace", "c": "d"}}}, STRATEGIC)
    assert answer.json["spec"]["selector"] == {"c": "d"}


CONDITIONS: list[Json] = [
    {"type": "Ready", "status": "False"},
    {"type": "PodScheduled", "status": "True"},
]


async def test_a_strategic_patch_merges_conditions_by_type(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods"
    await api.post(path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}})
    await api.patch(f"{path}/p/status", {"status": {"conditions": CONDITIONS}}, STRATEGIC)
    change = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    answer = await api.patch(f"{path}/p/status", change, STRATEGIC)
    found = {each["type"]: each["status"] for each in answer.json["status"]["conditions"]}
    assert found == {"Ready": "True", "PodScheduled": "True"}


async def test_finalizers_merge_and_are_taken_off_one_by_one(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    await api.post(path, {"metadata": {"name": "x", "finalizers": ["x.io/a"]}})
    added = await api.patch(f"{path}/x", {"metadata": {"finalizers": ["x.io/b"]}}, STRATEGIC)
    assert set(added.json["metadata"]["finalizers"]) == {"x.io/a", "x.io/b"}
    removed = await api.patch(f"{path}/x", {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"]}}, STRATEGIC)
    assert removed.json["metadata"]["finalizers"] == ["x.io/b"]


async def test_owners_merge_by_uid(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o"}
    await api.post(path, {"metadata": {"name": "x", "ownerReferences": [{**owner, "uid": "1"}]}})
    answer = await api.patch(f"{path}/x", {"metadata": {"ownerReferences": [{**owner, "uid": "2"}]}}, STRATEGIC)
    assert {each["uid"] for each in answer.json["metadata"]["ownerReferences"]} == {"1", "2"}
    answer = await api.patch(
        f"{path}/x", {"metadata": {"ownerReferences": [{"uid": "1", "$patch": "delete"}]}}, STRATEGIC
    )
    assert [each["uid"] for each in answer.json["metadata"]["ownerReferences"]] == ["2"]
