"""Lists: selectors, pages, versions, views."""

import pytest

from rayfleet.testing.raw_api import TABLE, RawApi

META = "application/json;as=PartialObjectMetadata{};v=v1;g=meta.k8s.io"


async def filled(api: RawApi, ns: str) -> str:
    path = f"/api/v1/namespaces/{ns}/configmaps"
    for number in range(5):
        labels = {"n": str(number), "odd": str(number % 2), **({"rare": "yes"} if number == 3 else {})}
        await api.post(path, {"metadata": {"name": f"m{number}", "labels": labels}, "data": {"k": str(number)}})
    return path


def names(answer_json: dict[str, list[dict[str, dict[str, str]]]]) -> list[str]:
    return [each["metadata"]["name"] for each in answer_json["items"]]


async def test_a_list_says_what_it_is(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    found = (await api.get(path)).json
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert found["metadata"]["resourceVersion"].isdigit()
    assert names(found) == [f"m{number}" for number in range(5)]
    assert "kind" not in found["items"][0]


async def test_items_of_a_custom_list_say_their_kind(api: RawApi, widgets: str) -> None:
    await api.post(widgets, {"apiVersion": "conformance.rayfleet.dev/v1", "kind": "Widget", "metadata": {"name": "w"}})
    found = (await api.get(widgets)).json
    assert found["kind"] == "WidgetList"
    assert found["items"][0]["kind"] == "Widget"


async def test_an_empty_list_has_no_null(api: RawApi, ns: str) -> None:
    assert (await api.get(f"/api/v1/namespaces/{ns}/secrets")).json["items"] == []


async def test_a_list_of_a_namespace_that_is_not_there_is_empty(api: RawApi) -> None:
    answer = await api.get("/api/v1/namespaces/nowhere/configmaps")
    assert (answer.status, answer.json["items"]) == (200, [])


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("n=1", [1]),
        ("n==1", [1]),
        ("n!=1", [0, 2, 3, 4]),
        ("n in (1,2)", [1, 2]),
        ("n notin (1,2)", [0, 3, 4]),
        ("rare", [3]),
        ("!rare", [0, 1, 2, 4]),
        ("odd=1,n!=1", [3]),
        ("odd=1, rare=yes", [3]),
        ("n>2", [3, 4]),
        ("n<1", [0]),
        ("none=x", []),
        ("none!=x", [0, 1, 2, 3, 4]),
        ("", [0, 1, 2, 3, 4]),
    ],
)
async def test_labels_select(api: RawApi, ns: str, selector: str, expected: list[int]) -> None:
    path = await filled(api, ns)
    found = (await api.get(path, labelSelector=selector)).json
    assert names(found) == [f"m{number}" for number in expected]


@pytest.mark.parametrize("selector", ["a b c", "n in 1", "n in (", "=a", "a=b=c", "a=%"])
async def test_a_wrong_label_selector_is_refused(api: RawApi, ns: str, selector: str) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}/configmaps", labelSelector=selector)
    assert (answer.status, answer.reason) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("metadata.name=m2", [2]), ("metadata.name!=m2", [0, 1, 3, 4]), ("metadata.name==m2,metadata.name=m3", [])],
)
async def test_fields_select(api: RawApi, ns: str, selector: str, expected: list[int]) -> None:
    path = await filled(api, ns)
    found = (await api.get(path, fieldSelector=selector)).json
    assert names(found) == [f"m{number}" for number in expected]


@pytest.mark.parametrize("selector", ["data.k=1", "spec.x=y", "abc"])
async def test_an_unknown_field_is_refused(api: RawApi, ns: str, selector: str) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}/configmaps", fieldSelector=selector)
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_an_unknown_field_of_a_custom_resource_is_refused(api: RawApi, widgets: str) -> None:
    assert (await api.get(widgets, fieldSelector="spec.size=small")).status == 400


async def test_pods_are_selected_by_node_and_phase(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/pods"
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "")):
        spec = {"containers": [{"name": "c", "image": "i"}], **({"nodeName": node} if node else {})}
        await api.post(path, {"metadata": {"name": name}, "spec": spec})
    await api.patch(f"{path}/b/status", {"status": {"phase": "Running"}})
    assert names((await api.get(path, fieldSelector="spec.nodeName=n1")).json) == ["a"]
    assert names((await api.get(path, fieldSelector="spec.nodeName=")).json) == ["c"]
    assert names((await api.get(path, fieldSelector="status.phase=Running")).json) == ["b"]
    assert names((await api.get(path, fieldSelector="status.phase!=Running,spec.nodeName=n1")).json) == ["a"]


async def test_events_are_selected_by_what_they_are_about(api: RawApi, ns: str) -> None:
    path = f"/api/v1/namespaces/{ns}/events"
    for name in ("a", "b"):
        about = {"kind": "Pod", "name": name, "namespace": ns}
        await api.post(path, {"metadata": {"name": name}, "involvedObject": about, "reason": "Made", "type": "Normal"})
    found = (await api.get(path, fieldSelector="involvedObject.name=b,involvedObject.kind=Pod,reason=Made")).json
    assert names(found) == ["b"]


async def test_pages_see_one_state(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    first = (await api.get(path, limit="2")).json
    assert names(first) == ["m0", "m1"]
    assert first["metadata"]["remainingItemCount"] == 3
    await api.post(path, {"metadata": {"name": "m2a"}})
    await api.delete(f"{path}/m3")
    await api.patch(f"{path}/m4", {"data": {"k": "changed"}})
    second = (await api.get(path, limit="2", **{"continue": first["metadata"]["continue"]})).json
    assert names(second) == ["m2", "m3"]
    last = (await api.get(path, limit="2", **{"continue": second["metadata"]["continue"]})).json
    assert names(last) == ["m4"]
    assert last["items"][0]["data"] == {"k": "4"}
    assert not last["metadata"].get("continue")
    versions = {page["metadata"]["resourceVersion"] for page in (first, second, last)}
    assert len(versions) == 1


async def test_pages_with_a_selector_count_nothing(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    first = (await api.get(path, limit="1", labelSelector="odd=0")).json
    assert names(first) == ["m0"]
    assert "remainingItemCount" not in first["metadata"]
    rest = (await api.get(path, limit="5", labelSelector="odd=0", **{"continue": first["metadata"]["continue"]})).json
    assert names(rest) == ["m2", "m4"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"continue": "abc"}, 400),
        ({"resourceVersion": "abc"}, 400),
        ({"resourceVersion": "999999999"}, 504),
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Sometimes", "resourceVersion": "1"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": "0"}, 422),
        ({"limit": "x"}, 400),
    ],
)
async def test_wrong_list_options_are_refused(api: RawApi, ns: str, query: dict[str, str], status: int) -> None:
    assert (await api.get(f"/api/v1/namespaces/{ns}/configmaps", **query)).status == status


async def test_a_list_at_an_exact_version_shows_that_state(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    version = (await api.get(path)).json["metadata"]["resourceVersion"]
    await api.delete(f"{path}/m0")
    found = (await api.get(path, resourceVersion=version, resourceVersionMatch="Exact")).json
    assert len(found["items"]) == 5
    newest = (await api.get(path, resourceVersion=version, resourceVersionMatch="NotOlderThan")).json
    assert len(newest["items"]) == 4


async def test_all_namespaces_are_listed_together(api: RawApi, ns: str) -> None:
    await filled(api, ns)
    found = (await api.get("/api/v1/configmaps", labelSelector="rare=yes")).json
    assert ns in {each["metadata"]["namespace"] for each in found["items"]}
    only = (await api.get("/api/v1/configmaps", fieldSelector=f"metadata.namespace={ns}")).json
    assert len(only["items"]) == 5


async def test_a_list_of_metadata_alone(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    found = (await api.get(path, accept=META.format("List"))).json
    assert (found["kind"], found["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    item = found["items"][0]
    assert item["metadata"]["labels"] == {"n": "0", "odd": "0"}
    assert "data" not in item
    one = (await api.get(f"{path}/m0", accept=META.format(""))).json
    assert (one["kind"], "data" in one) == ("PartialObjectMetadata", False)


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("", 200),
        ("application/*", 406),
        ("text/html", 406),
        ("application/cbor-nothing,application/json", 200),
        ("text/html,application/json;q=0.5", 200),
    ],
)
async def test_the_representation_is_negotiated(api: RawApi, ns: str, accept: str, status: int) -> None:
    answer = await api.get(f"/api/v1/namespaces/{ns}/configmaps", accept=accept)
    assert answer.status == status


async def test_a_table_of_config_maps(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    found = (await api.get(path, accept=TABLE)).json
    assert (found["kind"], found["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [each["name"] for each in found["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert found["columnDefinitions"][0]["format"] == "name"
    assert found["rows"][0]["cells"][:2] == ["m0", 1]
    assert found["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert found["rows"][0]["object"]["metadata"]["name"] == "m0"


@pytest.mark.parametrize(
    ("include", "kind"), [("None", None), ("Metadata", "PartialObjectMetadata"), ("Object", "ConfigMap")]
)
async def test_a_row_carries_what_is_asked(api: RawApi, ns: str, include: str, kind: str | None) -> None:
    path = await filled(api, ns)
    row = (await api.get(path, accept=TABLE, includeObject=include)).json["rows"][0]
    assert (row["object"] or {}).get("kind") == kind


async def test_a_table_of_one_object_and_of_pages(api: RawApi, ns: str) -> None:
    path = await filled(api, ns)
    one = (await api.get(f"{path}/m1", accept=TABLE)).json
    assert [row["cells"][0] for row in one["rows"]] == ["m1"]
    page = (await api.get(path, accept=TABLE, limit="2")).json
    assert len(page["rows"]) == 2
    assert page["metadata"]["continue"]
