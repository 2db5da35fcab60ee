"""Durations in Go's form, read and written."""

from datetime import timedelta

import pytest

from rayfleet.objects.durations import duration_seconds, duration_words


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0s", 0), ("1m30s", 90), ("1.5h", 5400), ("250ms", 0.25), ("5x", None), ("", None), ("-1s", None)],
)
def test_a_duration_is_read_as_kubectl_reads_it(text: str, seconds: float | None) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (10, "10s"), (60, "1m0s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s"), (3605, "1h0m5s")],
)
def test_a_duration_is_written_as_go_writes_it(seconds: int, text: str) -> None:
    assert duration_words(timedelta(seconds=seconds)) == text
    assert duration_seconds(text) == seconds
