"""Surge and unavailable: percentages, zeros, and what a single accelerator replica gets."""

import pytest

from rayfleet.model.fleet import CountOrPercent, FleetSpec, Percent, Selector, Strategy, StrategyType
from rayfleet.planning.fleet.bounds import rollout_bounds


def percent(value: int) -> Percent:
    return Percent(value=value)


def spec(replicas: int, surge: CountOrPercent | None, unavailable: CountOrPercent | None) -> FleetSpec:
    strategy = Strategy(max_surge=surge, max_unavailable=unavailable)
    return FleetSpec(selector=Selector(), replicas=replicas, strategy=strategy)


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, percent(25), percent(25), (3, 2)),
        (10, None, None, (3, 2)),
        (1, None, None, (1, 0)),
        (4, None, None, (1, 1)),
        (10, 0, percent(5), (0, 1)),  # both zero after rounding: unavailable becomes 1
        (10, percent(0), percent(0), (0, 1)),
        (2, 1, 5, (1, 2)),  # unavailable is capped at the desired count
        (3, 7, 0, (7, 0)),
        (0, 3, 3, (0, 0)),
        (10, percent(200), percent(100), (20, 10)),
    ],
)
def test_bounds_are_those_of_a_deployment(
    replicas: int, surge: CountOrPercent | None, unavailable: CountOrPercent | None, expected: tuple[int, int]
) -> None:
    bounds = rollout_bounds(spec(replicas, surge, unavailable), has_accelerators=False)
    assert (bounds.surge, bounds.unavailable) == expected


@pytest.mark.parametrize(
    ("replicas", "surge", "expected"),
    [
        (1, None, (0, 1)),  # nobody said otherwise: never two sets of accelerators by accident
        (1, 1, (1, 0)),
        (1, percent(25), (1, 0)),
        (2, None, (1, 0)),
    ],
)
def test_a_single_accelerator_replica_is_replaced_in_place_unless_told_otherwise(
    replicas: int, surge: CountOrPercent | None, expected: tuple[int, int]
) -> None:
    bounds = rollout_bounds(spec(replicas, surge, None), has_accelerators=True)
    assert (bounds.surge, bounds.unavailable) == expected


def test_recreate_has_no_surge() -> None:
    recreate = FleetSpec(selector=Selector(), replicas=4, strategy=Strategy(type=StrategyType.RECREATE))
    bounds = rollout_bounds(recreate, has_accelerators=False)
    assert (bounds.most, bounds.least_available) == (4, 4)
