"""How the requests for a model are shared: by available replicas, by weights as written, by both."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import Route
from rayfleet.planning.route.users import RouteUser
from rayfleet.planning.route.weights import is_urgent, until_calm, weights_of

NOW = datetime(2026, 1, 2, tzinfo=UTC)
ANY = RouteUser(
    key=ObjectKey(namespace="n", name="x"),
    uid="x",
    created=0,
    model="m",
    route=Route(),
    paths=(),
    profile="",
    service="x",
    port=8000,
    is_own_service=True,
    available=1,
    is_going=False,
    refusal="",
    raw={},
)
Given = tuple[int | None, int]
"""Weight and available Ray clusters of a fleet."""


def fleets(*given_: Given) -> list[RouteUser]:
    return [replace(ANY, route=Route(weight=weight), available=available) for weight, available in given_]


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ([(None, 0)], (1,)),
        ([(None, 7)], (1,)),
        ([(0, 7)], (0,)),
        ([(30, 7)], (1,)),
        ([(None, 3), (None, 6)], (1, 2)),
        ([(None, 3), (None, 0)], (1, 0)),
        ([(None, 0), (None, 0)], (1, 1)),
        ([(None, 5), (0, 5)], (1, 0)),
        ([(None, 5), (10, 1)], (90, 10)),
        ([(None, 5), (100, 1)], (0, 100)),
        ([(None, 5), (250, 1)], (0, 250)),
        ([(None, 2), (None, 1), (10, 1)], (60, 30, 10)),
        ([(None, 2), (None, 1), (9, 1)], (60667, 30333, 9000)),
        ([(None, 5), (100, 0)], (1, 0)),
        ([(None, 0), (0, 5)], (1, 0)),
        ([(None, 0), (10, 5)], (0, 10)),
        ([(3, 1), (1, 1)], (3, 1)),
        ([(3, 0), (1, 1)], (0, 1)),
        ([(3, 0), (1, 0)], (3, 1)),
        ([(0, 1), (0, 1)], (0, 0)),
    ],
)
def test_shares(given_: list[Given], expected: tuple[int, ...]) -> None:
    assert weights_of(fleets(*given_)) == expected


@given(st.lists(st.tuples(st.none() | st.integers(0, 1_000_000), st.integers(0, 9)), min_size=2, max_size=16))
def test_who_may_and_can_serve_does_and_nobody_else(given_: list[Given]) -> None:
    users = fleets(*given_)
    weights = weights_of(users)
    assert len(weights) == len(users)
    assert all(0 <= weight <= 1_000_000 for weight in weights)
    for user, weight in zip(users, weights, strict=True):
        assert not (user.route.weight == 0 and weight)
    if any(user.available and user.route.weight != 0 for user in users):
        served = [user for user, weight in zip(users, weights, strict=True) if weight]
        assert served
        assert all(user.available for user in served)


def test_who_comes_or_goes_is_urgent_and_a_proportion_is_not() -> None:
    assert is_urgent({"a": 1, "b": 0}, {"a": 1, "b": 1})
    assert is_urgent({"a": 1}, {"a": 1, "b": 1})
    assert not is_urgent({"a": 1, "b": 1}, {"a": 2, "b": 1})


def test_a_proportion_waits_until_the_last_change_is_ten_seconds_ago() -> None:
    assert until_calm(None, NOW) == timedelta(0)
    assert until_calm(NOW - timedelta(seconds=4), NOW) == timedelta(seconds=6)
    assert until_calm(NOW - timedelta(seconds=10), NOW) == timedelta(0)
    assert until_calm(NOW + timedelta(days=1), NOW) == timedelta(0)  # somebody's clock jumped
