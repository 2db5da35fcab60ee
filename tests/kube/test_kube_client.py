"""The client, the reflector, the lease and the recorder towards both API servers."""

import asyncio
import contextlib
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.apply import Applied, apply_object
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, Conflict, Gone, NotFound, Unauthorized, Unreachable
from rayfleet.kube.events import EventRecorder
from rayfleet.kube.lease import LeaderElector, LeadershipLost, LeaseSettings
from rayfleet.kube.reflector import Reflector
from rayfleet.kube.requests import PatchForm
from rayfleet.kube.watching import WatchEventType
from rayfleet.model.events import EventType
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import CONFIG_MAPS, EVENTS, LEASES, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import label
from rayfleet.testing.waiting import LIMIT_SECONDS, until


def config_map(namespace: str, name: str, **labels: str) -> Json:
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": "1"}}


@contextlib.asynccontextmanager
async def running(*work: Awaitable[None]) -> Any:
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_an_object_is_created_changed_and_deleted(client: KubeClient, namespace: str) -> None:
    made = await client.create(CONFIG_MAPS, config_map(namespace, "one"))
    key = ObjectKey(namespace=namespace, name="one")
    with pytest.raises(AlreadyExists):
        await client.create(CONFIG_MAPS, config_map(namespace, "one"))
    changed = await client.patch(CONFIG_MAPS, key, {"data": {"b": "2"}})
    assert changed["data"] == {"a": "1", "b": "2"}
    with pytest.raises(Conflict):
        await client.replace(CONFIG_MAPS, made)
    patch = [{"op": "replace", "path": "/data", "value": {"c": "3"}}]
    changed = await client.patch(CONFIG_MAPS, key, patch, form=PatchForm.JSON)
    assert (await client.replace(CONFIG_MAPS, {**changed, "data": {}})).get("data", {}) == {}
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, key, uid="another")
    await client.delete(CONFIG_MAPS, key, uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "one", namespace)
    with pytest.raises(NotFound):
        await client.delete(CONFIG_MAPS, key)


async def test_a_dry_run_stores_nothing(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "dry"), dry_run=True)
    with pytest.raises(NotFound):
        await client.get(CONFIG_MAPS, "dry", namespace)


async def test_a_list_is_whole_in_pages_of_any_size(client: KubeClient, namespace: str) -> None:
    for number in range(7):
        await client.create(CONFIG_MAPS, config_map(namespace, f"m{number}", even=str(number % 2 == 0).lower()))
    found = await client.list(CONFIG_MAPS, namespace, limit=2, label_selector="even")
    assert [each["metadata"]["name"] for each in found.items] == [f"m{number}" for number in range(7)]
    assert {each["kind"] for each in found.items} == {"ConfigMap"}
    even = await client.list(CONFIG_MAPS, namespace, limit=3, label_selector="even=true")
    assert len(even.items) == 4
    named = await client.list(CONFIG_MAPS, namespace, field_selector="metadata.name=m3")
    assert len(named.items) == 1


async def test_a_watch_tells_every_change_in_order(client: KubeClient, namespace: str) -> None:
    start = (await client.list(CONFIG_MAPS, namespace, label_selector="mine")).resource_version
    key = ObjectKey(namespace=namespace, name="one")
    await client.create(CONFIG_MAPS, config_map(namespace, "one", mine=""))
    await client.patch(CONFIG_MAPS, key, {"data": {"big": "x" * 900_000}})
    await client.delete(CONFIG_MAPS, key)
    seen = []
    watch = client.watch(
        CONFIG_MAPS, namespace, resource_version=start, label_selector="mine", timeout=timedelta(seconds=LIMIT_SECONDS)
    )
    async with contextlib.aclosing(watch):
        async for event in watch:
            if event.type is not WatchEventType.BOOKMARK:
                seen.append(event)
            if event.type is WatchEventType.DELETED:
                break
    assert [each.type for each in seen] == [WatchEventType.ADDED, WatchEventType.MODIFIED, WatchEventType.DELETED]
    assert len(seen[1].object["data"]["big"]) == 900_000
    versions = [int(each.resource_version) for each in seen]
    assert versions == sorted(versions)
    assert versions[0] > int(start)


async def test_a_watch_that_the_server_ends_just_ends(client: KubeClient, namespace: str) -> None:
    start = (await client.list(CONFIG_MAPS, namespace)).resource_version
    async with asyncio.timeout(LIMIT_SECONDS):
        watch = client.watch(CONFIG_MAPS, namespace, resource_version=start, timeout=timedelta(seconds=1))
        assert {event.type async for event in watch} <= {WatchEventType.BOOKMARK}


async def test_a_silent_watch_is_given_up(client: KubeClient, namespace: str) -> None:
    start = (await client.list(PODS, namespace)).resource_version
    watch = client.watch(PODS, namespace, resource_version=start, stall_limit=timedelta(milliseconds=200))
    async with asyncio.timeout(LIMIT_SECONDS):
        with pytest.raises(Unreachable):
            await anext(watch)


async def test_a_version_too_old_is_gone(client: KubeClient, namespace: str) -> None:
    # The real server keeps a window of events from its start on: version 1 is before it.
    await client.create(CONFIG_MAPS, config_map(namespace, "one"))
    watch = client.watch(RAY_CLUSTERS, namespace, resource_version="1", timeout=timedelta(seconds=5))
    with pytest.raises(Gone):
        await anext(watch)


async def test_a_wrong_token_is_unauthorized(client: KubeClient) -> None:
    address = KubeAddress(url=client.address.url, token="wrong", ca_data=client.address.ca_data)
    async with KubeClient(address) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.list(CONFIG_MAPS)


async def test_foreground_deletion_keeps_the_object_for_its_dependents(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "owner"))
    key = ObjectKey(namespace=namespace, name="owner")
    await client.delete(CONFIG_MAPS, key, propagation=Propagation.FOREGROUND)
    left = await client.get(CONFIG_MAPS, "owner", namespace)
    assert left["metadata"]["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in left["metadata"]


async def test_apply_creates_then_configures_then_rests(client: KubeClient, namespace: str) -> None:
    manifest = config_map(namespace, "one")
    assert (await apply_object(client, manifest))[0] is Applied.CREATED
    assert (await apply_object(client, manifest))[0] is Applied.UNCHANGED
    assert (await apply_object(client, {**manifest, "data": {"a": "2"}}))[0] is Applied.CONFIGURED


async def test_an_object_that_apply_did_not_make_keeps_what_it_has_and_that_is_said(
    client: KubeClient, namespace: str
) -> None:
    manifest = config_map(namespace, "one")
    await client.create(CONFIG_MAPS, {**manifest, "data": {"a": "1", "b": "2"}})
    applied, stored = await apply_object(client, {**manifest, "data": {"a": "1"}})
    assert (applied, stored["data"]) == (Applied.TAKEN_UP, {"a": "1", "b": "2"})
    assert (await apply_object(client, {**manifest, "data": {"a": "1"}}))[0] is Applied.UNCHANGED
    assert (await apply_object(client, {**manifest, "data": {"a": "2"}}))[0] is Applied.CONFIGURED


async def test_a_reflector_shows_what_the_server_has(client: KubeClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map(namespace, "before", team="a"))
    reflector = Reflector(client, CONFIG_MAPS, namespace, label_selector="team")
    heard: list[tuple[bool, bool]] = []
    reflector.subscribe(lambda old, new: heard.append((old is not None, new is not None)))
    key = ObjectKey(namespace=namespace, name="before")
    async with running(reflector.run()):
        async with asyncio.timeout(LIMIT_SECONDS):
            await reflector.synced()
        assert [each["metadata"]["name"] for each in reflector.store.list()] == ["before"]
        assert "managedFields" not in reflector.store.list()[0]["metadata"]
        await client.create(CONFIG_MAPS, config_map(namespace, "after", team="b"))
        await until(lambda: len(reflector.store), "both are there", holds=lambda count: count == 2)
        stored = await client.patch(CONFIG_MAPS, key, {"metadata": {"labels": {"team": "b"}}})
        await until(lambda: reflector.has_seen(stored["metadata"]["resourceVersion"]), "the change is seen")
        assert [label(each, "team") for each in reflector.store.list()] == ["b", "b"]
        await client.delete(CONFIG_MAPS, key)
        await until(lambda: reflector.store.get(key) is None, "the deletion is seen")
    assert heard == [(False, True), (False, True), (True, True), (True, False)]


async def test_one_leader_at_a_time_and_the_next_follows_at_once(client: KubeClient, namespace: str) -> None:
    key = ObjectKey(namespace=namespace, name="controller")
    leading: list[str] = []
    release = {"a": asyncio.Event(), "b": asyncio.Event()}

    async def lead(identity: str) -> None:
        # Nobody could wait until a lease ends by itself: the second one leads since the first gave it back.
        hours = {"duration": timedelta(hours=2), "renew_deadline": timedelta(hours=1)}
        settings = LeaseSettings(key=key, identity=identity, retry_period=timedelta(milliseconds=100), **hours)
        elector = LeaderElector(client, settings)

        async def work() -> None:
            assert elector.may_act()
            leading.append(identity)
            await release[identity].wait()
            leading.remove(identity)

        await elector.lead(work)

    async with running(lead("a")) as (first,):
        await until(lambda: leading, "the first leads", holds=lambda names: names == ["a"])
        async with running(lead("b")) as (second,):
            await asyncio.wait({second}, timeout=0.5)
            assert leading == ["a"]
            release["a"].set()
            await until(lambda: leading, "the second leads", holds=lambda names: names == ["b"])
            await first
            release["b"].set()
            await second
    lease = await client.get(LEASES, "controller", namespace)
    assert lease["spec"]["holderIdentity"] == ""
    assert lease["spec"]["leaseTransitions"] >= 1


@pytest.mark.parametrize("verb", ["create", "replace"])
async def test_a_lease_is_given_back_when_a_write_of_it_was_cut_off(
    client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The API server had taken it: the lease was another one than was seen, and the next leader waited for its end."""
    hours = {"duration": timedelta(hours=2), "renew_deadline": timedelta(hours=1)}
    key = ObjectKey(namespace=namespace, name="controller")
    elector = LeaderElector(client, LeaseSettings(key=key, identity="a", retry_period=timedelta(seconds=0.1), **hours))
    write = getattr(client, verb)
    taken = asyncio.Event()

    async def unanswered_once(*words: Any) -> Any:
        answer = await write(*words)
        if not taken.is_set():
            taken.set()
            await asyncio.Event().wait()
        return answer

    async def work() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(client, verb, unanswered_once)
    async with running(elector.lead(work)):
        await until(taken.is_set, "a write without an answer")
    assert (await client.get(LEASES, "controller", namespace))["spec"]["holderIdentity"] == ""
    assert not elector.may_act()


async def test_a_leader_that_lost_its_lease_stops_its_work(client: KubeClient, namespace: str) -> None:
    key = ObjectKey(namespace=namespace, name="controller")
    elector = LeaderElector(client, LeaseSettings(key=key, identity="a", retry_period=timedelta(milliseconds=50)))
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await client.patch(LEASES, key, {"spec": {"holderIdentity": "thief"}})
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(LeadershipLost):
        async with asyncio.timeout(LIMIT_SECONDS):
            await elector.lead(work)
    assert ended.is_set()
    assert not elector.may_act()
    assert (await client.get(LEASES, "controller", namespace))["spec"]["holderIdentity"] == "thief"


async def test_the_same_words_raise_a_count(client: KubeClient, namespace: str) -> None:
    about = await client.create(CONFIG_MAPS, config_map(namespace, "one"))

    async def counts() -> list[int]:
        return [event["count"] for event in (await client.list(EVENTS, namespace)).items]

    for total in (2, 4):  # the second by a recorder that was started anew
        recorder = EventRecorder(client, "tester")
        async with running(recorder.run()):
            for _ in range(2):
                recorder.record(about, reason="Scaled", message="up", type=EventType.WARNING)
            await until(counts, f"a count of {total}", holds=[total].__eq__)
    (event,) = (await client.list(EVENTS, namespace)).items
    assert (event["count"], event["reason"], event["type"]) == (4, "Scaled", "Warning")
    assert event["involvedObject"]["uid"] == about["metadata"]["uid"]
