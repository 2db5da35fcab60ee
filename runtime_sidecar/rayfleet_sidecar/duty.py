"""What an operator has asked of the replica: to take no new requests, or to sleep. Pure.

The engine may be well all the same; it is only said not to be ready. Trouble of its own goes before these words.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Leave(StrEnum):
    """Why an engine that is well takes no requests; the value is part of ``/ready``'s answer."""

    DRAINING = "EngineDraining"
    ASLEEP = "EngineAsleep"


_WORDS = {
    Leave.DRAINING: "it was asked to drain: it takes no new requests and finishes those that it has",
    Leave.ASLEEP: "it was put to sleep; POST /wake wakes it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """``leave`` is None while the engine is to serve; ``since`` is when that last changed."""

    since: datetime
    leave: Leave | None = None

    @property
    def words(self) -> str:
        """A sentence for people, empty while the engine is to serve."""
        return _WORDS[self.leave] if self.leave is not None else ""

    def changed(self, leave: Leave | None, now: datetime) -> "Duty":
        """Return the duty from now on; what is asked for twice stays as it is."""
        return self if leave is self.leave else Duty(leave=leave, since=now)
