"""The store: indexes hold exactly what is stored, versions never go back."""

import gc
import weakref
from typing import Any

from rayfleet.kube.store import Store, is_older
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import key_of, version_of
from rayfleet.objects.owners import controller_uid


def manifest(name: str, version: int, *, uid: str = "u", owner: str = "") -> Json:
    meta: Json = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version)}
    if owner:
        meta["ownerReferences"] = [{"uid": "other"}, {"uid": owner, "controller": True}]
    return {"metadata": meta}


def names(found: object) -> list[str]:
    return sorted(each["metadata"]["name"] for each in found)  # type: ignore[attr-defined] # any sequence of objects


def test_objects_are_found_by_the_controller_among_their_owners() -> None:
    store = Store()
    store.put(manifest("a", 1, owner="x"))
    store.put(manifest("b", 2, owner="y"))
    store.put(manifest("c", 3))
    assert names(store.by_owner("x")) == ["a"]
    assert store.by_owner("other") == ()
    assert controller_uid(manifest("c", 3)) is None


def test_an_index_forgets_what_changed_or_went() -> None:
    store = Store()
    store.put(manifest("a", 1, owner="red"))
    store.put(manifest("a", 2, owner="blue"))
    assert store.by_owner("red") == ()
    assert names(store.by_owner("blue")) == ["a"]
    store.remove(ObjectKey(namespace="n", name="a"))
    assert store.by_owner("blue") == ()
    assert store.list("n") == ()


def test_an_older_version_of_the_same_object_is_not_taken() -> None:
    store = Store()
    newest = manifest("a", 10)
    store.put(newest)
    assert store.put(manifest("a", 9)) == (newest, False)
    assert store.get(key_of(newest)) is newest


def test_a_successor_of_the_same_name_is_taken_whatever_its_version() -> None:
    store = Store()
    store.put(manifest("a", 10, uid="first"))
    _, is_taken = store.put(manifest("a", 9, uid="second"))
    assert is_taken


def test_versions_are_compared_as_numbers() -> None:
    assert is_older("9", than="10")
    assert not is_older("10", than="10")
    assert not is_older("", than="10")


def test_a_namespace_lists_its_own() -> None:
    store = Store()
    store.put(manifest("a", 1))
    assert names(store.list("n")) == ["a"]
    assert store.list("m") == ()
    assert names(store.list()) == ["a"]


def test_an_object_is_decoded_once_as_long_as_it_is_stored() -> None:
    store = Store()
    decoded: list[ReadOnlyJson] = []

    def decode(raw: ReadOnlyJson) -> str:
        decoded.append(raw)
        return str(raw["metadata"]["resourceVersion"])

    first, second = manifest("a", 1), manifest("a", 2)
    store.put(first)
    assert [store.decoded(first, decode) for _ in range(3)] == ["1", "1", "1"]
    assert decoded == [first]
    store.put(second)
    assert store.decoded(second, decode) == "2"
    assert store.decoded(first, decode) == "1"  # an older view is nobody's
    store.remove(key_of(second))
    assert store.decoded(second, decode) == "2"
    assert decoded == [first, second, first, second]


def test_a_later_version_is_renewed_from_what_was_decoded_and_decoded_where_that_fails() -> None:
    store = Store()
    decoded: list[ReadOnlyJson] = []

    def decode(raw: ReadOnlyJson) -> str:
        decoded.append(raw)
        return str(raw["metadata"]["uid"])

    def renew(value: str, before: ReadOnlyJson, after: ReadOnlyJson) -> str | None:
        versions = tuple(each["metadata"]["resourceVersion"] for each in (before, after))
        return f"{value}, renewed {versions}" if after["metadata"]["uid"] == "u" else None

    first, unread, third = (manifest("a", version) for version in (1, 2, 3))
    store.put(first)
    assert store.decoded(first, decode, renew) == "u"
    store.put(unread)
    store.put(third)
    assert [store.decoded(third, decode, renew) for _ in range(2)] == ["u, renewed ('1', '3')"] * 2
    other = manifest("a", 4, uid="v")
    store.put(other)
    assert store.decoded(other, decode, renew) == "v"
    assert decoded == [first, other]
    store.remove(key_of(other))
    store.put(fresh := manifest("a", 5))
    assert store.decoded(fresh, decode, renew) == "u"  # of what is gone nothing is left


class Tracked(dict[str, Any]):
    """A manifest that can be referred to weakly."""


def test_a_former_version_is_held_only_for_who_renews_from_it() -> None:
    """Of each Ray cluster, which nobody renews, a second version would be held for as long as it lives."""
    store = Store()
    first = Tracked(manifest("a", 1))
    seen = weakref.ref(first)
    store.put(first)
    assert store.decoded(first, version_of) == "1"
    store.put(manifest("a", 2))
    del first
    gc.collect()
    assert seen() is None
