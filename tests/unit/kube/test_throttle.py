"""The token bucket, in virtual time."""

import pytest

from rayfleet.kube.throttle import TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_is_free_and_then_the_rate_holds() -> None:
    clock = Clock()
    bucket = TokenBucket(rate_per_second=10, burst=3, clock=clock)
    assert [bucket.try_take() for _ in range(3)] == [0, 0, 0]
    assert bucket.try_take() == pytest.approx(0.1)
    clock.now += 0.1
    assert bucket.try_take() == 0


def test_the_reserve_is_left_for_urgent_calls() -> None:
    clock = Clock()
    bucket = TokenBucket(rate_per_second=1, burst=3, reserve=2, clock=clock)
    assert bucket.try_take() == 0
    assert bucket.try_take() > 0
    assert bucket.try_take(is_urgent=True) == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    clock = Clock()
    bucket = TokenBucket(rate_per_second=100, burst=2, clock=clock)
    bucket.try_take()
    clock.now += 1000
    assert [bucket.try_take() == 0 for _ in range(3)] == [True, True, False]
