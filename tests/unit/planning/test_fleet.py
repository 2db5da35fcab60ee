"""The fleet planner beside rollouts: identity, history, conditions, what is invalid, what is refused."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.controllers.fleet import observed_fleet
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.kube.store import Store
from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.errors import ManifestError
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import FLEETS, REPLICA_SETS, ResourceType
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.meta import annotation, name_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.ray_spec import containers, head_group
from rayfleet.planning.fleet.plan import plan_fleet, plan_invalid_fleet
from rayfleet.planning.observed import ObservedFleet, ObservedInvalidFleet
from rayfleet.planning.plan import FleetPlan
from rayfleet.planning.writes import Action, Create, Delete, WriteFailure, writes_status
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.stored_objects import StoredObjects

SETS = "RayClusterReplicaSet"
REVISION = "deployment.kubernetes.io/revision"


def template(image: str = "a", **spec: Any) -> Json:
    pod = {"template": {"spec": {"containers": [{"name": "ray", "image": image}]}}}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod, **spec}}


def make_world(**spec: Any) -> PlannerWorld:
    world = PlannerWorld()
    world.apply_fleet(
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": "fleet", "annotations": {"team": "blue"}},
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template(), **spec},
        }
    )
    return world


def is_about_sets(action: Action, verb: type[Action]) -> bool:
    return isinstance(action, verb) and action.resource is REPLICA_SETS


def new_set(plan: FleetPlan) -> str:
    """Return the name of the one replica set that a plan makes."""
    [create] = [action for action in plan.actions if isinstance(action, Create) and is_about_sets(action, Create)]
    return str(create.manifest["metadata"]["name"])


def condition_of(plan: FleetPlan, name: str) -> Condition:
    condition = find_condition(plan.status.conditions, name)
    assert condition is not None
    return condition


def revisions(world: PlannerWorld) -> dict[str, str]:
    """Return the image of each replica set with its revision."""
    return {
        containers(head_group(raw["spec"]["template"]["spec"]))[0]["image"]: annotation(raw, REVISION)
        for raw in world.objects[SETS].values()
    }


def test_a_replica_set_carries_what_tools_look_for() -> None:
    world = make_world(replicas=3)
    world.fleet_pass()
    [raw] = world.objects[SETS].values()
    short = raw["metadata"]["labels"]["pod-template-hash"]
    assert raw["metadata"]["name"] == f"fleet-{short}"
    assert len(short) == 6
    annotations = raw["metadata"]["annotations"]
    assert annotations.pop("orchestration.aibrix.ai/template-hash")
    assert annotations == {
        "team": "blue",
        REVISION: "1",
        "deployment.kubernetes.io/desired-replicas": "3",
        "deployment.kubernetes.io/max-replicas": "4",
    }
    assert raw["spec"]["selector"] == {"matchLabels": {"app": "x", "pod-template-hash": short}}
    pod = raw["spec"]["template"]["spec"]["headGroupSpec"]["template"]
    assert pod["metadata"]["labels"] == {"orchestration.aibrix.ai/raycluster-fleet-name": "fleet"}
    assert decode_replica_set(raw).spec.replicas == 3


def test_the_fleet_s_own_template_is_not_touched() -> None:
    world = make_world()
    before = copy.deepcopy(world.fleet["spec"])
    world.settle()
    assert world.fleet["spec"] == before


def test_a_template_that_comes_back_gets_a_new_number_and_keeps_its_history() -> None:
    world = make_world()
    for image in ("a", "b", "a"):
        world.change_spec({"template": template(image)})
        world.settle()
    assert revisions(world) == {"a": "3", "b": "2"}
    [first] = [raw for raw in world.objects[SETS].values() if raw["metadata"]["annotations"][REVISION] == "3"]
    assert first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert world.fleet["status"]["revision"] == 3


def test_history_forgets_the_lowest_revision_first() -> None:
    world = make_world(revisionHistoryLimit=1)
    for image in ("a", "b", "c"):
        world.change_spec({"template": template(image)})
        world.settle()
    assert revisions(world) == {"b": "2", "c": "3"}


def test_history_keeps_what_is_not_yet_empty() -> None:
    world = make_world(revisionHistoryLimit=0)
    world.settle()
    world.change_spec({"template": template("b")})
    for _ in range(3):
        assert not [action for action in world.fleet_pass().actions if is_about_sets(action, Delete)]


def test_a_name_that_is_taken_is_counted_as_a_collision() -> None:
    world = make_world()
    observed = world.observe_fleet()
    name = new_set(plan_fleet(observed, world.now))
    plan = plan_fleet(replace(observed, taken_names=frozenset({name})), world.now)
    assert new_set(plan) != name
    assert plan.status.collision_count == 1


class Unscanned(StoredObjects):
    """Stores in which nobody may look at everything."""

    def store(self, resource: ResourceType) -> Store:
        filled = super().store(resource)

        class OneByOne(Store):
            def list(self, namespace: str | None = None) -> Sequence[ReadOnlyJson]:
                raise AssertionError(f"a pass scans {resource.plural} of {namespace}")

        guarded = OneByOne()
        for key in filled:
            raw = filled.get(key)
            assert raw is not None
            guarded.put(raw)
        return guarded


def test_a_pass_looks_at_no_other_fleet_s_replica_sets() -> None:
    """The time of a pass does not grow with the number of fleets in its namespace."""
    world = make_world()
    unscanned = Unscanned(world.now)
    unscanned.by_kind = world.objects
    observed = observed_fleet(world.fleet, unscanned, FleetSources({}))
    assert isinstance(observed, ObservedFleet)
    name = new_set(plan_fleet(observed, world.now))
    others = {"name": name, "ownerReferences": [controller_reference(FLEETS, "another", "another")]}
    unscanned.create({"apiVersion": REPLICA_SETS.api_version, "kind": SETS, "metadata": others})
    again = observed_fleet(world.fleet, unscanned, FleetSources({}))
    assert isinstance(again, ObservedFleet)
    assert again.taken_names == {name}


def test_a_replica_set_without_our_note_is_known_by_its_template() -> None:
    """As AIBrix leaves them behind: no hash annotation, our labels in the template."""
    world = make_world()
    world.settle()
    for raw in world.objects[SETS].values():
        del raw["metadata"]["annotations"]["orchestration.aibrix.ai/template-hash"]
    assert world.all_passes() == []


@pytest.mark.parametrize("knob", [{"suspend": True}, {"rayVersion": "2.60.0"}])
def test_a_knob_of_operation_rolls_nothing(knob: ReadOnlyJson) -> None:
    world = make_world()
    world.settle()
    world.change_spec({"template": template(**knob)})
    creates = [action for action in world.fleet_pass().actions if is_about_sets(action, Create)]
    assert len(creates) == ("rayVersion" in knob)


def test_a_fleet_on_its_way_out_gets_its_status_alone() -> None:
    world = make_world()
    world.settle()
    world.fleet["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    world.change_spec({"replicas": 5})
    plan = world.fleet_pass()
    assert [writes_status(action) for action in plan.actions] == [True]
    assert plan.status.phase == "Terminating"


def test_the_deadline_is_looked_at_without_any_event() -> None:
    world = make_world(progressDeadlineSeconds=60)
    plan = world.fleet_pass()
    assert plan.requeue_after == timedelta(seconds=61)
    world.now += plan.requeue_after
    late = world.fleet_pass()
    assert condition_of(late, "Progressing").reason == "ProgressDeadlineExceeded"
    assert late.status.phase == "Stalled"
    assert late.requeue_after is None
    world.settle()
    assert world.fleet_pass().status.phase == "Available"


def test_the_largest_deadline_switches_it_off() -> None:
    world = make_world(progressDeadlineSeconds=2**31 - 1)
    plan = world.fleet_pass()
    assert find_condition(plan.status.conditions, "Progressing") is None
    assert plan.requeue_after is None


def test_a_single_replica_that_is_not_there_is_not_available() -> None:
    world = make_world(strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    assert condition_of(world.fleet_pass(), "Available").status is ConditionStatus.FALSE
    world.settle()
    assert condition_of(world.fleet_pass(), "Available").status is ConditionStatus.TRUE


def test_transition_times_move_with_the_status_alone() -> None:
    world = make_world(replicas=2)
    world.settle()
    before = condition_of(world.fleet_pass(), "Available")
    world.now += timedelta(minutes=5)
    world.change_spec({"template": template("b")})
    world.settle()
    after = condition_of(world.fleet_pass(), "Available")
    assert (after.observed_generation, before.observed_generation) == (2, 1)
    assert replace(after, observed_generation=1) == before


def test_a_lost_replica_shows_as_degraded() -> None:
    world = make_world(replicas=2)
    world.settle()
    world.make_unready(world.names()[0])
    plan = world.fleet_pass()
    assert (plan.status.phase, plan.status.ready) == ("Degraded", "1/2")


def test_a_refused_replica_set_is_said_once() -> None:
    world = make_world()
    failure = WriteFailure(action=Create(resource=REPLICA_SETS, manifest={}), message="exceeded quota")
    observed = replace(world.observe_fleet(), failure=failure)
    plan = plan_fleet(observed, world.now)
    assert [writes_status(action) for action in plan.actions] == [True]
    assert condition_of(plan, "Progressing").reason == "ReplicaSetCreateError"
    assert [event.message for event in plan.events] == ["exceeded quota"]
    fleet = replace(observed.fleet, status=plan.status)
    again = plan_fleet(replace(observed, fleet=fleet), world.now + timedelta(seconds=9))
    assert (again.actions, again.events) == ((), ())


def test_a_failure_of_a_replica_set_is_the_fleet_s_too() -> None:
    world = make_world()
    world.all_passes()
    failed = {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": "FailedCreate",
        "message": "no",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    for raw in world.objects[SETS].values():
        raw["status"]["conditions"] = [failed]
    assert condition_of(world.fleet_pass(), "ReplicaFailure").message == "no"


def invalid(status: FleetStatus, world: PlannerWorld) -> ObservedInvalidFleet:
    raw = copy.deepcopy(world.fleet)
    raw["spec"]["selector"]["matchLabels"]["app"] = "other"
    with pytest.raises(ManifestError) as caught:
        decode_fleet(raw)
    valid = world.observe_fleet()
    return ObservedInvalidFleet(
        meta=valid.fleet.meta,
        status=status,
        error=caught.value,
        replica_sets=valid.replica_sets,
        ray_clusters=valid.ray_clusters,
    )


def test_an_invalid_fleet_says_why_and_leaves_what_runs() -> None:
    world = make_world(replicas=2)
    world.settle()
    observed = invalid(world.observe_fleet().fleet.status, world)
    plan = plan_invalid_fleet(observed, world.now)
    assert [writes_status(action) for action in plan.actions] == [True]
    assert condition_of(plan, "Invalid").message.startswith("spec.selector: selector does not match")
    assert (plan.status.phase, plan.status.replicas, plan.status.ready_replicas) == ("Invalid", 2, 2)
    assert [event.reason for event in plan.events] == ["InvalidSpec"]
    again = plan_invalid_fleet(replace(observed, status=plan.status), world.now + timedelta(seconds=9))
    assert (again.actions, again.events) == ((), ())


def test_an_invalid_fleet_goes_on_counting_who_is_available() -> None:
    """Its share of the requests for its model rests on that: it kept it when all that ran was lost."""
    world = make_world()
    world.settle()
    status = world.observe_fleet().fleet.status
    assert status.available_replicas == 1
    assert plan_invalid_fleet(invalid(status, world), world.now).status.available_replicas == 1
    world.make_unready(*world.names())
    for name in world.stored.of_kind(SETS):
        world.replica_set_pass(name)
    plan = plan_invalid_fleet(invalid(status, world), world.now)
    assert plan.status.available_replicas == 0
    assert [write.may_wait for write in plan.actions if writes_status(write)] == [False]


def test_a_mended_fleet_is_no_longer_called_invalid() -> None:
    world = make_world()
    status = plan_invalid_fleet(invalid(FleetStatus(), world), world.now).status
    fleet = replace(world.observe_fleet().fleet, status=status)
    plan = plan_fleet(replace(world.observe_fleet(), fleet=fleet), world.now)
    assert find_condition(plan.status.conditions, "Invalid") is None


@pytest.mark.parametrize("spec", [{"strategy": {"type": "Recreate"}}, {"paused": True}, {}])
def test_a_status_that_was_wiped_has_its_revision_again_also_without_a_replica_set_of_it(spec: Json) -> None:
    world = make_world()
    world.settle()
    world.change_spec({**spec, "template": template("b"), "drain": {"timeoutSeconds": 0}})
    world.fleet_pass()
    revision = world.fleet["status"]["revision"]
    assert revision == (1 if spec else 2)
    world.stored.put_status(FLEETS.kind, name_of(world.fleet), {})
    world.fleet_pass()
    assert world.fleet["status"]["revision"] == revision
