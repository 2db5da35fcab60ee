"""The disruption budget of a fleet: as many heads stay as a rollout leaves, but one may always go."""

from rayfleet.model.absence import forbidden_kind
from rayfleet.model.json import Json
from rayfleet.model.resources import DISRUPTION_BUDGETS
from rayfleet.testing.planner_world import PlannerWorld

FLEET = "orchestration.aibrix.ai/raycluster-fleet-name"


def make_world(replicas: int, **strategy: object) -> PlannerWorld:
    world = PlannerWorld()
    pod = {"spec": {"containers": [{"name": "ray", "image": "ray:1"}]}}
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"headGroupSpec": {"template": pod}}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "x"}}, "template": template}
    if strategy:
        spec["strategy"] = {"rollingUpdate": strategy}
    kind = {"apiVersion": "orchestration.aibrix.ai/v1alpha1", "kind": "RayClusterFleet"}
    world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": spec})
    return world


def budget(world: PlannerWorld) -> Json | None:
    return next(iter(world.stored.of_kind(DISRUPTION_BUDGETS.kind).values()), None)


def least(world: PlannerWorld) -> int:
    held = budget(world)
    return held["spec"]["minAvailable"] if held else 0


def test_as_many_heads_stay_as_the_bounds_say() -> None:
    world = make_world(10, maxUnavailable=3)
    world.settle()
    held = budget(world)
    assert held is not None
    assert held["spec"] == {
        "minAvailable": 7,
        "selector": {"matchLabels": {FLEET: "fleet", "ray.io/node-type": "head"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    [owner] = held["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"]) == ("RayClusterFleet", True)


def test_one_may_always_go() -> None:
    """Else a drain of the node waits for ever: nobody moves a replica that may not be unavailable."""
    for replicas, unavailable, expected in ((1, 0, 0), (2, 0, 1), (4, 0, 3), (3, 3, 0), (0, 0, 0)):
        world = make_world(replicas, maxUnavailable=unavailable, maxSurge=1)
        world.settle()
        assert least(world) == expected


def test_it_follows_the_size_and_goes_with_the_last_but_one() -> None:
    world = make_world(4)
    world.settle()
    assert least(world) == 3
    world.change_spec({"replicas": 8})
    world.settle()
    assert least(world) == 6
    world.change_spec({"replicas": 1})
    world.settle()
    assert budget(world) is None


def test_what_cannot_be_read_is_not_written() -> None:
    world = make_world(4)
    world.stored.absent[DISRUPTION_BUDGETS] = forbidden_kind(DISRUPTION_BUDGETS, "no")
    world.settle()
    assert budget(world) is None
