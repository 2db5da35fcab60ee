"""What the node notes of logs as they grow, and what the API server shows of them."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rayfleet.local.apiserver.verbs.log_options import LogOptions
from rayfleet.local.apiserver.verbs.podlogs import log_chunks
from rayfleet.local.log_times import read_line_times, times_file
from rayfleet.local.node.log_notes import note_growth
from rayfleet.local.node.log_rotation import remove_old_runs, rotate_large_logs

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "n_p_u" / "main" / "0.log"
    path.parent.mkdir(parents=True)
    return path


def write(log: Path, text: str, second: int) -> None:
    with log.open("a", encoding="utf-8") as file:
        file.write(text)
    moment = (NOON + timedelta(seconds=second)).timestamp()
    os.utime(log, (moment, moment))


def shown(log: Path, options: LogOptions) -> str:
    async def read() -> bytes:
        ended = asyncio.Event()
        ended.set()
        return b"".join([chunk async for chunk in log_chunks(log, options, ended)])

    return asyncio.run(read()).decode()


def test_lines_are_shown_with_the_time_at_which_they_came(tmp_path: Path, log: Path) -> None:
    sizes: dict[Path, int] = {}
    write(log, "one\ntwo\n", 1)
    note_growth(tmp_path, sizes)
    write(log, "three\n", 5)
    note_growth(tmp_path, sizes)
    note_growth(tmp_path, sizes)
    write(log, "four", 9)  # not noted yet
    lines = ["01.000000000Z one", "01.000000000Z two", "05.000000000Z three", "09.000000000Z four"]
    assert shown(log, LogOptions(has_times=True)) == "\n".join(f"2026-11-25T12:00:{each}" for each in lines)
    since = NOON + timedelta(seconds=5)
    assert shown(log, LogOptions(since=since)) == "three\nfour"
    assert shown(log, LogOptions(since=since, tail_lines=1)) == "four"
    assert shown(log, LogOptions(has_times=True, tail_lines=2, limit_bytes=20)) == "2026-11-25T12:00:05."
    assert shown(log, LogOptions(limit_bytes=5)) == "one\nt"


def test_a_node_that_starts_goes_on_where_the_last_one_ended(tmp_path: Path, log: Path) -> None:
    write(log, "one\n", 1)
    note_growth(tmp_path, {})
    write(log, "two\n", 2)
    note_growth(tmp_path, {})
    note_growth(tmp_path, {})
    assert list(read_line_times(log).sizes) == [4, 8]


def test_notes_begin_anew_with_a_rotated_log_and_go_with_it(tmp_path: Path, log: Path) -> None:
    sizes: dict[Path, int] = {}
    write(log, "much\n" * 10, 1)
    note_growth(tmp_path, sizes)
    assert rotate_large_logs(tmp_path, limit_bytes=20) == 1
    write(log, "new\n", 7)
    note_growth(tmp_path, sizes)
    times = read_line_times(log)
    assert list(times.sizes) == [4]
    assert times.of(4) == NOON + timedelta(seconds=7)
    remove_old_runs(tmp_path, kept=0)
    assert not times_file(log).exists()
