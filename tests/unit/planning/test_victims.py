"""Which replica goes first, named after the ReplicaSet controller's own tests."""

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.planning.observed import InFlight
from rayfleet.planning.replica_set.replicas import Replica
from rayfleet.planning.replica_set.victims import deletion_order
from rayfleet.testing.planner_world import START as NOW
from rayfleet.testing.ray_pods import head_pod, later, withdrawn_pod

COST = "controller.kubernetes.io/pod-deletion-cost"


def replica(
    name: str,
    *,
    age: float = 50,
    ready: bool = True,
    cost: str = "",
    requests: int | None = None,
    pod: Json | None = None,
) -> Replica:
    meta = ObjectMeta(
        name=name,
        uid=name,
        annotations={COST: cost} if cost else {},
        created_at=later(NOW, -age),
    )
    head = pod or head_pod(name, since=NOW)
    return Replica(
        cluster=RayCluster(meta=meta, head_ready_since=NOW if ready else None),
        place=0,
        pods=(head,),
        in_flight=InFlight(requests=requests) if requests is not None else None,
    )


def unscheduled(name: str) -> Json:
    pod = head_pod(name, since=NOW, ready=False)
    return {**pod, "spec": {**pod["spec"], "nodeName": ""}, "status": {"phase": "Pending"}}


def in_phase(name: str, phase: str) -> Json:
    pod = head_pod(name, since=NOW, ready=False)
    return {**pod, "status": {**pod["status"], "phase": phase}}


RANKED = [
    replica("given-up", age=900),
    replica("drained", age=800, pod=withdrawn_pod(head_pod("drained", since=NOW), at=NOW)),
    replica("unassigned", age=700, ready=False, pod=unscheduled("unassigned")),
    replica("pending", age=600, ready=False, pod=in_phase("pending", "Pending")),
    replica("unknown", age=500, ready=False, pod=in_phase("unknown", "Unknown")),
    replica("not-ready", age=400, ready=False, pod=in_phase("not-ready", "Running")),
    replica("cheap", age=300, cost="-5"),
    replica("new", age=1),
    replica("unreadable-cost", age=2, cost="much"),
    replica("old", age=200),
    replica("busy", age=3, requests=7),
    replica("dear", age=1, cost="10"),
]


def test_sorting_active_pods_with_ranks() -> None:
    """Each goes before all that follow it, whatever else holds for them."""
    given_up = frozenset({"given-up"})
    assert [each.name for each in deletion_order(reversed(RANKED), given_up)] == [each.name for each in RANKED]


@pytest.mark.parametrize("first", range(len(RANKED) - 1))
def test_each_rank_counts_by_itself(first: int) -> None:
    pair = [RANKED[first + 1], RANKED[first]]
    assert deletion_order(pair, frozenset({"given-up"}))[0] is RANKED[first]


def test_get_pods_to_delete() -> None:
    """Of equals the younger goes, and of equally old ones that with the lower name: the same in every pass."""
    equals = [replica("b"), replica("a"), replica("c", age=1)]
    assert [each.name for each in deletion_order(equals)] == ["c", "a", "b"]
