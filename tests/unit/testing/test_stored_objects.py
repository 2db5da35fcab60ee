"""Objects in memory keep the rules of a server that plans rely on, and fail as the executor understands it."""

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import PODS, RAY_CLUSTERS, SERVICES
from rayfleet.objects.meta import generation_of, is_terminating, name_of, version_of
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.writes import Create, CreateTogether, Delete, Merge, ObjectRef, ref_of, status_replaced
from rayfleet.testing.planner_world import START
from rayfleet.testing.stored_objects import Refused, Stale, StoredObjects


def cluster(name: str, owner: str = "", **meta: object) -> Json:
    owners = [controller_reference(RAY_CLUSTERS, "owner", owner)] if owner else []
    metadata = {"name": name, "ownerReferences": owners, **meta}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": {"a": 1, "b": {"c": 2}}}


def stored_with(*manifests: Json) -> StoredObjects:
    stored = StoredObjects(START)
    for manifest in manifests:
        stored.create(manifest)
    return stored


def of_name(stored: StoredObjects, name: str) -> Json:
    return stored.of_kind("RayCluster")[name]


def test_a_create_of_what_is_there_is_success_for_the_same_controller_alone() -> None:
    stored = stored_with(cluster("a", owner="one"))
    first = of_name(stored, "a")
    stored.apply(Create(resource=RAY_CLUSTERS, manifest=cluster("a", owner="one")))
    assert of_name(stored, "a") is first
    with pytest.raises(Stale):
        stored.apply(Create(resource=RAY_CLUSTERS, manifest=cluster("a", owner="two")))


def test_a_name_is_not_free_before_its_object_is_gone() -> None:
    stored = stored_with(cluster("a"))
    ref = ref_of(of_name(stored, "a"))
    stored.apply(Delete(resource=RAY_CLUSTERS, ref=ref, propagation=Propagation.FOREGROUND))
    assert is_terminating(of_name(stored, "a"))
    with pytest.raises(Stale):
        stored.create(cluster("a"))
    stored.finish_deletions("RayCluster")
    stored.create(cluster("a"))


def test_a_quota_refuses_and_the_others_of_a_batch_have_their_turn() -> None:
    stored = stored_with(cluster("a"))
    stored.quotas["RayCluster"] = 2
    batch = tuple(cluster(name) for name in ("b", "c", "a"))
    with pytest.raises(Refused, match="exceeded quota: RayCluster used 2, limited 2"):
        stored.apply(CreateTogether(resource=RAY_CLUSTERS, manifests=batch))
    assert list(stored.of_kind("RayCluster")) == ["a", "b"]


def test_a_merge_asks_for_the_object_and_the_version_that_were_seen() -> None:
    stored = stored_with(cluster("a"))
    ref = ref_of(of_name(stored, "a"), at_this_version=True)
    patch = {"spec": {"a": None, "b": {"d": 3}}}
    stored.apply(Merge(resource=RAY_CLUSTERS, ref=ref, patch=patch))
    assert of_name(stored, "a")["spec"] == {"b": {"c": 2, "d": 3}}
    assert generation_of(of_name(stored, "a")) == 2
    with pytest.raises(Stale):
        stored.apply(Merge(resource=RAY_CLUSTERS, ref=ref, patch=patch))
    with pytest.raises(Stale):
        stored.apply(Merge(resource=RAY_CLUSTERS, ref=ObjectRef(key=ref.key, uid="other"), patch=patch))


def test_annotations_are_no_new_generation() -> None:
    stored = stored_with(cluster("a"))
    version = version_of(of_name(stored, "a"))
    patch = {"metadata": {"annotations": {"x": "y"}}}
    stored.apply(Merge(resource=RAY_CLUSTERS, ref=ref_of(of_name(stored, "a")), patch=patch))
    assert (generation_of(of_name(stored, "a")), version_of(of_name(stored, "a")) != version) == (1, True)


def test_a_status_is_replaced_whole_and_asks_for_the_object() -> None:
    stored = stored_with(cluster("a"))
    ref = ref_of(of_name(stored, "a"))
    for status in ({"x": 1, "y": 1}, {"x": 2}):
        stored.apply(status_replaced(RAY_CLUSTERS, ref, status))
    assert of_name(stored, "a")["status"] == {"x": 2}
    with pytest.raises(Stale):
        stored.apply(status_replaced(RAY_CLUSTERS, ObjectRef(key=ref.key, uid="other"), {}))


def test_a_write_leaves_what_was_read_before_as_it_was() -> None:
    stored = stored_with(cluster("a"))
    before = of_name(stored, "a")
    ref = ref_of(before)
    stored.apply(Merge(resource=RAY_CLUSTERS, ref=ref, patch={"spec": {"b": {"c": 3}}}))
    stored.apply(status_replaced(RAY_CLUSTERS, ref, {"x": 1}))
    assert (before["spec"], "status" in before) == ({"a": 1, "b": {"c": 2}}, False)


def test_what_is_gone_or_another_s_is_deleted_with_success() -> None:
    stored = stored_with(cluster("a"))
    for key in (ObjectKey(namespace="default", name="a"), ObjectKey(namespace="default", name="b")):
        stored.apply(Delete(resource=RAY_CLUSTERS, ref=ObjectRef(key=key, uid="other")))
    assert list(stored.of_kind("RayCluster")) == ["a"]


def test_what_is_controlled_goes_with_its_owner_and_nothing_else_does() -> None:
    stored = stored_with(cluster("a"), cluster("other"))
    uid = of_name(stored, "a")["metadata"]["uid"]
    for name, owner in (("mine", uid), ("theirs", "somebody")):
        owners = [controller_reference(RAY_CLUSTERS, "x", owner)]
        stored.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "ownerReferences": owners}})
    stored.apply(Delete(resource=RAY_CLUSTERS, ref=ref_of(of_name(stored, "a"))))
    assert [list(stored.of_kind(kind)) for kind in ("RayCluster", "Service")] == [["other"], ["theirs"]]
    assert [name_of(raw) for raw in stored.store(SERVICES).by_owner("somebody")] == ["theirs"]


def test_pods_take_time_to_go() -> None:
    stored = StoredObjects(START)
    stored.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "head-"}})
    [pod] = stored.of_kind("Pod").values()
    assert name_of(pod).startswith("head-0")
    stored.apply(Delete(resource=PODS, ref=ref_of(pod)))
    assert [is_terminating(each) for each in stored.of_kind("Pod").values()] == [True]
