"""Durations in Go's form, as kubectl takes them and kubelets write them: ``1m20s``. Pure.

Source: Go, ``time.ParseDuration`` and ``Duration.String``; units below a millisecond have no use here.
"""

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")


def duration_seconds(text: str) -> float | None:
    """Return the seconds of ``90``, ``90s`` or ``1m30s``; None for what is no duration."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration_words(duration: timedelta) -> str:
    """Return a duration of whole seconds as Go writes it: ``40s``, ``2m40s``, ``5m0s``, ``1h0m0s``."""
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{f'{hours}h' if hours else ''}{f'{minutes}m' if hours or minutes else ''}{seconds}s"
