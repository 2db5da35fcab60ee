"""What is held back until its nodes are warm, for how long, and what is not; transcripts show whole rollouts."""

from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS, SERVICES
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.meta import name_of
from rayfleet.planning.plan import FleetPlan
from rayfleet.planning.writes import Create, CreateTogether, Delete, Merge, Replace
from rayfleet.testing.kubelet import SITUATIONS, RayPod, blocked, unschedulable, waiting
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.stored_objects import with_metadata

IN_PLACE = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def template(image: str) -> Json:
    group = {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": group}}


def serving(replicas: int = 1, **spec: Any) -> PlannerWorld:
    """Return a fleet each of whose replicas is ready on a node of its own: n1, n2, ..."""
    world = PlannerWorld()
    fields = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "x"}},
        "template": template("engine:1"),
        "strategy": IN_PLACE,
        "drain": {"timeoutSeconds": 0},
        **spec,
    }
    kind = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind}
    world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": fields})
    world.settle()
    show_pods(world)
    world.settle()
    return world


def show_pods(world: PlannerWorld) -> None:
    """Let each Ray cluster have a ready head on the node of its number."""
    for number, name in enumerate(world.names(), 1):
        pod = RayPod(name=f"{name}-head", ray_cluster=name, node=f"n{number}")
        world.show_pod(name, pod, SITUATIONS["ready"](world.now, pod.containers))


def rolled(world: PlannerWorld, image: str = "engine:2", rounds: int = 3) -> FleetPlan:
    """Apply another image and let the controllers act; return the fleet's last plan."""
    world.change_spec({"template": template(image)})
    return played(world, rounds)


def played(world: PlannerWorld, rounds: int = 3) -> FleetPlan:
    plan = world.fleet_pass()
    for _ in range(rounds):
        world.all_passes()
        plan = world.fleet_pass()
    return plan


def nodes(world: PlannerWorld) -> list[str]:
    """Return the nodes that there are pods for."""
    terms = [
        raw["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        for raw in world.warm_up_pods()
    ]
    return sorted(term["matchFields"][0]["values"][0] for (term,) in terms)


def sizes(world: PlannerWorld) -> list[int]:
    return [raw["spec"]["replicas"] for raw in world.replica_sets()]


def is_cut(world: PlannerWorld) -> bool:
    """Whether the first replica set was made smaller."""
    return sizes(world)[0] < len(world.names())


def progressing(world: PlannerWorld) -> str:
    condition = find_condition(world.observe_fleet().fleet.status.conditions, "Progressing")
    assert condition is not None
    return condition.reason


def test_what_serves_is_held_until_the_pods_of_its_nodes_ended() -> None:
    world = serving()
    rolled(world)
    assert (nodes(world), sizes(world), progressing(world)) == (["n1"], [1, 0], "WarmingUp")
    world.show_warm_up_pods("succeeded")
    played(world, 1)
    assert sizes(world)[0] == 0


def test_only_the_nodes_of_the_next_victims_are_warmed_up() -> None:
    world = serving(3)
    rolled(world)
    assert len(nodes(world)) == 1
    two = serving(3, strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}})
    rolled(two)
    assert len(nodes(two)) == 2


@pytest.mark.parametrize(
    "spec",
    [
        {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}}},
        {"warmUp": {"enabled": False}},
        {"paused": True},
    ],
)
def test_with_a_surge_switched_off_or_paused_nothing_is_warmed_up(spec: Json) -> None:
    world = serving(2)
    world.change_spec(spec)
    rolled(world)
    assert nodes(world) == []


def test_a_surge_that_was_withdrawn_is_delete_first() -> None:
    world = serving(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}, "surgeTimeoutSeconds": 10})
    world.change_spec({"template": template("engine:2")})
    world.all_passes()
    world.all_passes()
    surge = world.names()[-1]
    world.show_pod(surge, RayPod(name=f"{surge}-head", ray_cluster=surge), unschedulable(world.now))
    world.all_passes()
    assert nodes(world) == []
    world.now += timedelta(seconds=11)
    for _ in range(3):
        world.all_passes()
        world.finish_deletions()
    assert (nodes(world), sizes(world)) == (["n1"], [1, 0])


@pytest.mark.parametrize("strategy", [IN_PLACE, {"type": "Recreate"}])
def test_where_no_pod_has_a_node_nothing_waits(strategy: Json) -> None:
    world = serving(strategy=strategy)
    world.objects[PODS.kind].clear()
    rolled(world)
    assert (nodes(world), sizes(world)[0]) == ([], 0)


def test_the_same_images_by_fixed_tags_need_nothing() -> None:
    world = serving()
    changed = template("engine:1")
    changed["spec"]["headGroupSpec"]["rayStartParams"] = {"num-cpus": "1"}
    world.change_spec({"template": changed})
    played(world)
    assert (nodes(world), sizes(world)[0]) == ([], 0)


def test_a_command_of_the_manifest_runs_also_for_the_same_image() -> None:
    """Whether its weights are there, only the command itself can tell."""
    world = serving(warmUp={"command": ["fetch", "a b"]})
    changed = template("engine:1")
    changed["spec"]["headGroupSpec"]["rayStartParams"] = {"num-cpus": "1"}
    world.change_spec({"template": changed})
    played(world)
    (pod,) = world.warm_up_pods()
    assert pod["spec"]["containers"][0]["command"][-1].endswith("exec fetch 'a b'")


def test_what_does_not_serve_goes_at_once_and_the_rest_is_held() -> None:
    world = serving(2, strategy={"type": "Recreate"})
    world.make_unready(world.names()[0])
    rolled(world)
    assert (nodes(world), sizes(world)) == (["n2"], [1])


def test_a_node_that_a_ready_pod_of_the_new_template_is_on_is_warm() -> None:
    world = serving(2)
    rolled(world)
    world.show_warm_up_pods("succeeded")
    for _ in range(4):
        world.all_passes()
        world.finish_deletions()
        world.make_ready(*world.names())
    old, new = world.names()
    assert len(nodes(world)) == 1
    pod = RayPod(name=f"{new}-head", ray_cluster=new, node=world.objects[PODS.kind][f"{old}-head"]["spec"]["nodeName"])
    world.show_pod(new, pod, SITUATIONS["ready"](world.now, pod.containers))
    played(world, 1)
    assert sizes(world)[0] == 0


def test_scaling_down_waits_for_nothing() -> None:
    world = serving(3)
    world.change_spec({"replicas": 1, "template": template("engine:2")})
    world.all_passes()
    assert nodes(world) == []
    assert sizes(world)[0] == 1


def test_a_rebuild_brings_nothing_that_its_nodes_have() -> None:
    world = serving(recovery={"graceSeconds": 0})
    world.make_unready(*world.names())
    for _ in range(3):
        world.all_passes()
    assert nodes(world) == []
    assert any(raw["metadata"].get("deletionTimestamp") for raw in world.objects[RAY_CLUSTERS.kind].values())


def test_the_timeout_counts_from_the_condition_when_pods_are_made_again_and_again() -> None:
    world = serving(warmUp={"timeoutSeconds": 100})
    rolled(world)
    for _ in range(4):
        world.now += timedelta(seconds=30)
        for raw in world.warm_up_pods():
            world.stored.remove(raw)
        played(world, 1)
    assert is_cut(world)


def test_without_a_deadline_there_is_no_condition_and_the_pods_age_counts() -> None:
    world = serving(progressDeadlineSeconds=2**31 - 1, warmUp={"timeoutSeconds": 100})
    plan = rolled(world)
    assert plan.requeue_after == timedelta(seconds=100)
    world.now += timedelta(seconds=100)
    played(world, 1)
    assert is_cut(world)


def test_how_a_warm_up_ended_is_told_with_the_cut() -> None:
    """No later plan tells it, and what is told with a status is lost when that waits."""
    world = serving(warmUp={"timeoutSeconds": 100})
    rolled(world)
    world.now += timedelta(seconds=100)
    plan = world.fleet_pass()
    assert [event.reason for event in plan.events] == ["WarmUpTimedOut"]
    assert [action.may_wait for action in plan.actions if isinstance(action, Replace)] == [False]


def test_how_a_warm_up_ended_that_was_blocked_is_told_with_the_cut() -> None:
    world = serving()
    rolled(world)
    (pod,) = world.warm_up_pods()
    world.stored.put_status(PODS.kind, name_of(pod), blocked(world.now, waiting("warm-up-0", "ErrImagePull", "none")))
    played(world, 1)
    assert progressing(world) == "WarmUpBlocked"
    world.stored.put_status(PODS.kind, name_of(pod), {"phase": "Failed"})
    plan = world.fleet_pass()
    assert [event.reason for event in plan.events] == ["WarmUpFailed"]
    assert [action.may_wait for action in plan.actions if isinstance(action, Replace)] == [False]


def test_a_clock_that_was_ahead_holds_nothing_for_longer_than_the_timeout() -> None:
    world = serving(warmUp={"timeoutSeconds": 100})
    rolled(world)
    world.now -= timedelta(hours=5)
    assert played(world, 1).requeue_after == timedelta(seconds=100)
    world.now += timedelta(seconds=100)
    played(world, 1)
    assert is_cut(world)


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
def test_an_image_that_cannot_be_had_holds_longer_than_any_timeout(reason: str) -> None:
    world = serving(warmUp={"timeoutSeconds": 10}, progressDeadlineSeconds=60)
    rolled(world)
    (pod,) = world.warm_up_pods()
    status = blocked(world.now, waiting("warm-up-0", reason, "no such image"))
    world.stored.put_status(PODS.kind, name_of(pod), status)
    played(world, 1)
    assert progressing(world) == "WarmUpBlocked"
    world.now += timedelta(days=1)
    played(world)
    assert not is_cut(world)
    assert progressing(world) == "ProgressDeadlineExceeded"


def test_another_image_of_the_pod_is_seen_behind_a_container_that_ended() -> None:
    world = serving()
    rolled(world)
    (pod,) = world.warm_up_pods()
    beside = {"name": "warm-up-1", "image": "no/such:1"}
    spec = {**pod["spec"], "containers": [*pod["spec"]["containers"], beside]}
    ended = SITUATIONS["succeeded"](world.now, ["warm-up-0"])["containerStatuses"]
    status = blocked(world.now, *ended, waiting("warm-up-1", "ErrImagePull", "no such image"))
    world.stored.put({**pod, "spec": spec, "status": status})
    played(world, 1)
    assert progressing(world) == "WarmUpBlocked"


def test_a_recreation_whose_image_cannot_be_had_goes_back_by_itself() -> None:
    strategy = {"type": "Recreate", "rollbackOnFailure": True}
    world = serving(strategy=strategy, progressDeadlineSeconds=60)
    rolled(world)
    world.show_warm_up_pods("image-refused")
    played(world, 1)
    world.now += timedelta(seconds=61)
    played(world)
    assert world.fleet["spec"]["template"] == template("engine:1")
    assert not is_cut(world)
    played(world, 1)
    world.finish_deletions()
    assert nodes(world) == []


def test_a_recreation_that_waits_for_its_old_ones_to_go_does_not_go_back() -> None:
    world = serving(strategy={"type": "Recreate", "rollbackOnFailure": True}, progressDeadlineSeconds=60)
    rolled(world)
    world.show_warm_up_pods("succeeded")
    played(world)
    world.now += timedelta(seconds=61)
    played(world)
    assert world.fleet["spec"]["template"] == template("engine:2")


def test_pods_go_after_the_cut_and_not_with_it() -> None:
    """A second controller that sees the pod gone has had the time to see the smaller size."""
    world = serving()
    rolled(world)
    world.show_warm_up_pods("succeeded")
    cut, after = world.fleet_pass(), world.fleet_pass()
    assert any(isinstance(each, Merge) and each.resource is REPLICA_SETS for each in cut.actions)
    assert not any(isinstance(each, Delete) for each in cut.actions)
    assert [each.resource for each in after.actions if isinstance(each, Delete)] == [PODS]


def test_a_pod_is_asked_for_once() -> None:
    world = serving()
    rolled(world)
    plan = world.fleet_pass()
    assert not any(isinstance(each, Create | CreateTogether) for each in plan.actions)


@pytest.mark.parametrize("situation", ["creating", "image-refused"])
@pytest.mark.parametrize("replicas", [0, 1])
def test_a_recreation_that_is_held_follows_a_smaller_size(replicas: int, situation: str) -> None:
    world = serving(3, strategy={"type": "Recreate"})
    rolled(world)
    assert sizes(world) == [3]
    world.change_spec({"replicas": replicas})
    world.show_warm_up_pods(situation)
    played(world, 1)
    assert sizes(world)[0] == replicas
    world.finish_deletions()
    assert len(nodes(world)) == replicas


@pytest.mark.parametrize("strategy", [IN_PLACE, {"type": "Recreate"}])
def test_another_template_has_the_whole_time(strategy: Json) -> None:
    world = serving(strategy=strategy, warmUp={"timeoutSeconds": 100})
    rolled(world)
    world.now += timedelta(seconds=90)
    rolled(world, "engine:3")
    world.now += timedelta(seconds=90)
    played(world, 1)
    assert (progressing(world), sizes(world)[0]) == ("WarmingUp", 1)
    world.now += timedelta(seconds=10)
    played(world, 1)
    assert sizes(world)[0] == 0


def test_for_a_replica_set_that_is_being_deleted_nothing_is_brought() -> None:
    world = serving()
    rolled(world)
    (old, _) = world.replica_sets()
    world.stored.mark_terminating(old)
    played(world, 1)
    world.finish_deletions()
    played(world)
    assert nodes(world) == []


def test_only_who_goes_next_is_waited_for_while_others_are_drained() -> None:
    world = serving(3, drain={"timeoutSeconds": 600})
    rolled(world)
    world.show_warm_up_pods("succeeded")
    played(world, 1)
    drained = nodes(world)
    assert (sizes(world)[0], len(drained)) == (2, 1)
    world.change_spec({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 2}}})
    played(world)
    world.finish_deletions()
    assert len(world.names()) == 3
    assert len(nodes(world)) == 1
    assert nodes(world) != drained


@pytest.mark.parametrize("strategy", [IN_PLACE, {"type": "Recreate"}])
def test_the_deadline_stands_also_while_another_write_is_refused(strategy: Json) -> None:
    """A Service that a quota refuses costs its own part alone."""
    world = serving(progressDeadlineSeconds=60, warmUp={"timeoutSeconds": 300}, strategy=strategy)
    world.stored.put(with_metadata(world.fleet, {"labels": {"model.aibrix.ai/name": "m"}}))
    world.stored.quotas[SERVICES.kind] = 0
    rolled(world)
    assert "WriteRefused" in {each["type"] for each in world.fleet["status"]["conditions"]}
    for _ in range(2):
        assert (progressing(world), len(nodes(world))) == ("WarmingUp", 1)
        world.now += timedelta(seconds=120)
        played(world, 1)
    world.now += timedelta(seconds=60)
    played(world, 1)
    assert is_cut(world)
