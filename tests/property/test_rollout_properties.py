"""The planner's promises, in every interleaving that hypothesis can think of."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import is_terminating
from rayfleet.objects.ray_spec import containers, head_group
from rayfleet.planning.fleet.bounds import Bounds, rollout_bounds
from rayfleet.planning.fleet.identity import template_identity
from rayfleet.planning.observed import ObservedFleet
from rayfleet.testing.planner_world import PlannerWorld
from rayfleet.testing.stored_objects import with_metadata

EXAMPLES = 60  # some 10 s each; thousands were run by hand
GPU = {"nvidia.com/gpu": "1"}
CPU = {"cpu": "1"}
bounds_given = st.one_of(st.integers(0, 3), st.sampled_from(["0%", "25%", "50%", "100%"]))


def template(version: int, resources: dict[str, str]) -> Json:
    container = {"name": "ray", "image": f"ray:{version}", "resources": {"limits": resources}}
    pod = {"template": {"spec": {"containers": [container]}}}
    group = {"groupName": "workers", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, **pod}
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": pod, "workerGroupSpecs": [group]}}


@st.composite
def strategies(draw: st.DrawFn) -> Json | None:
    surge, unavailable = draw(bounds_given), draw(bounds_given)
    if {surge, unavailable} <= {0, "0%"}:
        return draw(st.sampled_from([None, {"type": "Recreate"}, {"type": "RollingUpdate"}]))
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def make_world(replicas: int, strategy: ReadOnlyJson | None, resources: dict[str, str]) -> PlannerWorld:
    spec: Json = {
        "replicas": replicas,
        "selector": {"matchLabels": {"app": "x"}},
        "template": template(0, resources),
    }
    if strategy is not None:
        spec["strategy"] = strategy
    world = PlannerWorld()
    world.apply_fleet(
        {
            "apiVersion": "orchestration.aibrix.ai/v1alpha1",
            "kind": "RayClusterFleet",
            "metadata": {"name": "fleet", "labels": {"model.aibrix.ai/name": "m"}},
            "spec": spec,
        }
    )
    return world


def bounds_of(world: PlannerWorld, *, has_accelerators: bool) -> Bounds:
    return rollout_bounds(decode_fleet(world.fleet).spec, has_accelerators=has_accelerators)


def act(world: PlannerWorld, data: st.DataObject, kept: list[ObservedFleet]) -> None:
    """One thing happens: somebody's pass (also on an older view), a pod gets ready, a deletion ends, time passes.

    A view is never older than the fleet controller's own last write: the controller waits until it sees that.
    """
    sizes = _sizes(world)
    match data.draw(st.sampled_from(["fleet", "stale fleet", "look", "set", "ready", "gone", "time"])):
        case "fleet":
            world.fleet_pass()
        case "stale fleet" if kept:
            world.fleet_pass(kept[-1])
        case "look":
            kept.append(world.observe_fleet())
        case "set":
            names = list(world.objects.get("RayClusterReplicaSet", {}))
            if names:
                world.replica_set_pass(data.draw(st.sampled_from(names)))
        case "ready":
            if world.names():
                world.make_ready(data.draw(st.sampled_from(world.names())))
        case "gone":
            world.finish_deletions()
        case _:
            world.now += timedelta(seconds=data.draw(st.integers(1, 5)))
    if _sizes(world) != sizes:
        kept.clear()


def _sizes(world: PlannerWorld) -> dict[str, int]:
    return {name: raw["spec"]["replicas"] for name, raw in world.objects.get("RayClusterReplicaSet", {}).items()}


@settings(max_examples=EXAMPLES)
@given(
    data=st.data(),
    replicas=st.integers(1, 5),
    strategy=strategies(),
    resources=st.sampled_from([GPU, CPU]),
    steps=st.integers(10, 60),
)
def test_a_rollout_keeps_its_bounds_in_every_interleaving(
    data: st.DataObject, replicas: int, strategy: Any, resources: dict[str, str], steps: int
) -> None:
    """With pods that only get ready, and templates that change at any time, no count ever leaves its bounds."""
    world = make_world(replicas, strategy, resources)
    world.settle()
    has_accelerators = resources is GPU
    bounds = bounds_of(world, has_accelerators=has_accelerators)
    is_recreated = (strategy or {}).get("type") == "Recreate"
    kept: list[ObservedFleet] = []
    version = 0
    for _ in range(steps):
        if data.draw(st.integers(0, 9)) == 0:
            version = data.draw(st.integers(0, 3))
            world.change_spec({"template": template(version, resources)})
            kept.clear()
        act(world, data, kept)
        clusters = world.clusters()
        active = [cluster for cluster in clusters if not cluster.is_terminating]
        assert len(clusters if has_accelerators else active) <= bounds.most
        if not is_recreated:
            assert sum(cluster.is_ready for cluster in active) >= bounds.least_available
    world.settle()
    assert_goal(world, replicas)


@settings(max_examples=EXAMPLES)
@given(data=st.data(), strategy=strategies(), resources=st.sampled_from([GPU, CPU]), steps=st.integers(5, 60))
def test_whatever_happens_the_goal_is_reached_and_then_nothing_is_written(
    data: st.DataObject, strategy: Any, resources: dict[str, str], steps: int
) -> None:
    """Replicas get lost or lose their owners, the user changes size, template, pause and strategy.

    The surge holds for the largest size asked for.
    """
    world = make_world(2, strategy, resources)
    kept: list[ObservedFleet] = []
    most = 0
    for _ in range(steps):
        most = max(most, bounds_of(world, has_accelerators=resources is GPU).most)
        match data.draw(st.integers(0, 14)):
            case 0:
                world.change_spec({"replicas": data.draw(st.integers(0, 5))})
            case 1:
                world.change_spec({"template": template(data.draw(st.integers(0, 3)), resources)})
            case 2:
                world.change_spec({"paused": data.draw(st.booleans())})
            case 3 if world.names():
                world.make_unready(data.draw(st.sampled_from(world.names())))
            case 4:
                world.change_spec({"strategy": None})
                world.change_spec({"strategy": data.draw(strategies())})
            case 5:
                world.change_spec({"minReadySeconds": data.draw(st.integers(0, 3))})
            case 6:
                orphan_one(world, data)
            case _:
                act(world, data, kept)
        most = max(most, bounds_of(world, has_accelerators=resources is GPU).most)
        active = [cluster for cluster in world.clusters() if not cluster.is_terminating]
        assert len(active) <= most
    world.change_spec({"paused": False})
    world.settle()
    assert_goal(world, decode_fleet(world.fleet).spec.replicas)


def orphan_one(world: PlannerWorld, data: st.DataObject) -> None:
    """Somebody takes the owner off a replica set or a Ray cluster: it is taken again, and nothing is made twice."""
    children = [raw for kind in ("RayClusterReplicaSet", "RayCluster") for raw in world.objects.get(kind, {}).values()]
    free = [raw for raw in children if not is_terminating(raw)]
    if free:
        world.stored.put(with_metadata(data.draw(st.sampled_from(free)), {"ownerReferences": []}))


def assert_goal(world: PlannerWorld, replicas: int) -> None:
    """All replicas are of the present template and available; the status says so; a pass more writes nothing."""
    fleet = decode_fleet(world.fleet)
    assert fleet.spec.template is not None
    assert len(world.clusters()) == replicas
    newest = {cluster.meta.owner_uid for cluster in world.clusters()}
    assert len(newest) <= 1
    images = {image_of(raw["spec"]) for raw in world.objects.get("RayCluster", {}).values()}
    assert images <= {image_of(fleet.spec.template.spec)}
    status = fleet.status
    assert (status.replicas, status.updated_replicas, status.ready_replicas) == (replicas, replicas, replicas)
    assert (status.available_replicas, status.unavailable_replicas) == (replicas, 0)
    assert status.observed_generation == fleet.meta.generation
    assert world.all_passes() == []


def image_of(spec: ReadOnlyJson) -> str:
    return str(containers(head_group(spec))[0]["image"])


@pytest.mark.parametrize("knob", [{"suspend": True}, {"rayVersion": "9"}])
def test_only_knobs_of_operation_keep_the_identity(knob: ReadOnlyJson) -> None:
    fleet = decode_fleet(make_world(1, None, CPU).fleet)
    assert fleet.spec.template is not None
    changed = replace(fleet.spec.template, spec={**fleet.spec.template.spec, **knob})
    is_same = template_identity(changed) == template_identity(fleet.spec.template)
    assert is_same is ("suspend" in knob)
