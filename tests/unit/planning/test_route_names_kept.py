"""Whose a model's name is when fleets of several namespaces want it."""

import pytest

from rayfleet.model.json import Json
from rayfleet.planning.writes import Create, Delete
from rayfleet.testing.route_world import RouteWorld, planned, said

MODEL = "model.aibrix.ai/name"


def test_across_namespaces_the_older_fleet_keeps_the_name() -> None:
    world = RouteWorld()
    old = world.fleet("old", age=60, namespace="a")
    new = world.fleet("new", namespace="b")
    assert planned(world, "b") == ()
    [action] = planned(world, "a")
    assert isinstance(action, Create)
    assert said(world, old) == {}
    message = "Requests for the model qwen go to fleet a/old, which had the name first."
    assert said(world, new) == {"RouteAccepted": ("False", "ModelNameConflict", message)}


def test_who_has_the_route_keeps_it_from_an_older_fleet_that_takes_the_name_later() -> None:
    world = RouteWorld()
    world.fleet("here", namespace="b")
    world.apply(*planned(world, "b"))
    late = world.fleet("older", age=3600, namespace="a")
    assert planned(world, "a") == ()
    assert planned(world, "b") == ()
    assert said(world, late)["RouteAccepted"][1] == "ModelNameConflict"


def test_two_routes_of_one_name_become_one() -> None:
    """Both controllers of a split brain wrote: the younger's goes."""
    world = RouteWorld()
    world.fleet("old", age=60, namespace="a")
    world.apply(*planned(world, "a"))
    new = RouteWorld()
    new.fleet("new", namespace="b")
    world.fleet("new", namespace="b")
    world.apply(*planned(new, "b"))
    assert planned(world, "a") == ()
    [action] = planned(world, "b")
    assert isinstance(action, Delete)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ({}, {}, True),
        ({"hostnames": ["a.example"]}, {}, True),
        ({"hostnames": ["a.example"]}, {"hostnames": ["b.example"]}, False),
        ({"hostnames": ["*.example"]}, {"hostnames": ["b.example"]}, True),
        ({"hostnames": ["*.example"]}, {"hostnames": ["*.b.example"]}, True),
        ({"parentRef": {"name": "own"}}, {}, False),
        ({"parentRef": {"name": "own"}}, {"parentRef": {"name": "own"}}, False),
        ({"parentRef": {"name": "own", "namespace": "x"}}, {"parentRef": {"name": "own", "namespace": "x"}}, True),
    ],
)
def test_routes_that_no_request_can_both_match_do_not_meet(one: Json, other: Json, *, meet: bool) -> None:
    world = RouteWorld()
    world.fleet("old", age=60, namespace="a", **one)
    new = world.fleet("new", namespace="b", **other)
    assert ("RouteAccepted" in said(world, new)) is meet
    assert bool(planned(world, "b")) is not meet
