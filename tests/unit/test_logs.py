"""Log lines (rayfleet.logs)."""

import json
import logging
import sys
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.logs import FactsFormatter, JsonFormatter


def record(**facts: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "a", "levelname": "INFO", "msg": "it changed", "created": 1.5, **facts})


def test_facts_follow_the_message() -> None:
    assert FactsFormatter().format(record(fleet="f", why="no node")).endswith("INFO a it changed fleet=f why='no node'")


def test_a_line_of_json_has_message_and_facts() -> None:
    line = JsonFormatter().format(record(fleet="f", port=8000, delay=timedelta(seconds=2), why="one\ntwo"))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:01.500+00:00",
        "level": "INFO",
        "logger": "a",
        "message": "it changed",
        "fleet": "f",
        "port": 8000,
        "delay": "0:00:02",
        "why": "one\ntwo",
    }


def test_a_trace_stays_in_its_line() -> None:
    try:
        ["another"].index("no such thing")
    except ValueError:
        line = JsonFormatter().format(record(exc_info=sys.exc_info()))
    assert "\n" not in line
    assert json.loads(line)["trace"].endswith("ValueError: 'no such thing' is not in list")


@pytest.mark.parametrize("name", ["time", "level", "logger", "trace"])
def test_no_fact_can_take_the_place_of_what_every_line_has(name: str) -> None:
    try:
        ["another"].index("no such thing")
    except ValueError:
        line = JsonFormatter().format(record(exc_info=sys.exc_info(), **{name: "forged"}))
    assert json.loads(line)[name] != "forged"
