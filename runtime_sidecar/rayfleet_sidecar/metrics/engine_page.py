"""The engine's metrics page as one reading brought it, and what became of that reading. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class PageState(StrEnum):
    """What became of a reading; the value is part of ``rayfleet_sidecar_engine_page_state``."""

    OK = "ok"
    PARTLY = "partly"  # some lines are none of Prometheus' text format, and are left out
    UNREADABLE = "unreadable"  # no line is: JSON, an error page, or nothing
    TOO_LARGE = "too_large"  # more bytes than are read
    LATE = "late"  # not there in time
    REFUSED = "refused"  # answered with another status than 200
    UNREACHABLE = "unreachable"  # no answer: refused, reset


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePage:
    """``text`` is empty unless ``state`` is OK; ``size_bytes`` and ``seconds`` are what reading it took."""

    state: PageState
    text: str = ""
    size_bytes: int = 0
    seconds: float = 0.0
