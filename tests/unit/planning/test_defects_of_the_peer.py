"""What AIBrix's port of Deployment and ReplicaSet gets wrong, each as a test that it would fail (commit e3e10f9).

Beside these: labels that overlap and ``matchExpressions`` (``test_claims``, ``test_overlap``), creates that are refused
(``test_replica_set``), Ray clusters that are broken (the tests of recovery), kinds that are missing (``tests/kube``).
"""

import copy
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.controllers.fleet import fleet_watches
from rayfleet.controllers.run import controller_reflectors
from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.conditions import Condition
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.meta import key_of, name_of
from rayfleet.planning.plan import FleetPlan
from rayfleet.planning.writes import Action, Delete, Merge, writes_status
from rayfleet.testing.planner_world import PlannerWorld

REVISION = "deployment.kubernetes.io/revision"
GPU = {"nvidia.com/gpu": "1"}


def template(image: str = "a", limits: ReadOnlyJson | None = None) -> Json:
    container: Json = {"name": "ray", "image": image, "resources": {"limits": dict(limits or {"cpu": "1"})}}
    pod = {"template": {"spec": {"containers": [container]}}}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod}}


def make_world(**spec: Any) -> PlannerWorld:
    world = PlannerWorld()
    fields = {"selector": {"matchLabels": {"app": "x"}}, "template": template(), **spec}
    kind = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind}
    world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": fields})
    return world


def progressing(plan: FleetPlan) -> Condition:
    condition = find_condition(plan.status.conditions, "Progressing")
    assert condition is not None
    return condition


def test_the_progress_deadline_fires_by_itself() -> None:
    """``progress.go`` reckons the time of the next look and throws it away."""
    world = make_world(progressDeadlineSeconds=60)
    world.fleet_pass()
    world.all_passes()
    wait = world.fleet_pass().requeue_after
    assert wait is not None
    world.now += wait
    assert progressing(world.fleet_pass()).reason == "ProgressDeadlineExceeded"


def test_a_pause_is_in_the_status_and_stops_the_clock() -> None:
    """``checkPausedConditions`` writes by ``Update``, which the status subresource ignores."""
    world = make_world(progressDeadlineSeconds=60)
    world.all_passes()
    world.change_spec({"paused": True})
    plan = world.fleet_pass()
    assert (progressing(plan).status, progressing(plan).reason) == ("Unknown", "DeploymentPaused")
    assert [action for action in plan.actions if writes_status(action)]
    world.now += timedelta(hours=1)
    world.change_spec({"paused": False})
    assert progressing(world.fleet_pass()).reason == "DeploymentResumed"
    assert progressing(world.fleet_pass()).status != "False", "the pause does not count"


def test_the_fleet_s_revision_is_stored_and_written_once() -> None:
    """``getNewReplicaSet`` saves an annotation through the status endpoint, which takes none, in every sync again."""
    world = make_world()
    world.settle()
    assert world.fleet["status"]["revision"] == 1
    assert world.all_passes() == []


@pytest.mark.parametrize("strategy", [None, {"type": "RollingUpdate"}, {"rollingUpdate": {}}], ids=str)
def test_a_strategy_that_is_not_said_is_a_rolling_update(strategy: Json | None) -> None:
    """Without one the controller does nothing; without ``rollingUpdate`` it dereferences nil."""
    world = make_world(**({} if strategy is None else {"strategy": strategy}))
    world.settle()
    world.change_spec({"template": template("b")})
    world.settle()
    assert world.observe_fleet().fleet.status.updated_replicas == 1


def test_a_replica_set_is_written_once_in_a_pass() -> None:
    """``scaleReplicaSet`` returns the object of before its update; the next step of the same pass reckons with it."""
    world = make_world(replicas=10, strategy={"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}})
    world.settle()
    world.change_spec({"template": template("b"), "replicas": 12})
    for _ in range(12):
        written = Counter(names_written(world.fleet_pass().actions))
        assert max(written.values(), default=0) <= 1
        world.all_passes()
        world.make_ready(*world.names())


def names_written(actions: Iterable[Action]) -> Iterable[str]:
    return (each.ref.key.name for each in actions if isinstance(each, Merge) and each.resource is REPLICA_SETS)


def test_recreate_waits_for_whatever_is_still_there() -> None:
    """``oldPodsRunning`` sees only what is terminating and still ready: what holds accelerators is mostly unready."""
    world = make_world(strategy={"type": "Recreate"}, template=template("a", GPU))
    world.settle()
    world.change_spec({"template": template("b", GPU)})
    world.all_passes()
    [name] = world.names()
    world.make_unready(name)
    for _ in range(3):
        world.all_passes()
    assert world.names() == [name]
    world.finish_deletions()
    world.settle()
    assert len(world.names()) == 1
    assert name not in world.names()


def test_a_ray_cluster_s_change_reaches_its_fleet() -> None:
    """The controller watches Ray clusters that fleets own, and fleets own none."""
    world = make_world()
    world.settle()
    reflectors = controller_reflectors(KubeClient(KubeAddress(url="http://nowhere")), None)
    for resource in (FLEETS, REPLICA_SETS, RAY_CLUSTERS):
        for raw in world.objects[resource.kind].values():
            reflectors.store(resource).put(raw)
    [ray_cluster] = world.objects[RAY_CLUSTERS.kind].values()
    watches = [watch for watch in fleet_watches(reflectors) if watch.reflector is reflectors[RAY_CLUSTERS]]
    assert [key for watch in watches for key in watch.keys(ray_cluster)] == [key_of(world.fleet)]


def test_a_replica_set_whose_selector_differs_from_its_template_makes_nothing() -> None:
    """aibrix#1423: it makes a Ray cluster in every reconcile, and counts none of them."""
    world = make_world()
    world.fleet_pass()
    [raw] = copy.deepcopy(list(world.objects[REPLICA_SETS.kind].values()))
    raw["spec"]["selector"] = {"matchLabels": {"app": "y"}}
    with pytest.raises(ManifestError, match="selector does not match"):
        decode_replica_set(raw)


def test_a_pass_on_an_old_view_makes_nothing_twice() -> None:
    """Expectations are lowered after the call, not when the watch has shown it: a stale cache makes one too many."""
    world = make_world(replicas=3)
    world.fleet_pass()
    [name] = world.objects[REPLICA_SETS.kind]
    stale = world.observed(REPLICA_SETS, name)
    for _ in range(3):
        world.replica_set_pass(name, stale)
    assert len(world.names()) == 3


def test_available_comes_by_time_alone() -> None:
    """Nothing looks again when ``minReadySeconds`` are over."""
    world = make_world(minReadySeconds=30)
    world.all_passes()
    world.make_ready(*world.names())
    waits = [each.plan.requeue_after for each in world.passes()]
    assert timedelta(0) < min(wait for wait in waits if wait is not None) <= timedelta(seconds=30)
    world.now += timedelta(seconds=31)
    world.all_passes()
    assert world.observe_fleet().fleet.status.available_replicas == 1


def test_a_scale_down_keeps_the_one_that_served_longest() -> None:
    """``rayclusterreplicaset_utils.go`` deletes the older of two ready ones, with its warm caches."""
    world = make_world()
    world.settle()
    [oldest] = world.names()
    world.now += timedelta(hours=1)
    world.change_spec({"replicas": 3})
    world.settle()
    world.change_spec({"replicas": 1})
    world.settle()
    assert world.names() == [oldest]


def test_a_broken_ray_cluster_is_never_left_behind() -> None:
    """K1, aibrix#2435 and #1157: it is filtered out, another is made, and nobody deletes the first."""
    world = make_world(template=template("a", GPU), recovery={"enabled": False})
    world.settle()
    [name] = world.names()
    world.make_unready(name)
    for _ in range(5):
        world.all_passes()
    assert world.names() == [name]
    status = world.observe_fleet().fleet.status
    assert (status.replicas, status.ready_replicas) == (1, 0), "aibrix#1746: it is counted"


def test_a_ray_cluster_stays_in_the_books_until_its_pods_are_gone() -> None:
    """Deleted in the background, the object vanishes and the surge seems to have room."""
    world = make_world(template=template("a", GPU), strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    world.settle()
    world.change_spec({"template": template("b", GPU)})
    deletes = [each for _ in range(3) for each in world.all_passes() if isinstance(each, Delete)]
    assert {each.propagation for each in deletes} == {Propagation.FOREGROUND}
    assert len(world.names()) == 1
    assert world.observe_fleet().fleet.status.terminating_replicas == 1


def test_old_replica_sets_are_history_and_no_more_than_was_asked_for() -> None:
    """aibrix#1183: what is kept looks like a leak; it is empty, and as many as ``revisionHistoryLimit``."""
    world = make_world(revisionHistoryLimit=2)
    for image in "bcdef":
        world.change_spec({"template": template(image)})
        world.settle()
    kept = [decode_replica_set(raw) for raw in world.objects[REPLICA_SETS.kind].values()]
    assert sorted(each.spec.replicas for each in kept) == [0, 0, 1]


def test_a_rollback_brings_no_label_of_ours_into_the_user_s_template() -> None:
    """``rollback.go`` copies the template of the replica set with the label of the fleet on every pod."""
    first = template("a")
    world = make_world(template=copy.deepcopy(first))
    world.settle()
    world.change_spec({"template": template("b")})
    world.settle()
    raw = world.fleet
    annotations = {**raw["metadata"].get("annotations", {}), "deprecated.deployment.rollback.to": "1"}
    world.stored.put({**raw, "metadata": {**raw["metadata"], "annotations": annotations}})
    world.settle()
    assert world.fleet["spec"]["template"] == first
    assert [name_of(each) for each in world.replica_sets()] == list(world.objects[REPLICA_SETS.kind])
