"""Pods in the replica set controller: whose they are, and which of their changes wake it."""

from typing import Any

from rayfleet.controllers.replica_set import differ_beyond_version, observed_replica_set, replica_sets_of_pod
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.objects.meta import name_of, uid_of
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.observed import SidecarAnswers
from rayfleet.testing.planner_world import START
from rayfleet.testing.stored_objects import NAMESPACE, StoredObjects, with_metadata

POD: Json = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "uid": "u", "resourceVersion": "7", "labels": {"ray.io/cluster": "c"}},
    "status": {"phase": "Pending"},
}


def stored_world() -> tuple[StoredObjects, dict[str, Json]]:
    """Return a replica set, its Ray cluster, a pod of that, and a pod of another's; by name."""
    stored = StoredObjects(START)

    def put(kind: str, api_version: str, name: str, owner: tuple[ResourceType, str], **more: Any) -> Json:
        references = [controller_reference(owner[0], owner[1], uid_of(stored.of_kind(owner[0].kind).get(owner[1], {})))]
        meta = {"name": name, "namespace": NAMESPACE, "labels": {"a": "b"}, "ownerReferences": references}
        stored.create({"apiVersion": api_version, "kind": kind, "metadata": meta, **more})
        return stored.of_kind(kind)[name]

    head = {"template": {"spec": {"containers": [{"name": "ray", "image": "ray:1"}]}}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"headGroupSpec": head}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    for owner in ("mine", "another"):
        put(REPLICA_SETS.kind, REPLICA_SETS.api_version, owner, (REPLICA_SETS, "none"), spec=spec)
        put(RAY_CLUSTERS.kind, RAY_CLUSTERS.api_version, f"{owner}-c", (REPLICA_SETS, owner), spec={})
        put("Pod", "v1", f"{owner}-p", (RAY_CLUSTERS, f"{owner}-c"), status={"phase": "Pending"})
    return stored, {name: raw for kind in stored.by_kind.values() for name, raw in kind.items()}


def test_a_pass_reads_the_pods_of_its_ray_clusters_alone() -> None:
    stored, objects = stored_world()
    observed = observed_replica_set(objects["mine"], stored, SidecarAnswers())
    assert {uid: [name_of(pod) for pod in pods] for uid, pods in observed.pods.items()} == {
        uid_of(objects["mine-c"]): ["mine-p"]
    }


def test_a_pod_concerns_the_replica_set_two_owners_up() -> None:
    stored, objects = stored_world()
    assert list(replica_sets_of_pod(objects["mine-p"], stored)) == [ObjectKey(namespace=NAMESPACE, name="mine")]
    stored.of_kind(RAY_CLUSTERS.kind).clear()
    assert list(replica_sets_of_pod(objects["mine-p"], stored)) == []


def test_a_new_version_alone_wakes_nobody() -> None:
    assert differ_beyond_version(None, POD)
    assert differ_beyond_version(POD, None)
    assert differ_beyond_version(POD, {**POD, "status": {"phase": "Running"}})
    assert not differ_beyond_version(POD, with_metadata(POD, {"resourceVersion": "8"}))
