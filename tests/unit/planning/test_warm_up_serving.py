"""What is read for a fleet of the short form: its engine knows what brings the new model, and the old one."""

from dataclasses import replace
from typing import Any

import pytest

from rayfleet.controllers.fleet import observed_fleet
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.model.engine import EngineProbe, LaunchPlan, NodeLaunch
from rayfleet.model.errors import FieldError
from rayfleet.model.json import Json
from rayfleet.model.policies import WarmUp
from rayfleet.model.resources import FLEETS
from rayfleet.model.serving import Serving
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.warm_up.bringing import bring_command
from rayfleet.plugin.contracts import ModelFormat
from rayfleet.testing.planner_world import PlannerWorld

WANTED = Serving(engine="toy", model="zoo:a", served_model_name="m")


class Toy:
    """An engine that says what brings its models."""

    name = "toy"
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        return (FieldError(path="spec.serving.model", message="no"),) if serving.model == "zoo:bad" else ()

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        node = NodeLaunch(script="true")
        image = "toy:1"
        plan = LaunchPlan(image=image, ray_version="2.60.0", head=node, worker=node, probe=EngineProbe())
        return replace(plan, bring=f"bring {serving.model}")


def world_of(**serving: Any) -> PlannerWorld:
    """Return a fleet of the short form whose first template is there, with a Ray cluster."""
    world = PlannerWorld()
    kind = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind}
    short: Json = {"engine": "toy", "model": "zoo:a", **serving}
    spec = {"replicas": 1, "serving": short, "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}
    world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": spec})
    for action in plan_fleet(observed(world), world.now).actions:
        world.stored.apply(action)
    for raw in world.replica_sets():
        world.replica_set_pass(raw["metadata"]["name"])
    return world


def observed(world: PlannerWorld) -> ObservedFleet:
    seen = observed_fleet(world.fleet, world.stored, FleetSources({"toy": Toy()}))
    assert isinstance(seen, ObservedFleet)
    return seen


def test_the_engine_says_what_brings_the_new_model_and_what_brought_the_old_one() -> None:
    world = world_of()
    world.change_spec({"serving": {"engine": "toy", "model": "zoo:b"}})
    facts = observed(world).warm_up
    assert facts is not None
    assert facts.bring == "bring zoo:b"
    assert list(facts.old_brings.values()) == ["bring zoo:a"]


def test_nothing_is_read_while_nothing_is_replaced() -> None:
    assert observed(world_of()).warm_up is None


def test_nothing_is_read_where_a_surge_goes_first() -> None:
    world = world_of()
    world.change_spec({"serving": {"engine": "toy", "model": "zoo:b"}, "strategy": None})
    assert observed(world).warm_up is None


@pytest.mark.parametrize(
    ("policy", "serving", "expected"),
    [
        (WarmUp(command=("get", "a b")), WANTED, "get 'a b'"),
        (WarmUp(), WANTED, "bring zoo:a"),
        (WarmUp(), None, ""),
        (WarmUp(), replace(WANTED, engine="absent"), ""),
        (WarmUp(), replace(WANTED, model="zoo:bad"), ""),
    ],
)
def test_the_manifests_command_wins_over_the_engines(policy: WarmUp, serving: Serving | None, expected: str) -> None:
    assert bring_command(policy, serving, {"toy": Toy()}) == expected
