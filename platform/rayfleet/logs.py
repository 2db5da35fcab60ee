"""How every process of rayfleet logs.

One line on stderr, a constant message, then the facts of ``extra``: as name=value for people, or all as one JSON object
for a collector.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogFormat(StrEnum):
    """What a line is; the values are those of ``--log-format``."""

    TEXT = "text"
    JSON = "json"


class FactsFormatter(logging.Formatter):
    """``2026-01-01 00:00:00,000 INFO rayfleet.x message fact=value``; values with spaces are quoted."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line without a trace."""
        facts = "".join(f" {name}={_shown(value)}" for name, value in _facts(record).items())
        return super().formatMessage(record) + facts


class JsonFormatter(logging.Formatter):
    """``{"time": RFC 3339 in UTC, "level": ..., "logger": ..., "message": ..., "trace": ..., FACT: ...}``.

    Numbers and truths stay what they are, any other value becomes its text. A fact with one of these names gives way.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, with the trace in it."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps({**_facts(record), **line}, default=str, ensure_ascii=False)


def configure_logging(form: str = LogFormat.TEXT, level: int = logging.INFO) -> None:
    """Send the logs of this process to stderr; call once, from a main function. ``form`` is a ``LogFormat``'s value."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if LogFormat(form) is LogFormat.JSON else FactsFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if any(character.isspace() for character in text) or not text else text
