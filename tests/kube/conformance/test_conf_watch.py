"""Watches: from where, what, until when."""

import pytest

from rayfleet.testing.raw_api import TABLE, RawApi


async def create(api: RawApi, path: str, name: str, **labels: str) -> str:
    answer = await api.post(path, {"metadata": {"name": name, "labels": labels}})
    assert answer.status == 201
    return str(answer.json["metadata"]["resourceVersion"])


async def version_of(api: RawApi, path: str) -> str:
    return str((await api.get(path)).json["metadata"]["resourceVersion"])


def told(events: list[dict[str, dict[str, dict[str, str]]]]) -> list[tuple[object, str]]:
    return [(each["type"], each["object"]["metadata"]["name"]) for each in events]


@pytest.fixture
def maps(ns: str) -> str:
    return f"/api/v1/namespaces/{ns}/configmaps"


async def test_changes_come_in_order_with_rising_versions(api: RawApi, maps: str) -> None:
    start = await version_of(api, maps)
    async with api.watching(maps, resourceVersion=start) as events:
        await create(api, maps, "a")
        await api.patch(f"{maps}/a", {"data": {"k": "1"}})
        await api.delete(f"{maps}/a")
        found = await events.take(3)
    assert told(found) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(each["object"]["metadata"]["resourceVersion"]) for each in found]
    assert versions == sorted(set(versions))
    assert versions[0] > int(start)
    assert found[2]["object"]["data"] == {"k": "1"}
    assert found[0]["object"]["kind"] == "ConfigMap"


async def test_a_watch_goes_on_from_a_version_of_the_past(api: RawApi, maps: str) -> None:
    first = await create(api, maps, "a")
    await create(api, maps, "b")
    await api.delete(f"{maps}/a")
    async with api.watching(maps, resourceVersion=first) as events:
        assert told(await events.take(2)) == [("ADDED", "b"), ("DELETED", "a")]


@pytest.mark.parametrize("query", [{}, {"resourceVersion": "0"}])
async def test_without_a_version_all_objects_come_first(api: RawApi, maps: str, query: dict[str, str]) -> None:
    await create(api, maps, "b")
    await create(api, maps, "a")
    async with api.watching(maps, **query) as events:
        assert told(await events.take(2)) == [("ADDED", "a"), ("ADDED", "b")]
        await create(api, maps, "c")
        assert told(await events.take(1)) == [("ADDED", "c")]


async def test_an_object_joins_and_leaves_a_selection(api: RawApi, maps: str) -> None:
    start = await version_of(api, maps)
    async with api.watching(maps, resourceVersion=start, labelSelector="in=yes") as events:
        await create(api, maps, "a")
        await api.patch(f"{maps}/a", {"metadata": {"labels": {"in": "yes"}}})
        await api.patch(f"{maps}/a", {"data": {"k": "1"}})
        await api.patch(f"{maps}/a", {"metadata": {"labels": {"in": "no"}}})
        await api.delete(f"{maps}/a")
        await create(api, maps, "end", **{"in": "yes"})
        found = await events.take(4)
    assert told(found) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "end")]


async def test_one_object_is_watched_by_its_name(api: RawApi, maps: str) -> None:
    start = await version_of(api, maps)
    async with api.watching(maps, resourceVersion=start, fieldSelector="metadata.name=b") as events:
        await create(api, maps, "a")
        await create(api, maps, "b")
        assert told(await events.take(1)) == [("ADDED", "b")]


async def test_a_watch_of_all_namespaces_sees_each(api: RawApi, maps: str) -> None:
    start = await version_of(api, maps)
    async with api.watching("/api/v1/configmaps", resourceVersion=start, labelSelector="w=all") as events:
        await create(api, maps, "a", w="all")
        assert told(await events.take(1)) == [("ADDED", "a")]


async def test_other_namespaces_are_not_seen(api: RawApi, maps: str) -> None:
    start = await version_of(api, maps)
    async with api.watching(maps, resourceVersion=start) as events:
        made = await api.post("/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "x-"}})
        await create(api, maps, "mine")
        assert told(await events.take(1)) == [("ADDED", "mine")]
    await api.delete(f"/api/v1/namespaces/default/configmaps/{made.json['metadata']['name']}")


async def test_a_watch_ends_after_its_time(api: RawApi, maps: str) -> None:
    start = await version_of(api, maps)
    async with api.watching(maps, resourceVersion=start, timeoutSeconds="1") as events:
        assert await events.rest() == []


async def test_initial_events_end_with_a_bookmark(api: RawApi, maps: str) -> None:
    await create(api, maps, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watching(maps, **query) as events:
        first, end = await events.next(), await events.next()
    assert first is not None
    assert end is not None
    assert (first["type"], end["type"]) == ("ADDED", "BOOKMARK")
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(end["object"]["metadata"]["resourceVersion"]) >= int(first["object"]["metadata"]["resourceVersion"])
    assert end["object"]["kind"] == "ConfigMap"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"sendInitialEvents": "true"}, 422),
        ({"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}, 422),
        ({"labelSelector": "a b"}, 400),
        ({"fieldSelector": "spec.x=y"}, 400),
    ],
)
async def test_wrong_watch_options_are_refused(api: RawApi, maps: str, query: dict[str, str], status: int) -> None:
    answer = await api.get(maps, watch="true", timeoutSeconds="1", **query)
    assert answer.status == status


async def test_a_version_before_all_history_is_gone(api: RawApi, widgets: str) -> None:
    async with api.watching(widgets, resourceVersion="1") as events:
        assert events.status == 200
        event = await events.next()
    assert event is not None
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_table_is_watched_with_columns_once(api: RawApi, maps: str) -> None:
    await create(api, maps, "a")
    async with api.watching(maps, accept=TABLE) as events:
        first = (await events.take(1))[0]
        await create(api, maps, "b")
        second = (await events.take(1))[0]
    assert first["object"]["kind"] == "Table"
    assert [each["name"] for each in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert first["object"]["rows"][0]["cells"][0] == "a"
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "b"


async def test_metadata_alone_is_watched(api: RawApi, maps: str) -> None:
    await create(api, maps, "a")
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with api.watching(maps, accept=accept) as events:
        event = (await events.take(1))[0]
    assert event["object"]["kind"] == "PartialObjectMetadata"
    assert "data" not in event["object"]


async def test_a_graceful_deletion_is_a_change_then_a_removal(api: RawApi, ns: str) -> None:
    pods = f"/api/v1/namespaces/{ns}/pods"
    spec = {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    await api.post(pods, {"metadata": {"name": "p"}, "spec": spec})
    start = await version_of(api, pods)
    async with api.watching(pods, resourceVersion=start) as events:
        await api.delete(f"{pods}/p")
        await api.delete(f"{pods}/p", {"gracePeriodSeconds": 0})
        found = await events.take(3)
    assert told(found) == [("MODIFIED", "p"), ("MODIFIED", "p"), ("DELETED", "p")]
    assert [each["object"]["metadata"]["deletionGracePeriodSeconds"] for each in found] == [30, 0, 0]


async def test_taking_the_last_finalizer_off_is_a_removal(api: RawApi, maps: str) -> None:
    await api.post(maps, {"metadata": {"name": "a", "finalizers": ["x.io/a"]}})
    start = await version_of(api, maps)
    async with api.watching(maps, resourceVersion=start) as events:
        await api.delete(f"{maps}/a")
        await api.patch(f"{maps}/a", {"metadata": {"finalizers": None}})
        found = await events.take(2)
    assert told(found) == [("MODIFIED", "a"), ("DELETED", "a")]


async def test_custom_resources_are_watched_too(api: RawApi, widgets: str) -> None:
    start = await version_of(api, widgets)
    body = {"apiVersion": "conformance.rayfleet.dev/v1", "kind": "Widget", "metadata": {"name": "w"}}
    async with api.watching(widgets, resourceVersion=start) as events:
        await api.post(widgets, body)
        await api.patch(f"{widgets}/w/status", {"status": {"phase": "Up"}})
        found = await events.take(2)
    assert told(found) == [("ADDED", "w"), ("MODIFIED", "w")]
    assert found[1]["object"]["status"] == {"phase": "Up"}
