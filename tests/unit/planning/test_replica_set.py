"""The replica set planner: what it makes, what it deletes, what it says."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.model.policies import Recovery, RecoveryOrder
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import Rebuild
from rayfleet.model.resources import RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.labels import INCARNATION_ANNOTATION, INDEX_LABEL, RESUME_ANNOTATION
from rayfleet.planning.claims import Claims
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica_set.books import books_of
from rayfleet.planning.replica_set.places import names_in_question, new_ray_clusters
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import (
    Action,
    Create,
    CreateTogether,
    Delete,
    Merge,
    ObjectRef,
    Replace,
    WriteFailure,
    in_batches,
    writes_status,
)
from rayfleet.testing.planner_world import START as NOW

COST = "controller.kubernetes.io/pod-deletion-cost"


def pods(resource: str = "cpu") -> Json:
    return {"template": {"spec": {"containers": [{"name": "ray", "resources": {"limits": {resource: 1}}}]}}}


def replica_set(replicas: int, *, resource: str = "cpu", min_ready: int = 0, **status: Any) -> ReplicaSet:
    template = RayClusterTemplate(labels={"app": "x"}, spec={"headGroupSpec": pods(resource)})
    return ReplicaSet(
        meta=ObjectMeta(name="fleet-abc", uid="set", generation=3),
        spec=ReplicaSetSpec(
            selector=Selector(match_labels={"app": "x"}),
            template=template,
            replicas=replicas,
            min_ready_seconds=min_ready,
        ),
        status=ReplicaSetStatus(**status),
    )


REF = ObjectRef(key=ObjectKey(namespace="ns", name="a"), uid="u")


def cluster(name: str, *, age: int = 0, ready: bool = True, cost: str = "", **facts: Any) -> RayCluster:
    meta = ObjectMeta(
        name=name,
        uid=f"uid-{name}",
        labels={"app": "x"},
        annotations={COST: cost} if cost else {},
        owner_uid="set",
        created_at=NOW - timedelta(seconds=age),
        deleted_at=facts.pop("deleted_at", None),
    )
    since = facts.pop("since", NOW - timedelta(seconds=age)) if ready else None
    return RayCluster(meta=meta, head_ready_since=since, **facts)


def in_place(index: int, one: RayCluster) -> RayCluster:
    return replace(one, meta=replace(one.meta, labels={**one.meta.labels, INDEX_LABEL: str(index)}))


def observe(owner: ReplicaSet, *clusters: RayCluster, **more: Any) -> ObservedReplicaSet:
    return ObservedReplicaSet(replica_set=owner, ray_clusters=clusters, **more)


def created(plan: ReplicaSetPlan) -> list[ReadOnlyJson]:
    return [each for action in plan.actions if isinstance(action, CreateTogether) for each in action.manifests]


def deleted(plan: ReplicaSetPlan) -> list[str]:
    return [action.ref.key.name for action in plan.actions if isinstance(action, Delete)]


def test_what_is_missing_is_made_with_names_that_repeat() -> None:
    first, second = (plan_replica_set(observe(replica_set(3)), NOW) for _ in range(2))
    assert created(first) == created(second)
    names = [manifest["metadata"]["name"] for manifest in created(first)]
    assert len(set(names)) == 3
    assert all(name.startswith("fleet-abc-") and len(name) == len("fleet-abc-") + 5 for name in names)


def test_a_ray_cluster_is_owned_and_blocks_the_deletion_of_its_owner() -> None:
    [manifest] = created(plan_replica_set(observe(replica_set(1)), NOW))
    assert manifest["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterReplicaSet",
            "name": "fleet-abc",
            "uid": "set",
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_a_name_that_another_has_is_stepped_over() -> None:
    [manifest] = created(plan_replica_set(observe(replica_set(1)), NOW))
    name = manifest["metadata"]["name"]
    [other] = created(plan_replica_set(observe(replica_set(1), taken_names=frozenset({name})), NOW))
    assert other["metadata"]["name"] != name


def test_creates_start_slowly() -> None:
    assert [len(batch.manifests) for batch in in_batches(RAY_CLUSTERS, [{}] * 10)] == [1, 2, 4, 3]


def test_a_broken_one_is_counted_and_not_replaced() -> None:
    plan = plan_replica_set(observe(replica_set(1), cluster("a", ready=False)), NOW)
    assert (created(plan), deleted(plan)) == ([], [])
    assert (plan.status.replicas, plan.status.ready_replicas) == (1, 0)


@pytest.mark.parametrize(("resource", "number"), [("nvidia.com/gpu", 0), ("cpu", 1)])
def test_a_terminating_one_keeps_its_place_when_it_holds_accelerators(resource: str, number: int) -> None:
    leaving = cluster("a", deleted_at=NOW)
    plan = plan_replica_set(observe(replica_set(1, resource=resource), leaving), NOW)
    assert len(created(plan)) == number
    assert (plan.status.replicas, plan.status.terminating_replicas) == (0, 1)


def test_a_replacement_never_takes_the_name_of_one_that_is_still_leaving() -> None:
    [manifest] = created(plan_replica_set(observe(replica_set(1)), NOW))
    leaving = cluster(manifest["metadata"]["name"], deleted_at=NOW)
    [other] = created(plan_replica_set(observe(replica_set(1), leaving), NOW))
    assert other["metadata"]["name"] != leaving.meta.name


def test_the_surplus_goes_by_uid() -> None:
    plan = plan_replica_set(observe(replica_set(1), cluster("old", age=9), cluster("new", age=1)), NOW)
    assert deleted(plan) == ["new"]
    [action] = [action for action in plan.actions if isinstance(action, Delete)]
    assert action.ref.uid == "uid-new"


def test_a_worker_short_is_not_ready() -> None:
    plan = plan_replica_set(observe(replica_set(1), cluster("a", expected_workers=2, ready_workers=1)), NOW)
    assert plan.status.ready_replicas == 0


def test_available_comes_with_time_and_the_plan_says_when() -> None:
    clusters = cluster("a", age=4), cluster("b", age=1)
    plan = plan_replica_set(observe(replica_set(2, min_ready=3), *clusters), NOW)
    assert (plan.status.ready_replicas, plan.status.available_replicas) == (2, 1)
    assert plan.requeue_after == timedelta(seconds=2)
    later = plan_replica_set(observe(replica_set(2, min_ready=3), *clusters), NOW + timedelta(seconds=2))
    assert (later.status.available_replicas, later.requeue_after) == (2, None)


def test_with_workers_readiness_counts_from_when_it_was_first_seen() -> None:
    one = cluster("a", age=100, expected_workers=1, ready_workers=1)
    first = plan_replica_set(observe(replica_set(1, min_ready=5), one), NOW)
    assert first.status.ready_since == {"uid-a": NOW}
    owner = replica_set(1, min_ready=5, ready_since=first.status.ready_since)
    later = plan_replica_set(observe(owner, one), NOW + timedelta(seconds=5))
    assert later.status.available_replicas == 1


@pytest.mark.parametrize(("min_ready", "may_wait"), [(0, True), (5, False)])
def test_that_seconds_of_min_ready_begin_does_not_wait_for_other_changes(min_ready: int, may_wait: bool) -> None:
    """They count from what the status says first."""
    one = cluster("a", expected_workers=1, ready_workers=1)
    owner = replica_set(1, min_ready=min_ready, observed_generation=3, incarnations=1)
    plan = plan_replica_set(observe(owner, one), NOW)
    assert [write.may_wait for write in plan.actions if writes_status(write)] == [may_wait]


def test_a_head_that_came_back_starts_the_count_again() -> None:
    one = cluster("a", age=100, since=NOW)
    owner = replica_set(1, min_ready=5, ready_since={"uid-a": NOW - timedelta(seconds=60)})
    assert plan_replica_set(observe(owner, one), NOW).status.available_replicas == 0


def test_a_refused_create_is_a_condition_and_nothing_else() -> None:
    failure = WriteFailure(action=Create(resource=RAY_CLUSTERS, manifest={}), message="exceeded quota")
    plan = plan_replica_set(observe(replica_set(2), failure=failure), NOW)
    assert [writes_status(action) for action in plan.actions] == [True]
    [condition] = plan.status.conditions
    assert (condition.type, condition.status, condition.reason) == (
        "ReplicaFailure",
        ConditionStatus.TRUE,
        "FailedCreate",
    )
    assert [event.reason for event in plan.events] == ["FailedCreate"]
    again = replace(replica_set(2), status=plan.status)
    repeated = plan_replica_set(observe(again, failure=failure), NOW + timedelta(seconds=9))
    assert (repeated.actions, repeated.events) == ((), ())


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Merge(resource=RAY_CLUSTERS, ref=REF, patch={}), "FailedUpdate"),
        (Replace(resource=REPLICA_SETS, ref=REF, content={}), "FailedUpdate"),
        (Delete(resource=RAY_CLUSTERS, ref=REF), "FailedDelete"),
    ],
)
def test_a_refused_write_is_named_by_what_it_was(action: Action, reason: str) -> None:
    failure = WriteFailure(action=action, message="denied")
    plan = plan_replica_set(observe(replica_set(2), failure=failure), NOW)
    assert [condition.reason for condition in plan.status.conditions] == [reason]


def test_a_clean_pass_takes_the_failure_back() -> None:
    failure = WriteFailure(action=Create(resource=RAY_CLUSTERS, manifest={}), message="exceeded quota")
    failed = plan_replica_set(observe(replica_set(0), failure=failure), NOW)
    owner = replace(replica_set(0), status=failed.status)
    assert plan_replica_set(observe(owner), NOW).status.conditions == ()


def test_what_kuberay_could_not_make_is_said() -> None:
    plan = plan_replica_set(observe(replica_set(1), cluster("a", ready=False, failure="pods are forbidden")), NOW)
    assert plan.status.conditions[0].message == "RayCluster a: pods are forbidden"


def test_a_replica_set_on_its_way_out_makes_and_deletes_nothing() -> None:
    owner = replica_set(2)
    owner = replace(owner, meta=replace(owner.meta, deleted_at=NOW))
    plan = plan_replica_set(observe(owner, cluster("a")), NOW)
    assert [writes_status(action) for action in plan.actions] == [True]


def test_the_second_pass_writes_nothing() -> None:
    one = cluster("a", age=9)
    plan = plan_replica_set(observe(replica_set(1), one), NOW)
    assert plan.status.observed_generation == 3
    again = plan_replica_set(observe(replace(replica_set(1), status=plan.status), one), NOW + timedelta(hours=1))
    assert (again.actions, again.events, again.requeue_after) == ((), (), None)


def test_no_pass_thinks_of_more_than_it_makes() -> None:
    """``replicas`` may be 2,147,483,647, by a typo: so many places and names at once would be the controller's end."""
    many = ObservedReplicaSet(replica_set=replica_set(100_000), ray_clusters=(), pods={})
    assert len(books_of(many, NOW).missing) == 500
    names = set(names_in_question(many.replica_set, ()))
    (*_, last) = new_ray_clusters(many.replica_set, books_of(many, NOW).missing, ())
    assert len(names) == 1500
    assert last.name in names


def test_a_number_that_a_waiting_status_tells_of_is_not_given_again() -> None:
    observed = observe(replica_set(1))
    first, second = (plan_replica_set(replace(observed, number=number), NOW) for number in (0, 1))
    (one,), (other,) = created(first), created(second)
    assert one["metadata"]["name"] != other["metadata"]["name"]
    assert (first.status.incarnations, second.status.incarnations) == (1, 2)
    assert writes_status(second.actions[-1])


LOST = Rebuild(index=7, name="lost", time=NOW, reason="NotReady", is_open=True)


def numbered(number: int, one: RayCluster) -> RayCluster:
    return replace(one, meta=replace(one.meta, annotations={INCARNATION_ANNOTATION: str(number)}))


NOTED = [
    pytest.param({}, id="none yet"),
    pytest.param({"observed_generation": 2, "incarnations": 1}, id="an older one"),
    pytest.param({"observed_generation": 3, "incarnations": 1}, id="one of this generation"),
]


@pytest.mark.parametrize("status", NOTED)
def test_none_is_deleted_before_its_number_is_noted(status: Json) -> None:
    """Else its successor has its name, when the pass that made it died before its status was written."""
    new, owner = numbered(2, cluster("a")), replica_set(0, **status)
    first = plan_replica_set(observe(owner, new, number=2), NOW)
    assert (deleted(first), first.status.incarnations) == ([], 2)
    (write,) = first.actions
    assert isinstance(write, Replace)
    assert not write.may_wait
    assert deleted(plan_replica_set(observe(replace(owner, status=first.status), new), NOW)) == ["a"]


def test_nothing_is_made_before_a_number_that_a_deletion_waits_for_is_noted() -> None:
    """A create that goes on failing would keep the status, and with it the deletion, from ever being written."""
    given_up = replace(LOST, index=0, name="a", is_open=False)
    owner = replica_set(3, resource="nvidia.com/gpu", incarnations=1, rebuilds=(given_up,))
    broken, unnoted = in_place(0, numbered(1, cluster("a", ready=False))), in_place(1, numbered(2, cluster("b")))
    first = plan_replica_set(observe(owner, broken, unnoted), NOW)
    assert [writes_status(action) for action in first.actions] == [True]
    second = plan_replica_set(observe(replace(owner, status=first.status), broken, unnoted), NOW)
    assert (deleted(second), len(created(second))) == (["a"], 1)


@pytest.mark.parametrize("status", NOTED)
def test_none_is_released_before_its_number_is_noted(status: Json) -> None:
    raw: Json = {"metadata": {"name": "a", "namespace": "ns", "uid": "u", "annotations": {INCARNATION_ANNOTATION: "2"}}}
    owner, claims = replica_set(0, **status), Claims(let_go=(raw,))
    first = plan_replica_set(observe(owner, claims=claims), NOW)
    (write,) = first.actions
    assert isinstance(write, Replace)
    assert (first.status.incarnations, write.may_wait) == (2, False)
    (release,) = plan_replica_set(observe(replace(owner, status=first.status), claims=claims), NOW).actions
    assert isinstance(release, Merge)


def test_a_definition_that_keeps_no_number_keeps_none_from_going() -> None:
    owner = replica_set(0, observed_generation=3)
    assert deleted(plan_replica_set(observe(owner, numbered(2, cluster("a"))), NOW)) == ["a"]


def open_after(owner: ReplicaSet, *clusters: RayCluster) -> list[bool]:
    """Return whether each rebuild is open after a pass."""
    return [rebuild.is_open for rebuild in plan_replica_set(observe(owner, *clusters), NOW).status.rebuilds]


def test_the_place_of_an_open_rebuild_is_filled_before_lower_ones() -> None:
    observed = observe(replica_set(2, rebuilds=(LOST,)))
    made = created(plan_replica_set(observed, NOW))
    assert [manifest["metadata"]["labels"][INDEX_LABEL] for manifest in made] == ["7", "0"]
    assert {manifest["metadata"]["name"] for manifest in made} <= set(names_in_question(observed.replica_set, ()))


def test_a_rebuild_is_open_until_another_is_ready_in_its_place() -> None:
    owner = replica_set(1, rebuilds=(LOST,))
    assert open_after(owner) == [True]
    assert open_after(owner, in_place(7, cluster("b", ready=False))) == [True]
    assert open_after(owner, in_place(7, cluster("b"))) == [False]
    assert open_after(owner, in_place(7, cluster("lost"))) == [True], "it is given up, though it says that it is ready"


def test_a_rebuild_is_over_when_all_are_in_other_places() -> None:
    assert open_after(replica_set(1, rebuilds=(LOST,)), in_place(3, cluster("b", ready=False))) == [False]
    assert open_after(replica_set(2, rebuilds=(LOST,)), in_place(3, cluster("b", ready=False))) == [True]


def test_a_rebuild_is_open_while_the_one_that_goes_holds_its_place() -> None:
    owner = replica_set(2, resource="nvidia.com/gpu", rebuilds=(LOST,))
    leaving = in_place(7, cluster("lost", deleted_at=NOW))
    assert open_after(owner, in_place(3, cluster("b")), leaving) == [True]


def test_a_successor_that_is_made_first_is_in_no_other_place() -> None:
    """Two are there, in one place: a second is to come yet."""
    given_up = replace(LOST, index=3, name="a")
    owner = replica_set(2, rebuilds=(LOST, given_up))
    owner = replace(owner, spec=replace(owner.spec, recovery=Recovery(order=RecoveryOrder.CREATE_FIRST)))
    both = in_place(3, cluster("a", ready=False)), in_place(3, cluster("b", ready=False))
    assert open_after(owner, *both) == [True, True]


def test_one_that_still_goes_stays_noted_when_another_budget_is_given() -> None:
    """Else it would not go: it is given up by that note alone."""
    going = replace(LOST, index=3, name="a", is_open=False)
    owner = replica_set(1, rebuilds=(replace(LOST, is_open=False), going))
    resumed = replace(owner, meta=replace(owner.meta, annotations={RESUME_ANNOTATION: "1"}))
    plan = plan_replica_set(observe(resumed, in_place(3, cluster("a", ready=False))), NOW)
    assert (deleted(plan), plan.status.rebuilds) == (["a"], (going,))
