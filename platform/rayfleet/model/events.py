"""The two types of a Kubernetes Event. Pure."""

from enum import StrEnum


class EventType(StrEnum):
    """Nothing to worry about, or something to look at."""

    NORMAL = "Normal"
    WARNING = "Warning"
