"""What time it is for an API server, by the dates of its answers."""

from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.kube.server_clock import ServerClock, offset_after

NOW = datetime(2026, 11, 29, 12, 0, 0, 900_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTES = timedelta(minutes=10)


def date(time: datetime) -> str:
    return f"{time:%a, %d %b %Y %H:%M:%S} GMT"


@pytest.mark.parametrize("ahead", [0.0, -2.0, 2.0])
def test_a_clock_that_is_about_right_is_left_alone(ahead: float) -> None:
    served = (NOW + ahead * SECOND).replace(microsecond=0)
    assert offset_after(timedelta(0), served, NOW, NOW) == timedelta(0)


@pytest.mark.parametrize("ahead", [MINUTES, -MINUTES, 5 * SECOND])
def test_a_clock_that_is_wrong_is_corrected_to_a_second(ahead: timedelta) -> None:
    served = (NOW + ahead).replace(microsecond=0)
    assert abs(offset_after(timedelta(0), served, NOW, NOW + SECOND / 10) - ahead) <= SECOND


def test_what_is_about_right_stays_so_that_time_does_not_jump() -> None:
    clock = ServerClock(lambda: NOW)
    clock.hear(date(NOW + MINUTES), NOW)
    first = clock.now()
    for ahead in (0.9, -0.9, 1.9):
        clock.hear(date(NOW + MINUTES + ahead * SECOND), NOW)
        assert clock.now() == first


def test_a_slow_answer_tells_little() -> None:
    """Served at any time between the question and the answer: a clock that may be right is not corrected."""
    asked, answered = NOW - 30 * SECOND, NOW
    assert offset_after(timedelta(0), asked, asked, answered) == timedelta(0)


def test_a_clock_that_is_set_right_is_believed_again() -> None:
    local = NOW - MINUTES
    clock = ServerClock(lambda: local)
    clock.hear(date(NOW), local)
    assert abs(clock.now() - NOW) <= SECOND
    local = NOW
    clock.hear(date(NOW), local)
    assert clock.now() == NOW


@pytest.mark.parametrize("text", ["", "soon", "Sun, 29 Nov 2026 12:00:00 -0000", "Sun, 99 Nov 2026 12:00:00 GMT"])
def test_what_is_no_date_tells_nothing(text: str) -> None:
    clock = ServerClock(lambda: NOW)
    clock.hear(text, NOW)
    assert clock.now() == NOW
