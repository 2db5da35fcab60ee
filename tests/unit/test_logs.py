"""Log lines (rayfleet.logs)."""

import logging

from rayfleet.logs import FactsFormatter


def test_facts_follow_the_message() -> None:
    record = logging.makeLogRecord(
        {"name": "a", "levelname": "INFO", "msg": "it changed", "fleet": "f", "why": "no node"}
    )
    assert FactsFormatter().format(record).endswith("INFO a it changed fleet=f why='no node'")
