"""Lines of a log and when they came; the query of a log."""

from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.verbs.log_lines import Lines, shown_line
from rayfleet.local.apiserver.verbs.log_options import LogOptions, decode_log_options
from rayfleet.local.log_times import line_times, size_note

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TIMES = line_times(size_note(4, NOON) + size_note(8, NOON + SECOND) + "12 2026-11", NOON + 5 * SECOND)


@pytest.mark.parametrize(("end", "seconds"), [(1, 0), (4, 0), (5, 1), (8, 1), (9, 5), (100, 5)])
def test_a_line_came_at_the_first_note_that_has_all_of_it(end: int, seconds: int) -> None:
    """A note that is cut off is none: what it may have had came last."""
    assert TIMES.of(end) == NOON + seconds * SECOND


def test_lines_are_whole_whatever_the_pieces() -> None:
    lines = Lines()
    pieces = [(10, b"one\ntw"), (16, b"o"), (17, b"\n\nthr"), (22, b"ee")]
    taken = [line for start, piece in pieces for line in lines.take(start, piece)]
    assert taken == [(14, b"one\n"), (18, b"two\n"), (19, b"\n")]
    assert list(lines.rest()) == [(24, b"three")]
    assert list(lines.rest()) == []


def test_a_jump_ends_the_line_that_was_begun() -> None:
    """The log was rotated: its successor begins at 0."""
    lines = Lines()
    assert list(lines.take(0, b"cut")) == []
    assert list(lines.take(0, b"new\n")) == [(3, b"cut"), (4, b"new\n")]


def test_what_came_before_is_not_shown_and_the_rest_begins_with_its_time() -> None:
    options = LogOptions(since=NOON + SECOND, has_times=True)
    assert shown_line(b"a\n", 4, TIMES, options) == b""
    assert shown_line(b"b\n", 8, TIMES, options) == b"2026-11-25T12:00:01.000000000Z b\n"
    assert shown_line(b"b\n", 8, TIMES, LogOptions(since=NOON)) == b"b\n"


def test_a_query_is_read() -> None:
    query = {"follow": "true", "timestamps": "1", "previous": "0", "sinceSeconds": "90", "tailLines": "0"}
    options = decode_log_options(query, "p", NOON)
    assert options == LogOptions(follows=True, has_times=True, since=NOON - 90 * SECOND, tail_lines=0)
    assert decode_log_options({"sinceTime": "2026-11-25T12:00:01Z"}, "p", NOON).since == NOON + SECOND


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"tailLines": "-1"}, 422),
        ({"limitBytes": "0"}, 422),
        ({"sinceSeconds": "0"}, 422),
        ({"sinceSeconds": "1", "sinceTime": "2026-11-25T12:00:01Z"}, 422),
        ({"sinceTime": "yesterday"}, 400),
        ({"tailLines": "few"}, 400),
    ],
)
def test_a_wrong_query_is_refused(query: dict[str, str], code: int) -> None:
    with pytest.raises(Refusal) as refused:
        decode_log_options(query, "p", NOON)
    assert refused.value.code == code
