"""What a check found: values, whoever prints them. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """``error``: it cannot work as written. ``warning``: it works, but hardly as it is meant."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to change. ``rule`` is a stable name in kebab-case; ``path`` is the field as a user would write it.

    ``message`` says what happens and the way out.
    """

    rule: str
    path: str
    message: str
    severity: Severity = Severity.WARNING
