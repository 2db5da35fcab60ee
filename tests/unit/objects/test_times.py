"""Kubernetes' two forms of time, and delays that double."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rayfleet.objects.backoff import Backoff
from rayfleet.objects.times import decode_time, encode_micro_time, encode_time

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_a_time_is_written_in_utc_in_whole_seconds_or_in_six_digits() -> None:
    elsewhere = MOMENT.astimezone(timezone(timedelta(hours=5)))
    assert encode_time(elsewhere) == "2026-01-02T03:04:05Z"
    assert encode_micro_time(elsewhere) == "2026-01-02T03:04:05.678901Z"


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05.678901Z", "2026-01-02T08:04:05.678901+05:00"])
def test_a_time_is_read_in_any_zone(text: str) -> None:
    assert decode_time(text) == MOMENT
    assert decode_time(text).tzinfo is UTC  # type: ignore[union-attr]  # it is no None, as the line above says


@pytest.mark.parametrize("text", [None, "", "yesterday", 7, {}])
def test_what_is_no_time_is_none(text: object) -> None:
    assert decode_time(text) is None


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (1, 10), (2, 20), (3, 40), (6, 300), (10**6, 300)])
def test_a_delay_doubles_up_to_the_longest(failures: int, seconds: int) -> None:
    backoff = Backoff(first=timedelta(seconds=10), longest=timedelta(seconds=300))
    assert backoff.delay(failures) == timedelta(seconds=seconds)
