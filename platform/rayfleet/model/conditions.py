"""Status conditions, as Kubernetes' API conventions state them. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ConditionStatus(StrEnum):
    """The three values of a condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition. ``last_update_time`` is Deployment's (it moves with progress), None for kinds without it."""

    type: str
    status: ConditionStatus
    reason: str
    message: str = ""
    last_transition_time: datetime
    last_update_time: datetime | None = None
    observed_generation: int | None = None
