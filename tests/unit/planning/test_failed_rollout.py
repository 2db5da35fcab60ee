"""When a rollout has failed, and what it goes back to."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.model.resources import FLEETS
from rayfleet.objects.conditions import find_condition
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Merge, ref_of
from rayfleet.testing.planner_world import PlannerWorld

DEADLINE = 60
NOTE = "orchestration.aibrix.ai/rolled-back"


def template(image: str) -> Json:
    group = {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": group}}


def rolling_out(*, rolls_back: bool = True, settles: bool = True, **spec: Any) -> PlannerWorld:
    """Return a fleet with a second template that does not get ready; ``settles``: the first was available."""
    world = PlannerWorld()
    fields = {
        "selector": {"matchLabels": {"app": "x"}},
        "template": template("a"),
        "progressDeadlineSeconds": DEADLINE,
        "strategy": {"rollbackOnFailure": rolls_back},
        **spec,
    }
    kind = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind}
    world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": fields})
    if settles:
        world.settle()
    else:
        world.all_passes()
    world.change_spec({"template": template("b")})
    for _ in range(3):
        world.all_passes()
    return world


def too_late(world: PlannerWorld) -> None:
    """Let the deadline pass, and the controller say so."""
    world.now += timedelta(seconds=DEADLINE + 1)
    plan = world.fleet_pass()
    progressing = find_condition(plan.status.conditions, "Progressing")
    assert progressing is not None
    assert progressing.reason == "ProgressDeadlineExceeded"


def test_a_deadline_that_another_rollout_missed_ends_no_new_one() -> None:
    """The controller dies after it made the new replica set, before it wrote the status."""
    world = rolling_out(rolls_back=False)
    too_late(world)
    world.change_spec({"template": template("c"), "strategy": {"rollbackOnFailure": True}})
    status = world.fleet["status"]
    world.fleet_pass()
    world.stored.put({**world.fleet, "status": status})
    for _ in range(3):
        world.all_passes()
    assert image(world) == "c"
    progressing = find_condition(world.fleet_pass().status.conditions, "Progressing")
    assert progressing is not None
    assert progressing.reason != "ProgressDeadlineExceeded"


def image(world: PlannerWorld) -> str:
    head = world.fleet["spec"]["template"]["spec"]["headGroupSpec"]
    return str(head["template"]["spec"]["containers"][0]["image"])


def with_failed(observed: ObservedFleet, world: PlannerWorld) -> ObservedFleet:
    """Return the observation with a replica of the newest replica set that used up its rebuilds."""
    state = ReplicaState(name="c", uid="c", phase=ReplicaPhase.FAILED, message="exit code 1", since=world.now)
    *others, newest = observed.replica_sets
    failed: ReplicaSet = replace(newest, status=replace(newest.status, replica_states=(state,)))
    return replace(observed, replica_sets=(*others, failed))


def test_too_late_is_a_way_back() -> None:
    world = rolling_out()
    too_late(world)
    world.settle()
    assert image(world) == "a"
    rolled_back = find_condition(world.observe_fleet().fleet.status.conditions, "RolledBack")
    assert rolled_back is not None
    assert (rolled_back.status, rolled_back.reason) == ("True", "ProgressDeadlineExceeded")
    assert "revision 1" in rolled_back.message


def test_a_replica_without_rebuilds_left_is_a_way_back_before_the_deadline() -> None:
    world = rolling_out()
    [write] = plan_fleet(with_failed(world.observe_fleet(), world), world.now).actions
    assert isinstance(write, Merge)
    assert write.event is not None
    assert write.event.message == "Rolled back to revision 1: RayCluster c used up its rebuilds: exit code 1"


@pytest.mark.parametrize("spec", [{"paused": True}, {"strategy": {"rollbackOnFailure": False}}], ids=str)
def test_who_does_not_ask_for_it_stays(spec: Json) -> None:
    world = rolling_out()
    too_late(world)
    world.change_spec(spec)
    for _ in range(3):
        world.all_passes()
    assert image(world) == "b"


def test_without_a_healthy_revision_there_is_no_way_back() -> None:
    world = rolling_out(settles=False)
    too_late(world)
    world.all_passes()
    assert image(world) == "b"


def test_a_revision_that_was_healthy_once_is_not_left() -> None:
    """It came back, or a node died: that is no failed rollout."""
    world = rolling_out()
    too_late(world)
    world.settle()
    assert len(plan_fleet(with_failed_first(world), world.now).actions) == 0


def with_failed_first(world: PlannerWorld) -> ObservedFleet:
    observed = world.observe_fleet()
    newest_first = sorted(observed.replica_sets, key=lambda each: each.spec.replicas)
    return with_failed(replace(observed, replica_sets=tuple(newest_first)), world)


def test_the_deadline_of_a_template_of_before_counts_for_nothing() -> None:
    """The user changes the template in the very moment: the status still speaks of the one that failed."""
    world = rolling_out()
    too_late(world)
    world.change_spec({"template": template("c")})
    world.fleet_pass()
    assert image(world) == "c"


def test_what_failed_is_not_tried_again_until_the_template_changes() -> None:
    world = rolling_out()
    too_late(world)
    world.settle()
    world.change_spec({"template": template("b")})
    plan = world.fleet_pass()
    assert [action.resource for action in plan.actions] == [FLEETS]
    assert image(world) == "a"
    world.settle()
    world.change_spec({"template": template("c")})
    world.settle()
    assert NOTE not in world.fleet["metadata"]["annotations"]
    world.change_spec({"template": template("b")})
    world.settle()
    assert image(world) == "b"


def test_an_undo_may_try_again_what_failed() -> None:
    world = rolling_out()
    too_late(world)
    world.settle()
    patch = {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "2"}}}
    world.stored.apply(Merge(resource=FLEETS, ref=ref_of(world.fleet), patch=patch))
    world.settle()
    assert image(world) == "b"


def test_who_takes_the_policy_off_and_tries_again_is_told_of_no_way_back_later() -> None:
    world = rolling_out()
    too_late(world)
    world.all_passes()
    assert NOTE in world.fleet["metadata"]["annotations"]
    world.change_spec({"template": template("b"), "strategy": {"rollbackOnFailure": False}})
    world.all_passes()
    assert NOTE not in world.fleet["metadata"].get("annotations", {})
    world.change_spec({"template": template("a"), "strategy": {"rollbackOnFailure": True}})
    world.all_passes()
    assert find_condition(world.fleet_pass().status.conditions, "RolledBack") is None


def test_a_recreation_that_waited_too_long_for_the_old_ones_is_no_failure_of_the_new_template() -> None:
    """The controller dies after it made the new replica set, before it wrote the status."""
    world = rolling_out(strategy={"type": "Recreate", "rollbackOnFailure": True})
    too_late(world)
    late = world.fleet["status"]
    world.finish_deletions()
    world.fleet_pass()
    assert len(world.objects["RayClusterReplicaSet"]) == 2
    world.stored.put({**world.fleet, "status": late})
    for _ in range(3):
        world.all_passes()
    assert image(world) == "b"
