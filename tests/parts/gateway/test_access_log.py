"""The access log: what a line says and never says, and that nothing slow or broken behind it reaches a request."""

import json
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rayfleet_gateway.model.values import Outcome, Result
from rayfleet_gateway.telemetry.access_log import AccessLog, line
from rayfleet_gateway.telemetry.behind import Behind
from rayfleet_gateway.telemetry.counts import Deliveries

PLAIN = Outcome(
    model="m",
    status=200,
    result=Result.OK,
    seconds=1.25,
    first_byte_seconds=0.5,
    request_id="r1",
    method="POST",
    path="/v1/completions",
    client="127.0.0.1",
    attempts=2,
    endpoint="10.0.0.1:8000",
    route="default/fleet",
    prompt_tokens=3,
    completion_tokens=4,
    trace_parent=f"00-{'a' * 32}-{'b' * 16}-01",
)


def test_a_line_says_what_became_of_a_request() -> None:
    facts = json.loads(line(PLAIN, at=0.5))
    assert facts == {
        "time": "1970-01-01T00:00:00.500000Z",
        "request_id": "r1",
        "trace_id": "a" * 32,
        "client": "127.0.0.1",
        "method": "POST",
        "path": "/v1/completions",
        "model": "m",
        "route": "default/fleet",
        "endpoint": "10.0.0.1:8000",
        "attempts": 2,
        "status": 200,
        "result": "ok",
        "code": "",
        "is_stream": False,
        "seconds": 1.25,
        "queue_seconds": 0.0,
        "first_byte_seconds": 0.5,
        "request_bytes": 0,
        "answer_bytes": 0,
        "prompt_tokens": 3,
        "completion_tokens": 4,
    }


@pytest.mark.parametrize("path", ['/v1/"x"\n\r\x00\x1b[2J\u2028', "/\udcff\n", "/" + "é" * 5000])
def test_whatever_a_path_holds_a_line_is_one_short_line_of_json(path: str) -> None:
    text = line(replace(PLAIN, path=path), at=0.5)
    assert text.count(b"\n") == 1
    assert not any(byte < 0x20 for byte in text[:-1])
    assert len(text) < 4096
    assert json.loads(text)["path"] == path[:256]
    assert json.loads(text)["time"] == "1970-01-01T00:00:00.500000Z"


def test_every_line_is_written_by_the_end(tmp_path: Path) -> None:
    deliveries = Deliveries()
    log = AccessLog(str(tmp_path / "log"), deliveries)
    log.start()
    for number in range(1000):
        log.put(replace(PLAIN, request_id=str(number)))
    log.close()
    written = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert [json.loads(each)["request_id"] for each in written] == [str(number) for number in range(1000)]
    assert (deliveries.accepted, deliveries.refused, deliveries.lost) == (1000, 0, 0)


def test_a_log_that_was_moved_away_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AccessLog(str(path), Deliveries())
    log.start()
    path.rename(tmp_path / "log.1")
    log.put(PLAIN)
    log.close()
    assert len(path.read_text(encoding="utf-8").splitlines()) == 1
    assert (tmp_path / "log.1").read_text(encoding="utf-8") == ""


def test_a_log_that_cannot_be_opened_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(str(tmp_path / "no" / "log"), Deliveries()).start()


def test_a_full_disk_is_told_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    deliveries = Deliveries()
    log = AccessLog("/dev/full", deliveries)
    log.start()
    for _ in range(500):
        log.put(PLAIN)
    log.close()
    assert deliveries.lost == 500
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.WARNING, "access log cannot be written")
    ]


def test_lines_go_through_a_pipe_in_pieces_that_it_takes_whole(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(str(tmp_path / "pipe"), Deliveries())
    log.start()
    for _ in range(20):
        log.put(PLAIN)
    log.close()
    text = os.read(reader, 1 << 16)
    os.close(reader)
    assert text.count(b"\n") == 20
    assert all(json.loads(each)["model"] == "m" for each in text.splitlines())


def test_a_sink_that_is_stuck_costs_lines_and_nobody_waits_for_it() -> None:
    is_stuck, go_on = threading.Event(), threading.Event()
    taken: list[int] = []

    def take(batch: Sequence[int]) -> None:
        is_stuck.set()
        go_on.wait(60)
        taken.extend(batch)

    deliveries = Deliveries()
    behind = Behind("stuck", take, deliveries, most_waiting=100)
    behind.start()
    behind.put(0)
    assert is_stuck.wait(60)
    for number in range(1, 151):
        behind.put(number)
    behind.close(limit_seconds=0.01)
    assert (deliveries.accepted, deliveries.refused, taken) == (101, 50, [])
    go_on.set()
    behind.close(limit_seconds=60)
    assert taken == list(range(101)), "what had room arrives, in order"
