"""Two fleets whose selectors overlap: neither touches the other's, and one of them says so, always the same."""

import copy
from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.meta import name_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.testing.planner_world import PlannerWorld

SHARED = {"app": "x"}


def fleet(name: str, labels: Json, selector: Json | None = None) -> Json:
    group = {"template": {"spec": {"containers": [{"name": "ray", "image": "a"}]}}}
    template = {"metadata": {"labels": labels}, "spec": {"headGroupSpec": group}}
    spec = {"replicas": 2, "selector": {"matchLabels": selector or labels}, "template": template}
    return {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": {"name": name}, "spec": spec}


def world_of(*manifests: Json) -> PlannerWorld:
    world = PlannerWorld()
    for manifest in manifests:
        world.stored.create(manifest)
    play(world)
    return world


def play(world: PlannerWorld, rounds: int = 4) -> None:
    for _ in range(rounds):
        for name in list(world.objects[FLEETS.kind]):
            world.pass_for(FLEETS, name)
        for name in list(world.objects.get(REPLICA_SETS.kind, {})):
            world.replica_set_pass(name)
        world.finish_deletions()
        world.make_ready(*world.names())


def said_by(world: PlannerWorld) -> dict[str, str]:
    """Return who says it, with the words."""
    said = {}
    for name in world.objects[FLEETS.kind]:
        conditions = world.observed(FLEETS, name).fleet.status.conditions
        if condition := find_condition(conditions, "SelectorOverlap"):
            said[name] = condition.message
    return said


@pytest.mark.parametrize(
    ("first", "second", "who"),
    [
        (fleet("b", SHARED), fleet("a", SHARED), {"a"}),
        (fleet("b", SHARED), fleet("a", {**SHARED, "tier": "1"}), {"b"}),
        (fleet("b", {**SHARED, "tier": "1"}), fleet("a", SHARED), {"a"}),
        (fleet("b", {**SHARED, "tier": "2"}), fleet("a", {**SHARED, "tier": "1"}), set()),
        (fleet("b", {**SHARED, "tier": "2"}, {"tier": "2"}), fleet("a", {**SHARED, "tier": "1"}, {"tier": "1"}), set()),
    ],
    ids=["the younger of two", "the wider, though older", "the wider, younger", "told apart", "by one label"],
)
def test_who_says_it(first: Json, second: Json, who: set[str]) -> None:
    world = PlannerWorld()
    world.stored.create(first)
    world.now = world.now.replace(year=world.now.year + 1)
    world.stored.create(second)
    play(world)
    assert set(said_by(world)) == who


def test_of_two_made_in_the_same_second_the_later_name_says_it() -> None:
    assert set(said_by(world_of(fleet("b", SHARED), fleet("a", SHARED)))) == {"b"}


def test_neither_touches_the_other_s() -> None:
    """A defect of the peer: its replica sets count, and may delete, whatever their labels match."""
    world = world_of(fleet("a", SHARED), fleet("b", SHARED))
    before = copy.deepcopy({kind: world.objects[kind] for kind in (REPLICA_SETS.kind, RAY_CLUSTERS.kind)})
    owners = [controller_uid(raw) for raw in world.objects[REPLICA_SETS.kind].values()]
    assert owners == [uid_of(raw) for raw in world.objects[FLEETS.kind].values()]
    assert len(world.names()) == 4
    play(world)
    assert {kind: world.objects[kind] for kind in before} == before
    scale(world, "b", 0)
    assert [name_of(raw)[0] for raw in world.objects[RAY_CLUSTERS.kind].values()] == ["a", "a"]


def scale(world: PlannerWorld, name: str, replicas: int) -> None:
    raw: Any = world.objects[FLEETS.kind][name]
    world.stored.put({**raw, "spec": {**raw["spec"], "replicas": replicas}})
    play(world)


def test_it_is_said_once_as_an_event_and_no_more_when_the_other_is_gone() -> None:
    world = world_of(fleet("a", SHARED))
    world.stored.create(fleet("b", SHARED))
    told = [event.reason for _ in range(3) for event in world.pass_for(FLEETS, "b").events]
    assert told == ["SelectorOverlap"]
    del world.objects[FLEETS.kind]["a"]
    play(world)
    assert said_by(world) == {}
