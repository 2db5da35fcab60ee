"""Drain: out of the Service, wait, then delete; and back when it is to stay after all."""

from dataclasses import replace
from typing import Any

import pytest

from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Drain
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.model.resources import PODS
from rayfleet.objects.labels import DRAINING_ANNOTATION, FLEET_LABEL
from rayfleet.objects.pods import incarnation_text
from rayfleet.planning.observed import InFlight, ObservedReplicaSet, SidecarAnswers
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import Action, Delete, Merge, Replace
from rayfleet.testing.planner_world import START as NOW
from rayfleet.testing.ray_pods import head_pod, later, leaving_pod, withdrawn_pod, worker_pod

EARLY = later(NOW, -3600)
IDLE, BUSY, SILENT = InFlight(idle_looks=2), InFlight(requests=3), InFlight(requests=3, failed_looks=3)


def replica_set(
    replicas: int = 0, *, timeout: int = 60, status: ReplicaSetStatus | None = None, **spec: Any
) -> ReplicaSet:
    template: Json = {"headGroupSpec": {"template": {"metadata": {"labels": {FLEET_LABEL: "fleet"}}}}, **spec}
    return ReplicaSet(
        meta=ObjectMeta(name="fleet-abc", uid="set", generation=1),
        spec=ReplicaSetSpec(
            selector=Selector(match_labels={"app": "x"}),
            template=RayClusterTemplate(labels={"app": "x"}, spec=template),
            replicas=replicas,
            drain=Drain(timeout_seconds=timeout),
        ),
        status=status or ReplicaSetStatus(),
    )


def cluster(name: str = "a", *, ready: bool = True, age: float = 0) -> RayCluster:
    meta = ObjectMeta(name=name, uid=f"uid-{name}", labels={"app": "x"}, created_at=later(NOW, -age))
    return RayCluster(meta=meta, head_ready_since=EARLY if ready else None)


HEAD, WORKER = head_pod("a", since=EARLY), worker_pod("a", since=EARLY)
OUT = withdrawn_pod(HEAD, at=later(NOW, -10))
LEAVING = leaving_pod(worker_pod("a", 1, since=EARLY), at=later(NOW, 30))
FIRST_LIFE = incarnation_text((HEAD, WORKER))


def planned(
    *pods: Json, replicas: int = 0, looks: InFlight | None = None, ready: bool = True, **owner: Any
) -> ReplicaSetPlan:
    observed = ObservedReplicaSet(
        replica_set=replica_set(replicas, **owner),
        ray_clusters=(cluster(ready=ready),),
        pods={"uid-a": pods},
        answers=SidecarAnswers(in_flight={} if looks is None else {"uid-a": looks}),
    )
    return plan_replica_set(observed, NOW)


def writes(plan: ReplicaSetPlan) -> list[str]:
    """Return what is done but the status, in order."""
    return [word for action in plan.actions if (word := _word(action))]


def _word(action: Action) -> str:
    match action:
        case Merge(resource=resource, patch=patch):
            assert resource is PODS
            metadata = patch["metadata"]
            assert (metadata["labels"][FLEET_LABEL] is None) is (
                metadata["annotations"][DRAINING_ANNOTATION] is not None
            )
            return "out" if metadata["labels"][FLEET_LABEL] is None else f"back to {metadata['labels'][FLEET_LABEL]}"
        case Delete():
            return "delete"
        case _:
            return ""


def test_one_that_answers_leaves_its_service_before_anything_else() -> None:
    plan = planned(HEAD)
    assert writes(plan) == ["out"]
    assert (plan.status.ready_replicas, plan.status.available_replicas) == (1, 0)
    assert plan.status.replica_states[0].phase is ReplicaPhase.DRAINING


@pytest.mark.parametrize(
    ("noted", "pods", "replicas", "may_wait"),
    [
        ("Ready", (HEAD, WORKER, LEAVING), 1, False),  # it goes out of its Service
        ("Ready", (OUT, WORKER, LEAVING), 1, False),  # it is out, and whoever did that died before it was noted
        ("Draining", (OUT, WORKER), 1, False),
        ("Ready", (HEAD, WORKER), 0, True),
    ],
)
def test_that_one_which_stays_is_out_of_its_service_or_back_does_not_wait(
    noted: str, pods: tuple[Json, ...], replicas: int, may_wait: bool
) -> None:
    """Its fleet goes by that in whom else it takes away."""
    state = ReplicaState(name="a", uid="uid-a", phase=ReplicaPhase(noted), since=EARLY, incarnation=FIRST_LIFE)
    status = ReplicaSetStatus(observed_generation=1, replica_states=(state,))
    plan = planned(*pods, replicas=replicas, status=status)
    assert [action.may_wait for action in plan.actions if isinstance(action, Replace)] == [may_wait]


@pytest.mark.parametrize(("looks", "done"), [(None, []), (BUSY, []), (IDLE, ["delete"]), (SILENT, ["delete"])])
def test_it_waits_until_its_sidecar_counts_none_or_is_silent(looks: InFlight | None, done: list[str]) -> None:
    plan = planned(OUT, looks=looks)
    assert writes(plan) == done
    assert plan.requeue_after == (None if done else later(NOW, 50) - NOW)


def test_it_waits_no_longer_than_its_time() -> None:
    late = withdrawn_pod(HEAD, at=later(NOW, -60))
    assert writes(planned(late, looks=BUSY)) == ["delete"]


@pytest.mark.parametrize(
    "head",
    [
        None,
        head_pod("a", since=EARLY, ready=False),
        head_pod("a", since=EARLY, sidecar=False),
        head_pod("a", since=EARLY, fleet=""),
        leaving_pod(HEAD, at=NOW),
        withdrawn_pod(head_pod("a", since=EARLY, ready=False), at=NOW),
    ],
)
def test_nothing_is_waited_for_that_cannot_be_seen(head: Json | None) -> None:
    assert writes(planned(*([head] if head else []))) == ["delete"]


def test_a_time_of_0_is_no_drain() -> None:
    assert writes(planned(HEAD, timeout=0)) == ["delete"]


def test_rays_own_metrics_port_is_no_sidecar() -> None:
    """KubeRay gives the Ray container a port 8080 when it has none."""
    head = head_pod("a", since=EARLY, sidecar=False)
    head["spec"]["containers"][0]["ports"] = [{"containerPort": 8080}]
    assert writes(planned(head)) == ["delete"]


def test_scaled_up_again_it_goes_back_and_is_not_deleted() -> None:
    assert writes(planned(OUT, replicas=1, looks=IDLE)) == ["back to fleet"]


def test_one_that_is_drained_keeps_its_place_and_is_the_one_to_go() -> None:
    observed = ObservedReplicaSet(
        replica_set=replica_set(1),
        ray_clusters=(cluster("a", age=99), cluster("b", age=1)),
        pods={"uid-a": (OUT,), "uid-b": (head_pod("b", since=EARLY),)},
    )
    assert writes(plan_replica_set(observed, NOW)) == []


def test_a_replica_whose_worker_is_evicted_leaves_and_comes_back() -> None:
    going = leaving_pod(WORKER, at=later(NOW, 60))
    assert writes(planned(HEAD, going, replicas=1)) == ["out"]
    assert writes(planned(OUT, going, replicas=1)) == []
    assert writes(planned(OUT, WORKER, replicas=1, ready=False)) == []
    assert writes(planned(OUT, WORKER, replicas=1)) == ["back to fleet"]


def test_a_worker_that_the_autoscaler_takes_drains_nothing() -> None:
    going = leaving_pod(WORKER, at=later(NOW, 60))
    assert writes(planned(HEAD, going, replicas=1, enableInTreeAutoscaling=True)) == []


def test_an_unready_one_out_of_its_service_is_broken_and_not_drained() -> None:
    """Else its grace would never end: a worker was evicted, and nobody brings it back."""
    plan = planned(OUT, replicas=1, ready=False)
    assert plan.status.replica_states[0].phase is not ReplicaPhase.DRAINING


def test_a_deleted_one_is_drained_before_a_broken_one_is_rebuilt() -> None:
    """A broken one whose head still answers finishes its requests too."""
    owner = replica_set(1)
    status = replace(planned(HEAD, replicas=1).status, rebuilds=())
    assert status.replica_states[0].phase is ReplicaPhase.READY
    observed = ObservedReplicaSet(
        replica_set=replace(owner, status=status), ray_clusters=(cluster(ready=False),), pods={"uid-a": (HEAD,)}
    )
    broken = plan_replica_set(observed, NOW).status
    noted = plan_replica_set(replace(observed, replica_set=replace(owner, status=broken)), later(NOW, 60)).status
    assert [each.name for each in noted.rebuilds] == ["a"]
    plan = plan_replica_set(replace(observed, replica_set=replace(owner, status=noted)), later(NOW, 60))
    assert writes(plan) == ["out"]
