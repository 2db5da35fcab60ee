"""The storage, its history and what watches make of it."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.kind import Kind
from rayfleet.local.apiserver.kinds.schemas import load_schemas
from rayfleet.local.apiserver.reads.lists import Selection, list_page, selection_of
from rayfleet.local.apiserver.reads.watches import Watch, decode_watch, event_of
from rayfleet.local.apiserver.storage.history import Change, CompactedError, Stored
from rayfleet.local.apiserver.storage.storage import Storage
from rayfleet.local.apiserver.verbs.expiry import expired_events
from rayfleet.model.json import Json

MAPS = "/configmaps"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = Storage(tmp_path / "test.sqlite", window=10)
    yield made
    made.close()


@pytest.fixture(scope="module")
def kind() -> Kind:
    return next(each for each in builtin_kinds(load_schemas(), list) if each.kind == "ConfigMap")


def manifest(name: str, namespace: str = "a", **labels: str) -> Json:
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def put(storage: Storage, name: str, namespace: str = "a", **labels: str) -> Stored:
    return storage.write(MAPS, (namespace, name), manifest(name, namespace, **labels))


def names(items: list[Stored]) -> list[str]:
    return ["/".join(each.key) for each in items]


def everything(kind: Kind, **query: str) -> Selection:
    return selection_of(kind, "", query)


def test_each_write_has_the_next_version_in_the_object(storage: Storage) -> None:
    first, second = put(storage, "one"), put(storage, "one")
    assert second.version == first.version + 1 == storage.version
    assert second.object["metadata"]["resourceVersion"] == str(second.version)
    assert orjson.loads(second.body) == second.object


def test_what_is_given_out_does_not_follow_the_callers_object(storage: Storage) -> None:
    given = manifest("one", x="1")
    stored = storage.write(MAPS, ("a", "one"), given)
    given["metadata"]["labels"]["x"] = "2"
    assert stored.object["metadata"]["labels"] == {"x": "1"}


def test_items_are_in_order_and_of_one_namespace_when_asked(storage: Storage) -> None:
    for namespace, name in (("b", "x"), ("a", "z"), ("a-b", "m"), ("a", "c")):
        put(storage, name, namespace)
    assert names(storage.items(MAPS)) == ["a/c", "a/z", "a-b/m", "b/x"]
    assert names(storage.items(MAPS, "a")) == ["a/c", "a/z"]


def test_a_past_state_is_shown_as_it_was(storage: Storage) -> None:
    put(storage, "one", v="1")
    put(storage, "two")
    version = storage.version
    put(storage, "one", v="2")
    storage.remove(MAPS, ("a", "two"))
    put(storage, "three")
    then = storage.items_at(MAPS, "", version)
    assert names(then) == ["a/one", "a/two"]
    assert then[0].object["metadata"]["labels"] == {"v": "1"}


def test_the_history_ends_where_the_window_does(storage: Storage) -> None:
    first = put(storage, "one").version
    for number in range(30):
        put(storage, f"c{number}")
    with pytest.raises(CompactedError):
        storage.changes_since(MAPS, first)
    assert [each.version for each in storage.changes_since(MAPS, storage.version - 2)] == [
        storage.version - 1,
        storage.version,
    ]


def test_a_second_opening_has_objects_versions_and_history(tmp_path: Path) -> None:
    first = Storage(tmp_path / "test.sqlite")
    start = first.version
    put(first, "one")
    put(first, "one", v="2")
    first.remove(MAPS, ("a", "one"))
    put(first, "two")
    version, changes = first.version, first.changes_since(MAPS, start)
    first.close()
    second = Storage(tmp_path / "test.sqlite")
    assert second.version == version
    assert names(second.items(MAPS)) == ["a/two"]
    assert second.changes_since(MAPS, start) == changes
    second.close()


def test_a_failed_write_leaves_nothing(storage: Storage) -> None:
    put(storage, "one", v="1")
    version = storage.version
    storage._database.execute("CREATE TRIGGER refuse BEFORE INSERT ON changes BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(Exception, match="no"):
        put(storage, "one", v="2")
    assert storage.version == version
    found = storage.get(MAPS, ("a", "one"))
    assert found is not None
    assert found.object["metadata"]["labels"] == {"v": "1"}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {"x": "1"}, "ADDED"),
        ({"x": "0"}, {"x": "1"}, "ADDED"),
        ({"x": "1"}, {"x": "1", "y": "2"}, "MODIFIED"),
        ({"x": "1"}, {"x": "0"}, "DELETED"),
        ({"x": "1"}, None, "DELETED"),
        ({"x": "0"}, None, None),
        (None, {"x": "0"}, None),
        ({"x": "0"}, {"x": "2"}, None),
    ],
)
def test_an_event_is_what_the_change_means_to_the_selection(
    kind: Kind, before: dict[str, str] | None, after: dict[str, str] | None, expected: str | None
) -> None:
    def stored(labels: dict[str, str] | None, version: int) -> Stored | None:
        if labels is None:
            return None
        content = manifest("one", **labels)
        return Stored(object=content, body=orjson.dumps(content), version=version)

    change = Change(version=7, before=stored(before, 3), after=stored(after, 7))
    event = event_of(change, everything(kind, labelSelector="x=1"))
    assert (event and event[0]) == expected
    if event is not None and event[0] == "DELETED":
        assert event[1].object["metadata"]["resourceVersion"] == "7"
        assert event[1].object["metadata"]["labels"] == before


def test_pages_show_one_state(storage: Storage, kind: Kind) -> None:
    for name in "abcd":
        put(storage, name)
    first = list_page(storage, kind, everything(kind), {"limit": "3"})
    assert (names(list(first.items)), first.remaining) == (["a/a", "a/b", "a/c"], 1)
    storage.remove(MAPS, ("a", "d"))
    put(storage, "e")
    rest = list_page(storage, kind, everything(kind), {"limit": "3", "continue": first.token})
    assert (names(list(rest.items)), rest.version, rest.token) == (["a/d"], first.version, "")


def test_a_token_that_is_too_old_is_refused(storage: Storage, kind: Kind) -> None:
    for name in "abcd":
        put(storage, name)
    first = list_page(storage, kind, everything(kind), {"limit": "3"})
    for number in range(30):
        put(storage, f"x{number}")
    with pytest.raises(Refusal) as refusal:
        list_page(storage, kind, everything(kind), {"limit": "3", "continue": first.token})
    assert (refusal.value.code, refusal.value.reason) == (410, "Expired")


async def test_a_watch_from_nothing_begins_with_what_is_there(storage: Storage, kind: Kind) -> None:
    put(storage, "one")
    watch = Watch(storage, kind, everything(kind), decode_watch({"timeoutSeconds": "60"}), lambda each: each.body)
    lines = watch.lines()
    assert _events(await anext(lines)) == [("ADDED", "one")]
    put(storage, "two")
    storage.remove(MAPS, ("a", "one"))
    assert _events(await anext(lines)) == [("ADDED", "two"), ("DELETED", "one")]
    watch.close()
    with pytest.raises(StopAsyncIteration):
        await anext(lines)


async def test_a_watch_that_wants_a_list_first_is_told_where_it_ends(storage: Storage, kind: Kind) -> None:
    put(storage, "one")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    watch = Watch(storage, kind, everything(kind), decode_watch(query), lambda each: each.body)
    first, bookmark = (orjson.loads(line) for line in (await anext(watch.lines())).splitlines())
    assert first["type"] == "ADDED"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert bookmark["object"]["metadata"]["resourceVersion"] == str(storage.version)
    watch.close()


async def test_a_watch_ends_when_its_time_is_over(storage: Storage, kind: Kind) -> None:
    watch = Watch(storage, kind, everything(kind), decode_watch({"timeoutSeconds": "1"}), lambda each: each.body)
    async with asyncio.timeout(60):
        assert [chunk async for chunk in watch.lines()] == [b""]


async def test_a_watch_from_the_future_waits_for_it(storage: Storage, kind: Kind) -> None:
    query = {"resourceVersion": str(storage.version + 2), "timeoutSeconds": "60"}
    watch = Watch(storage, kind, everything(kind), decode_watch(query), lambda each: each.body)
    for name in "abc":
        put(storage, name)
    lines = watch.lines()
    await anext(lines)
    assert _events(await anext(lines)) == [("ADDED", "c")]
    watch.close()


def test_events_go_an_hour_after_they_were_last_seen() -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)

    def event(name: str, created: timedelta, last: timedelta | None) -> Stored:
        meta = {"name": name, "creationTimestamp": _text(now - created)}
        content: Json = {"metadata": meta} | ({"lastTimestamp": _text(now - last)} if last else {})
        return Stored(object=content, body=b"", version=1)

    hours = timedelta(hours=1)
    events = [event("old", 2 * hours, None), event("again", 2 * hours, hours / 2), event("new", hours / 2, 3 * hours)]
    assert [each.object["metadata"]["name"] for each in expired_events(events, now)] == ["old"]


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _events(lines: bytes) -> list[tuple[str, str]]:
    found = [orjson.loads(line) for line in lines.splitlines()]
    return [(each["type"], each["object"]["metadata"]["name"]) for each in found]
