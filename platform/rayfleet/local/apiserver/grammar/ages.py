"""Ages as tables show them. Pure.

Source: apimachinery ``util/duration.HumanDuration`` (v1.36).
"""

from datetime import datetime, timedelta

from rayfleet.objects.times import decode_time

UNKNOWN = "<unknown>"
INVALID = "<invalid>"


def age_since(text: str | None, now: datetime) -> str:
    """Return the age of a timestamp for a table's cell."""
    moment = decode_time(text)
    return human_duration(now - moment) if moment else UNKNOWN


def human_duration(length: timedelta) -> str:
    """Return two significant parts: 45s, 3m20s, 45m, 5h3m, 9h, 2d5h, 9d, 1y20d, 9y."""
    seconds = int(length.total_seconds())
    if seconds < -1:
        return INVALID
    seconds = max(seconds, 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    years = days // 365
    steps = (
        (seconds < 120, f"{seconds}s"),
        (minutes < 10, _parts(minutes, "m", seconds % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _parts(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (hours < 192, _parts(days, "d", hours % 24, "h")),
        (days < 730, f"{days}d"),
        (years < 8, _parts(years, "y", days % 365, "d")),
    )
    return next((text for holds, text in steps if holds), f"{years}y")


def _parts(whole: int, unit: str, rest: int, small: str) -> str:
    return f"{whole}{unit}{rest}{small}" if rest else f"{whole}{unit}"
