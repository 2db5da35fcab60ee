"""How every process of rayfleet logs.

One line on stderr, a constant message, then the facts of ``extra`` as name=value.
"""

import logging
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class FactsFormatter(logging.Formatter):
    """``2026-01-01 00:00:00,000 INFO rayfleet.x message fact=value``; values with spaces are quoted."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line without a trace."""
        facts = "".join(f" {name}={_shown(value)}" for name, value in vars(record).items() if name not in _STANDARD)
        return super().formatMessage(record) + facts


def configure_logging(level: int = logging.INFO) -> None:
    """Send the logs of this process to stderr; call once, from a main function."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FactsFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _shown(value: object) -> str:
    text = str(value)
    return repr(text) if any(character.isspace() for character in text) or not text else text
