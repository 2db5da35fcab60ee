"""What a fleet says while its replicas do not come up: who blocks, what was refused, when tools may call it done."""

from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS, SERVICES
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.meta import name_of
from rayfleet.objects.parts import part
from rayfleet.planning.writes import writes_status
from rayfleet.testing.kubelet import IMAGE, SITUATIONS, RayPod
from rayfleet.testing.planner_world import PlannerWorld

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def make_world(**spec: Any) -> PlannerWorld:
    """Return a fleet whose Ray clusters are there, and none of them ready."""
    world = PlannerWorld()
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray", "image": IMAGE}]}}}},
    }
    world.apply_fleet(
        {
            "apiVersion": FLEETS.api_version,
            "kind": FLEETS.kind,
            "metadata": {"name": "fleet", "labels": {"model.aibrix.ai/name": "m"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "x"}}, "template": template, **spec},
        }
    )
    world.status_after(3)
    return world


def stand(world: PlannerWorld, situation: str, *numbers: int) -> None:
    """Let the heads of Ray clusters (by age, from 0; all when none is named) stand so."""
    names = world.names()
    for name in [names[number] for number in numbers] or names:
        pod = RayPod(name=f"{name}-head", ray_cluster=name)
        world.show_pod(name, pod, SITUATIONS[situation](world.now, pod.containers))


def suspend(world: PlannerWorld, *, is_suspended: bool) -> None:
    for raw in list(world.stored.of_kind(RAY_CLUSTERS.kind).values()):
        world.stored.put({**raw, "spec": {**raw["spec"], "suspend": is_suspended}})


def said(status: FleetStatus, name: str) -> Condition:
    condition = find_condition(status.conditions, name)
    assert condition is not None, f"no {name} among {[each.type for each in status.conditions]}"
    return condition


def summary(status: FleetStatus, name: str) -> tuple[ConditionStatus, str]:
    condition = said(status, name)
    return condition.status, condition.reason


@pytest.mark.parametrize(
    ("situation", "reason", "words"),
    [
        ("image-refused", "ErrImagePull", f"container ray: ErrImagePull {IMAGE}: failed to pull"),
        ("unschedulable", "Unschedulable", "Unschedulable 0/3 nodes are available: 3 Insufficient nvidia.com/gpu."),
        ("crash-looping", "CrashLoopBackOff", "CrashLoopBackOff exit code 1: RuntimeError: no GPU"),
        ("without-secret", "CreateContainerConfigError", 'secret "token" not found'),
        ("evicted", "Evicted", "Evicted The node was low on resource: memory."),
    ],
)
def test_a_blocked_fleet_names_pod_and_reason_after_one_pass_of_each(situation: str, reason: str, words: str) -> None:
    world = make_world()
    stand(world, situation)
    status = world.status_after(1)
    assert summary(status, "Ready") == (FALSE, reason)
    head = f"{min(world.names())}-head"
    for name in ("Ready", "Progressing"):
        message = said(status, name).message
        assert "2 of 2 replicas wait: " in message
        assert f"pod {head}" in message
        assert words in message
    assert (status.replica_states[0].reason, status.replica_states[0].pod) == (reason, head)


def test_the_deadline_names_the_blocker_and_goes_on_naming_the_present_one() -> None:
    world = make_world(progressDeadlineSeconds=60)
    stand(world, "image-refused")
    world.status_after()
    world.now += timedelta(seconds=61)
    status = world.status_after(1)
    assert summary(status, "Progressing") == (FALSE, "ProgressDeadlineExceeded")
    assert "timed out progressing. 2 of 2 replicas wait: " in said(status, "Progressing").message
    assert "ErrImagePull" in said(status, "Progressing").message
    stand(world, "crash-looping")
    assert "CrashLoopBackOff" in said(world.status_after(), "Progressing").message


def test_new_words_do_not_move_the_progress_deadline() -> None:
    world = make_world(progressDeadlineSeconds=60)
    before = said(world.status_after(), "Progressing").last_update_time
    stand(world, "crash-looping")
    assert said(world.status_after(), "Progressing").last_update_time == before


def test_a_fleet_that_waits_writes_nothing_while_nothing_happens() -> None:
    world = make_world(progressDeadlineSeconds=100_000)
    stand(world, "crash-looping")
    world.status_after(15)
    world.now += timedelta(hours=1)
    assert world.all_passes() == []


def test_a_start_that_goes_well_adds_no_write_of_its_own_to_the_fleet() -> None:
    world, writes = make_world(), 0
    for situation in ("unbound", "creating", "loading", "ready"):
        stand(world, situation)
        for _ in range(2):
            writes += sum(action.resource is FLEETS and writes_status(action) for action in world.all_passes())
        world.now += timedelta(seconds=1)
    assert writes == 0


def test_a_start_is_told_once_it_takes_long_and_by_its_present_phase() -> None:
    world = make_world()
    stand(world, "creating")
    assert world.status_after().replica_states == ()
    status = world.status_after(10)
    assert {state.phase for state in status.replica_states} == {"Pulling"}
    assert summary(status, "Ready") == (FALSE, "ReplicasNotAvailable")
    world.make_ready(*world.names())
    status = world.status_after()
    assert [state.phase for state in status.replica_states] == ["Ready", "Ready"]
    assert all(state.stages["image"] >= 10 for state in status.replica_states)
    assert summary(status, "Ready") == (TRUE, "AllReplicasAvailable")


def test_that_a_replica_is_well_is_no_reason_to_write() -> None:
    world = make_world()
    stand(world, "creating")
    world.status_after()
    world.make_ready(*world.names())
    world.fleet_pass()
    [state, _] = world.observe_fleet().fleet.status.replica_states
    world.now += timedelta(seconds=5)
    written = world.all_passes()  # only now the replica set sees it, at another time than the fleet wrote down
    assert [state.since for state in world.observe_fleet().replica_sets[0].status.replica_states] == [world.now] * 2
    assert state.since < world.now
    assert [action for action in (*written, *world.all_passes()) if action.resource is FLEETS] == []


def test_ready_waits_for_every_replica_and_for_the_present_template() -> None:
    world = make_world()
    world.make_ready(world.names()[0])
    assert summary(world.status_after(), "Ready")[0] is FALSE
    world.settle()
    status = world.status_after()
    assert summary(status, "Ready") == (TRUE, "AllReplicasAvailable")
    world.change_spec({"minReadySeconds": 5, "replicas": 3})
    assert summary(world.status_after(1), "Ready")[0] is FALSE


def test_every_condition_says_which_generation_it_speaks_of() -> None:
    world = make_world()
    world.settle()
    world.change_spec({"replicas": 1})
    status = world.status_after(1)
    assert {condition.observed_generation for condition in status.conditions} == {2}
    [replica_set] = world.observe_fleet().replica_sets
    world.stored.quotas[RAY_CLUSTERS.kind] = 1
    world.change_spec({"replicas": 4})
    world.status_after()
    [replica_set] = world.observe_fleet().replica_sets
    assert replica_set.status.conditions[0].observed_generation == replica_set.meta.generation


def test_the_deadline_stands_while_replicas_wait_for_admission() -> None:
    world = make_world(progressDeadlineSeconds=60)
    suspend(world, is_suspended=True)
    assert summary(world.status_after(), "Progressing") == (UNKNOWN, "ReplicasSuspended")
    world.now += timedelta(hours=1)
    plan = world.fleet_pass()
    assert summary(plan.status, "Progressing") == (UNKNOWN, "ReplicasSuspended")
    assert plan.status.phase == "Progressing"
    suspend(world, is_suspended=False)
    status = world.status_after()
    assert summary(status, "Progressing") == (TRUE, "ReplicaSetUpdated")
    world.now += timedelta(seconds=50)
    assert summary(world.status_after(1), "Progressing")[0] is TRUE
    world.now += timedelta(seconds=20)
    assert summary(world.status_after(1), "Progressing") == (FALSE, "ProgressDeadlineExceeded")


def test_a_refused_service_is_told_by_its_kind_and_forgotten_once_it_is_there() -> None:
    world = make_world()
    [service] = world.stored.of_kind(SERVICES.kind)
    world.stored.remove(world.stored.of_kind(SERVICES.kind)[service])
    world.stored.quotas[SERVICES.kind] = 0
    status = world.status_after()
    assert summary(status, "WriteRefused") == (TRUE, "ServiceCreateError")
    assert summary(status, "Progressing")[0] is TRUE
    world.make_ready(*world.names())
    world.all_passes()
    status = world.observe_fleet().fleet.status
    assert (status.phase, summary(status, "Ready")) == ("Available", (FALSE, "ServiceCreateError"))
    assert summary(status, "Progressing") == (TRUE, "NewReplicaSetAvailable")
    world.stored.quotas.clear()
    status = world.status_after()
    assert find_condition(status.conditions, "WriteRefused") is None
    assert summary(status, "Ready")[0] is TRUE


def test_a_refused_scale_is_taken_back_by_the_next_pass_that_succeeds() -> None:
    world = make_world()
    before = part(world.fleet, "status")
    refused = {"status": "False", "reason": "ReplicaSetUpdateError", "message": "denied"}
    conditions = [each | (refused if each["type"] == "Progressing" else {}) for each in before["conditions"]]
    world.stored.put_status(FLEETS.kind, "fleet", {**before, "conditions": conditions})
    status = world.status_after(0)
    assert summary(status, "Progressing") == (TRUE, "ReplicaSetUpdated")
    assert name_of(world.replica_sets()[0]) in said(status, "Progressing").message


def test_the_loss_of_the_last_available_replica_is_told_at_once_also_where_too_few_were_available() -> None:
    """A fleet's share of the requests for its model rests on that count."""
    world = make_world()
    for name in world.names():
        world.make_ready(name)
    world.status_after()
    first, last = world.names()
    world.make_unready(first)
    world.status_after()
    world.make_unready(last)
    plan = world.fleet_pass(world.observe_fleet())
    assert [write.may_wait for write in plan.actions if writes_status(write)] == [False]


@pytest.mark.parametrize("strategy", [{"type": "RollingUpdate"}, {"type": "Recreate"}])
def test_a_new_template_is_not_late_for_the_one_before_while_the_status_waits(strategy: Json) -> None:
    """That its replica set was made may be written seconds later: until then the old words stand there."""
    world = make_world(progressDeadlineSeconds=60, strategy=strategy)
    world.now += timedelta(seconds=55)
    changed = deepcopy(part(world.fleet, "spec", "template"))
    changed["spec"]["headGroupSpec"]["rayStartParams"] = {"num-cpus": "1"}
    world.change_spec({"template": changed})
    held = part(world.fleet, "status")
    for _ in range(3):
        world.all_passes()
        world.finish_deletions()
        world.stored.put_status(FLEETS.kind, name_of(world.fleet), held)
    assert len(world.replica_sets()) == 2
    world.now += timedelta(seconds=10)
    status = world.fleet_pass().status
    assert summary(status, "Progressing")[0] is TRUE


def test_a_fleet_that_is_past_its_deadline_is_stalled_until_it_gets_on() -> None:
    """As kstatus reads a Deployment's ``ProgressDeadlineExceeded``: a wait for it ends as failed."""
    world = make_world(progressDeadlineSeconds=60)
    assert find_condition(world.status_after().conditions, "Stalled") is None
    world.now += timedelta(seconds=70)
    status = world.status_after()
    assert summary(status, "Stalled") == (TRUE, "ProgressDeadlineExceeded")
    assert said(status, "Stalled").message == said(status, "Progressing").message
    world.make_ready(world.names()[0])
    assert find_condition(world.status_after().conditions, "Stalled") is None


def test_what_is_refused_and_tried_again_is_not_stalled() -> None:
    world = make_world()
    world.stored.quotas[REPLICA_SETS.kind] = 1
    changed = deepcopy(part(world.fleet, "spec", "template"))
    changed["spec"]["headGroupSpec"]["rayStartParams"] = {"num-cpus": "1"}
    world.change_spec({"template": changed})
    status = world.status_after()
    assert summary(status, "Progressing") == (FALSE, "ReplicaSetCreateError")
    assert find_condition(status.conditions, "Stalled") is None


def test_a_recreation_that_waits_for_the_old_ones_to_be_gone_has_its_deadline() -> None:
    """A finalizer that hangs would be waited for without a word, as progress that was made long ago."""
    world = make_world(progressDeadlineSeconds=60, strategy={"type": "Recreate"})
    world.make_ready(*world.names())
    assert summary(world.status_after(), "Progressing") == (TRUE, "NewReplicaSetAvailable")
    changed = deepcopy(part(world.fleet, "spec", "template"))
    changed["spec"]["headGroupSpec"]["rayStartParams"] = {"num-cpus": "1"}
    world.change_spec({"template": changed})
    status = world.status_after()
    assert summary(status, "Progressing") == (TRUE, "ReplicaSetUpdated")
    assert said(status, "Progressing").message == 'Fleet "fleet" is progressing.'
    world.now += timedelta(seconds=70)
    assert summary(world.status_after(), "Progressing") == (FALSE, "ProgressDeadlineExceeded")
    world.finish_deletions()
    assert summary(world.status_after(), "Progressing")[0] is TRUE
    assert len(world.replica_sets()) == 2
