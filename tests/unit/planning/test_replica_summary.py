"""Many replicas in few words."""

from datetime import timedelta
from typing import Any

from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.replica.summary import are_suspended, in_order_of_need, waiting_words
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


def test_only_those_that_wait_for_admission_are_suspended() -> None:
    assert are_suspended([state("a", P.READY), state("b", P.PENDING, reason="Suspended")])
    assert not are_suspended([state("a", P.PENDING), state("b", P.TERMINATING, reason="Suspended")])
