"""When a fleet says that it lost something good: until that is back, for nothing else, and not by the clock."""

from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.json import Json
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.labels import INDEX_LABEL, RESUME_ANNOTATION
from rayfleet.objects.times import encode_time
from rayfleet.testing.kubelet import IMAGE, SITUATIONS, RayPod
from rayfleet.testing.planner_world import PlannerWorld

HOUR = timedelta(hours=1)


def make_world(*, replicas: int = 2, grace: int = 1, forming: int = 600, **more: int | str) -> PlannerWorld:
    """Return a fleet whose Ray clusters are there, and none of them ready."""
    world = PlannerWorld()
    template = {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"headGroupSpec": {"template": {"spec": {"containers": [{"name": "ray", "image": IMAGE}]}}}},
    }
    recovery = {"graceSeconds": grace, "formingDeadlineSeconds": forming, **more}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    manifest = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": {"name": "fleet"}}
    world.apply_fleet({**manifest, "spec": {**spec, "recovery": recovery}})
    world.status_after(3)
    return world


def serving_world(**options: Any) -> PlannerWorld:
    """Return a fleet whose Ray clusters are all ready."""
    world = make_world(**options)
    all_ready(world)
    return world


def all_ready(world: PlannerWorld) -> None:
    world.make_ready(*world.names())
    status = world.status_after()
    assert (status.phase, degraded(status)) == ("Available", None)


def in_place(world: PlannerWorld, index: int) -> str:
    """Return the name of the youngest Ray cluster in that place."""
    return [each.meta.name for each in world.clusters() if place_of(each) == str(index)][-1]


def place_of(cluster: RayCluster) -> str:
    return cluster.meta.labels[INDEX_LABEL]


def lose(world: PlannerWorld, index: int) -> str:
    """Let recovery give one up that does not come back; its successor has not started."""
    lost = in_place(world, index)
    world.make_unready(lost)
    world.status_after(5)
    world.finish_deletions()
    world.status_after(3)
    assert lost not in world.names()
    return lost


def suspend(world: PlannerWorld, name: str, *, is_suspended: bool = True) -> None:
    raw = world.stored.of_kind(RAY_CLUSTERS.kind)[name]
    world.stored.put({**raw, "spec": {**raw["spec"], "suspend": is_suspended}})
    world.make_unready(name)


def change_size(world: PlannerWorld, replicas: int) -> FleetStatus:
    world.change_spec({"replicas": replicas})
    world.status_after(3)
    world.finish_deletions()
    return world.status_after()


def stand(world: PlannerWorld, name: str, situation: str) -> None:
    pod = RayPod(name=f"{name}-head", ray_cluster=name)
    world.show_pod(name, pod, SITUATIONS[situation](world.now, pod.containers))


def rebuilds(world: PlannerWorld) -> list[Json]:
    """Return what is noted of the replicas that recovery gave up."""
    return [rebuild for each in world.replica_sets() for rebuild in each["status"].get("rebuilds", ())]


def never_forms(world: PlannerWorld, name: str) -> list[FleetStatus]:
    """Let one's time to form run out; return what was said until what recovery makes of that is there."""
    stand(world, name, "waiting-for-gcs")
    said = [world.status_after(1)]
    world.now += timedelta(seconds=31)
    said += [world.status_after(1) for _ in range(3)]
    world.finish_deletions()
    return [*said, *(world.status_after(1) for _ in range(3))]


def degraded(status: FleetStatus) -> Condition | None:
    return find_condition(status.conditions, "Degraded")


def the_loss(status: FleetStatus) -> tuple[str, str]:
    """Return reason and message of the condition that tells of it."""
    condition = degraded(status)
    assert condition is not None
    assert condition.status is ConditionStatus.TRUE
    return condition.reason, condition.message


def test_degraded_is_only_what_was_good() -> None:
    world = make_world(grace=60)
    for name in world.names():
        stand(world, name, "crash-looping")
    assert degraded(world.status_after()) is None
    world.settle()
    lost = world.names()[1]
    world.make_unready(lost)
    stand(world, lost, "out-of-memory")
    reason, message = the_loss(world.status_after())
    assert reason == "OOMKilled"
    assert "1 replica was ready and is not: Broken since" in message
    assert f"pod {lost}-head, container ray" in message
    world.make_ready(lost)
    assert degraded(world.status_after()) is None


def test_a_fleet_that_grows_is_not_called_degraded() -> None:
    world = serving_world(grace=60)
    world.change_spec({"replicas": 3})
    assert world.status_after().phase == "Progressing"
    world.make_unready(world.names()[0])
    assert world.status_after().phase == "Degraded"


def test_a_fleet_is_degraded_until_what_was_rebuilt_is_ready() -> None:
    world = serving_world()
    lost = world.names()[0]
    world.make_unready(lost)
    assert [world.status_after(1).phase for _ in range(5)] == ["Degraded"] * 5
    world.finish_deletions()
    assert [world.status_after(1).phase for _ in range(5)] == ["Degraded"] * 5, "also while none is in its place"
    assert lost not in world.names()
    assert len(world.names()) == 2
    the_loss(world.status_after())
    all_ready(world)


def test_a_place_that_was_rebuilt_once_degrades_no_fleet_that_grows() -> None:
    world = serving_world(grace=10)
    world.make_unready(in_place(world, 1))
    world.status_after(15)
    world.finish_deletions()
    world.status_after(3)
    all_ready(world)
    assert [each["index"] for each in rebuilds(world)] == [1]
    assert change_size(world, 1).phase == "Available"
    world.change_spec({"replicas": 3})
    status = world.status_after()
    assert (status.phase, degraded(status)) == ("Progressing", None)
    world.make_unready(in_place(world, 0))
    assert world.status_after().phase == "Degraded"
    world.make_ready(in_place(world, 0))
    status = world.status_after()
    assert (status.phase, degraded(status)) == ("Progressing", None), "the others only start"


def test_a_place_that_nobody_has_any_more_is_not_missed() -> None:
    world = serving_world(replicas=3)
    lose(world, 1)
    status = change_size(world, 2)
    assert [place_of(each) for each in world.clusters()] == ["0", "2"]
    assert (status.phase, degraded(status)) == ("Available", None)
    suspend(world, in_place(world, 2))
    status = world.status_after()
    assert (status.phase, degraded(status)) == ("Progressing", None), "it waits for admission, and nothing is broken"


def test_a_place_is_no_more_missed_once_it_is_not_wanted() -> None:
    """Whatever the others do: here one waits for admission."""
    world = serving_world(replicas=3)
    lose(world, 2)
    suspend(world, in_place(world, 1))
    the_loss(world.status_after())
    status = change_size(world, 2)
    assert [place_of(each) for each in world.clusters()] == ["0", "1"]
    assert (status.phase, degraded(status)) == ("Progressing", None)


def test_what_is_lost_comes_back_in_its_own_place() -> None:
    """So that its rebuilds are counted together, though a lower place is free."""
    world = serving_world(replicas=3)
    lose(world, 1)
    change_size(world, 2)
    lost = lose(world, 2)
    status = world.status_after()
    assert [place_of(each) for each in world.clusters()] == ["0", "2"]
    assert status.phase == "Degraded"
    since = f"{rebuilds(world)[-1]['time'][:19]}Z"
    assert the_loss(status) == ("NotReady", f"{lost} is rebuilt since {since}: it is not ready")
    all_ready(world)


def test_of_more_losses_the_last_is_told() -> None:
    world = serving_world()
    lose(world, 1)
    last = lose(world, 0)
    assert [each["open"] for each in rebuilds(world)] == [True, True]
    assert the_loss(world.status_after())[1].startswith(f"{last} is rebuilt since ")


def test_one_that_is_adopted_fills_the_place_of_a_lost_one() -> None:
    world = serving_world()
    lose(world, 1)
    alike = world.stored.of_kind(RAY_CLUSTERS.kind)[in_place(world, 0)]
    meta = {name: alike["metadata"][name] for name in ("labels", "annotations", "namespace")}
    world.stored.create({**alike, "metadata": {**meta, "name": "orphan"}, "status": {}})
    world.make_ready("orphan")
    world.status_after(4)
    world.finish_deletions()
    assert world.status_after(4).phase == "Available"
    assert [each.get("open") for each in rebuilds(world)] == [None]
    world.change_spec({"replicas": 3})
    status = world.status_after()
    assert (status.phase, degraded(status)) == ("Progressing", None)


def test_one_that_is_given_up_and_comes_back_is_not_missed_while_it_serves() -> None:
    """Its successor was made first, and waits for room."""
    world = serving_world(order="CreateFirst")
    world.change_spec({"replacementPolicy": "TerminationComplete"})
    back = in_place(world, 1)
    world.make_unready(back)
    world.status_after(5)
    assert len(world.names()) == 3
    world.make_ready(back)
    assert degraded(world.status_after()) is None
    world.change_spec({"replicas": 3})
    status = world.status_after(4)
    assert (status.phase, degraded(status)) == ("Progressing", None)


def test_a_loss_is_said_while_the_successor_waits_for_admission() -> None:
    world = serving_world()
    lose(world, 1)
    successor = in_place(world, 1)
    suspend(world, successor)
    status = world.status_after()
    assert (status.phase, the_loss(status)[0]) == ("Degraded", "NotReady")
    suspend(world, successor, is_suspended=False)
    status = world.status_after()
    assert (status.phase, the_loss(status)[0]) == ("Degraded", "NotReady")
    all_ready(world)


def test_one_that_somebody_suspends_was_not_lost() -> None:
    """KubeRay's word that all was up once stays while it takes the pods away."""
    world = serving_world()
    name = in_place(world, 1)
    suspend(world, name)
    once_up = {"type": "RayClusterProvisioned", "status": "True", "lastTransitionTime": encode_time(world.now)}
    head = {"type": "HeadPodReady", "status": "False", "lastTransitionTime": encode_time(world.now)}
    world.stored.put_status(RAY_CLUSTERS.kind, name, {"conditions": [head, once_up], "readyWorkerReplicas": 0})
    assert next(each for each in world.clusters() if each.meta.name == name).was_ready
    status = world.status_after()
    assert (status.phase, degraded(status)) == ("Progressing", None)


def test_what_is_filled_again_is_so_before_the_replica_set_has_noted_it() -> None:
    world = serving_world()
    lose(world, 1)
    world.make_ready(*world.names())
    status = world.fleet_pass().status
    assert (status.phase, degraded(status)) == ("Available", None)
    assert rebuilds(world)[-1]["open"] is True


def test_the_words_are_of_one_that_is_not_back() -> None:
    world = serving_world(grace=30)
    first, second = in_place(world, 0), in_place(world, 1)
    world.make_unready(first)
    world.status_after(20)
    world.make_unready(second)
    assert "2 replicas were ready and are not" in the_loss(world.status_after())[1]
    world.status_after(15)
    world.finish_deletions()
    world.make_ready(second)
    assert f"{first} is rebuilt since " in the_loss(world.status_after())[1]


def test_a_loss_is_remembered_for_longer_than_recovery_counts_it() -> None:
    world = serving_world(forming=30, windowSeconds=60, firstBackoffSeconds=1, maxRebuilds=9)
    lose(world, 1)
    for _ in range(4):
        *_, status = never_forms(world, in_place(world, 1))
        assert (status.phase, the_loss(status)[0]) == ("Degraded", "FormingTimedOut")
    assert len(rebuilds(world)) < 4, "older ones are left out"
    all_ready(world)


def test_another_budget_is_a_whole_one_also_while_a_rebuild_is_under_way() -> None:
    world = serving_world(forming=30, firstBackoffSeconds=1, maxRebuilds=1)
    lose(world, 1)
    meta = world.fleet["metadata"]
    annotations = {**meta.get("annotations", {}), RESUME_ANNOTATION: "1"}
    world.stored.put({**world.fleet, "metadata": {**meta, "annotations": annotations}})
    world.status_after(3)
    made = []
    for _ in range(3):
        made.append(in_place(world, 1))
        never_forms(world, made[-1])
    assert made[0] != made[1] == made[2]
    assert [state.phase for state in world.status_after().replica_states] == [ReplicaPhase.FAILED, ReplicaPhase.READY]


def test_a_third_that_never_forms_leaves_the_fleet_degraded_once_it_is_given_up() -> None:
    """Nothing progresses any more; nothing was lost either."""
    world = serving_world(forming=30, firstBackoffSeconds=1, maxRebuilds=1)
    world.change_spec({"replicas": 3})
    world.status_after(3)
    states = never_forms(world, in_place(world, 2))
    assert {(status.phase, degraded(status)) for status in states} == {("Progressing", None)}
    *_, status = never_forms(world, in_place(world, 2))
    assert status.replica_states[0].phase is ReplicaPhase.FAILED
    assert (status.phase, degraded(status)) == ("Degraded", None)


@pytest.mark.parametrize(
    ("happens", "phase"), [("suspended", "Progressing"), ("not back", "Degraded"), ("grown", "Progressing")]
)
def test_what_is_said_of_a_loss_does_not_change_by_the_clock(happens: str, phase: str) -> None:
    world = serving_world()
    lose(world, 1)
    if happens != "not back":
        all_ready(world)
    if happens == "suspended":
        suspend(world, in_place(world, 1))
    if happens == "grown":
        world.change_spec({"replicas": 3})
    said = world.status_after(15)
    assert said.phase == phase
    for _ in range(3):
        world.now += HOUR
        status = world.fleet_pass().status
        assert (status.phase, status.conditions) == (said.phase, said.conditions)


def test_one_that_never_formed_was_not_good() -> None:
    world = make_world(replicas=1, forming=30)
    stand(world, world.names()[0], "waiting-for-gcs")
    world.status_after()
    world.now += timedelta(seconds=40)
    states = [world.status_after(1) for _ in range(5)]
    assert [(each["reason"], each.get("open")) for each in rebuilds(world)] == [("FormingTimedOut", None)]
    world.finish_deletions()
    states += [world.status_after(1) for _ in range(3)]
    assert [degraded(status) for status in states] == [None] * len(states)


@pytest.mark.parametrize("seen", ["ready", "not ready"])
def test_a_loss_that_came_and_went_between_two_passes_is_said(seen: str) -> None:
    """The controllers end right after one was given up, and start anew when it is gone."""
    world = serving_world()
    lost = in_place(world, 1)
    world.make_unready(lost)
    if seen == "not ready":
        world.fleet_pass()
    name = world.replica_sets()[0]["metadata"]["name"]
    for _ in range(5):
        world.pass_for(REPLICA_SETS, name)
        world.now += timedelta(seconds=1)
    world.finish_deletions()
    reason, message = the_loss(world.fleet_pass().status)
    assert reason == "NotReady"
    assert f"{lost} is rebuilt since " in message
    all_ready(world)
