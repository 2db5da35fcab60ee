"""A call of a plugin that has no end is ended, wherever it stands; one that ends in time is not touched."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from rayfleet.model.errors import Overdue
from rayfleet.plugin.watch import Watch


@pytest.fixture
def watch() -> Iterator[Watch]:
    before = signal.getsignal(signal.SIGURG)
    yield Watch(look_seconds=0.005)
    signal.signal(signal.SIGURG, before)


def endless() -> None:
    while True:
        pass


def asleep() -> None:
    time.sleep(60)


def locked() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def deaf() -> None:
    """Catches what an author catches who wants to catch everything."""
    while True:
        with suppress(Exception):
            time.sleep(60)


@pytest.mark.parametrize("hanging", [endless, asleep, locked, deaf])
def test_a_call_without_an_end_is_ended(watch: Watch, hanging: object) -> None:
    assert callable(hanging)
    with pytest.raises(Overdue):
        watch.call(hanging, 0.02)


def test_a_call_that_ends_is_not_touched_and_neither_is_what_follows(watch: Watch) -> None:
    assert watch.call(lambda: 7, 0.4) == 7
    time.sleep(0.5)
    with pytest.raises(ZeroDivisionError):
        watch.call(lambda: 1 // 0, 60)


def test_a_call_within_another_has_no_more_time(watch: Watch) -> None:
    with pytest.raises(Overdue):
        watch.call(lambda: watch.call(asleep, 60), 0.02)
    assert watch.call(lambda: watch.call(lambda: 7, 60), 60) == 7


def test_after_one_that_was_ended_the_next_is_watched_too(watch: Watch) -> None:
    for _ in range(3):
        with pytest.raises(Overdue):
            watch.call(asleep, 0.01)


def test_a_signal_of_somebody_else_reaches_who_listened_before() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGURG, lambda number, _: heard.append(number))
    try:
        Watch().call(lambda: signal.raise_signal(signal.SIGURG), 60)
    finally:
        signal.signal(signal.SIGURG, before)
    assert heard == [signal.SIGURG]


def test_calls_of_other_threads_are_passed_on() -> None:
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(Watch().call(lambda: 7, 0.001)))
    thread.start()
    thread.join()
    assert answers == [7]


def test_two_watches_take_turns(watch: Watch) -> None:
    other = Watch(look_seconds=0.005)
    for each in (watch, other, watch, other):
        with pytest.raises(Overdue):
            each.call(asleep, 0.01)
        with pytest.raises(Overdue), each.within(0.01):
            asleep()
    assert watch.call(lambda: other.call(lambda: 7, 60), 60) == 7
