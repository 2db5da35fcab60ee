"""A status that may wait: how long, and that the last one is always written."""

from datetime import timedelta
from typing import Any

from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS
from rayfleet.planning.writes import Create, ObjectRef, status_replaced
from rayfleet.reconciling.status_holds import StatusHolds

KEY = ObjectKey(namespace="n", name="a")
MAKE = Create(resource=RAY_CLUSTERS, manifest={"metadata": {"name": "x"}})


class Held:
    """Holds of two seconds on a clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0
        self.holds = StatusHolds(timedelta(seconds=2), lambda: self.now)
        self.stored: dict[str, Any] = {"replicas": 0, "conditions": []}

    def written(self, *, key: ObjectKey = KEY, may_wait: bool = True, **changes: Any) -> tuple[list[str], float | None]:
        """Return the types of the actions that are carried out of a pass that wants this status, and the wait."""
        status = status_replaced(FLEETS, ObjectRef(key=key, uid="u"), self.stored | changes, may_wait=may_wait)
        actions, wait = self.holds.split(key, (MAKE, status))
        return [type(action).__name__ for action in actions], wait.total_seconds() if wait else None


def test_a_count_waits_until_its_time_is_over_and_other_writes_do_not() -> None:
    held = Held()
    assert held.written(replicas=1) == (["Create"], 2)
    held.now += 1.5
    assert held.written(replicas=2) == (["Create"], 0.5)  # the hold goes on, with the newest status
    held.now += 0.5
    assert held.written(replicas=3) == (["Create", "Replace"], None)


def test_an_object_that_goes_on_changing_is_written_less_often_until_it_was_quiet() -> None:
    held, holds = Held(), []
    for _ in range(4):
        _, wait = held.written(replicas=1)
        assert wait is not None
        holds.append(wait)
        held.now += wait
        assert held.written(replicas=2) == (["Create", "Replace"], None)
        held.now += 1
    assert holds == [2, 4, 8, 8]
    held.now += 60
    assert held.written(replicas=3) == (["Create"], 2)


def test_an_urgent_change_takes_what_waited_with_it() -> None:
    held = Held()
    held.written(replicas=1)
    held.now += 1
    assert held.written(replicas=2, may_wait=False) == (["Create", "Replace"], None)
    assert held.written(replicas=3) == (["Create"], 2)


def test_a_status_that_came_back_to_what_is_stored_ends_the_hold() -> None:
    held = Held()
    held.written(replicas=1)
    assert held.holds.split(KEY, (MAKE,)) == ((MAKE,), None)
    held.now += 1.5
    assert held.written(replicas=1) == (["Create"], 2)


def test_each_object_has_its_own_hold() -> None:
    held = Held()
    held.written(replicas=1)
    held.now += 1.5
    assert held.written(key=ObjectKey(namespace="n", name="b"), replicas=1) == (["Create"], 2)


def test_without_a_hold_nothing_waits() -> None:
    held = Held()
    held.holds = StatusHolds(timedelta(0), lambda: held.now)
    assert held.written(replicas=1) == (["Create", "Replace"], None)
