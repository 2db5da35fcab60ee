"""What becomes of the dependents of a deleted object. Pure. Source: Kubernetes, "Garbage Collection"."""

from enum import StrEnum


class Propagation(StrEnum):
    """BACKGROUND: they go after it; FOREGROUND: it waits until they are gone; ORPHAN: they stay."""

    BACKGROUND = "Background"
    FOREGROUND = "Foreground"
    ORPHAN = "Orphan"
