"""Many replicas in few words, and when these are worth a write."""

from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.replica.summary import are_suspended, in_order_of_need, waiting_words, write_may_wait
from rayfleet.testing.planner_world import START as NOW

P = ReplicaPhase
SECOND = timedelta(seconds=1)


def state(name: str, phase: ReplicaPhase = P.PULLING, *, age: float = 10.0, **more: Any) -> ReplicaState:
    return ReplicaState(name=name, uid=f"uid-{name}", phase=phase, since=NOW - age * SECOND, **more)


def test_those_that_need_a_look_come_first() -> None:
    states = [
        state("ready", P.READY),
        state("leaving", P.TERMINATING),
        state("young", age=1.0),
        state("old", age=20.0),
        state("stuck", reason="ErrImagePull", age=2.0),
        state("broken", P.BROKEN),
        state("failed", P.FAILED),
    ]
    order = ["failed", "broken", "stuck", "old", "young", "leaving", "ready"]
    assert [each.name for each in in_order_of_need(states)] == order


def test_words_name_how_many_wait_and_the_first_of_them() -> None:
    stuck = state("b", progress="1/2", reason="ErrImagePull", message="no/such:1", pod="b-head", container="ray")
    assert waiting_words([state("c", P.READY), stuck, state("a")], 3) == (
        "2 of 3 replicas wait: Pulling 1/2 since 2026-01-02T03:03:55Z, pod b-head, container ray:"
        " ErrImagePull no/such:1"
    )
    assert waiting_words([state("a", P.PENDING)], 1) == "1 of 1 replica waits: Pending since 2026-01-02T03:03:55Z"
    assert waiting_words([state("c", P.READY), state("d", P.TERMINATING)], 2) == ""


def test_a_write_of_states_alone_waits_for_two_seconds_since_the_last() -> None:
    before = [state("a", P.PENDING, age=60.0), state("b", P.PENDING, age=0.4)]
    after = [state("a", P.SCHEDULING, age=0.0), before[1]]
    assert write_may_wait(before, after, NOW) == 1.6 * SECOND
    assert write_may_wait(before[:1], after[:1], NOW) is None
    assert write_may_wait([], after, NOW) is None
    assert write_may_wait([state("a", age=-3600.0)], after, NOW) is None, "the clock went back"


@pytest.mark.parametrize("trouble", [{"reason": "ErrImagePull"}, {"phase": P.BROKEN}])
def test_new_trouble_does_not_wait(trouble: dict[str, Any]) -> None:
    before = [state("a", P.PENDING, age=0.4), state("b", age=0.4, **trouble)]
    assert write_may_wait(before, [state("a", age=0.0, **trouble), before[1]], NOW) is None
    assert write_may_wait(before, [state("a", age=0.0), before[1]], NOW) is not None


def test_only_those_that_wait_for_admission_are_suspended() -> None:
    assert are_suspended([state("a", P.READY), state("b", P.PENDING, reason="Suspended")])
    assert not are_suspended([state("a", P.PENDING), state("b", P.TERMINATING, reason="Suspended")])
