"""Kubernetes times as text and back. Pure.

``metav1.Time`` has whole seconds, ``MicroTime`` six digits; both end in ``Z``. Source: apimachinery
``pkg/apis/meta/v1/{time,micro_time}.go`` (v1.36).
"""

from datetime import UTC, datetime

_FIRST_YEAR = 1900
_LAST_YEAR = 8999


def decode_time(text: object) -> datetime | None:
    """Return the time in UTC, None when it is absent or unreadable: a foreign object's time is never worth an error.

    So is one before 1900 (Go's zero time) or after 8999: every limit of a manifest can be added to those between.
    """
    try:
        moment = read_time(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None
    return moment if moment is not None and _FIRST_YEAR <= moment.year <= _LAST_YEAR else None


def read_time(text: str) -> datetime:
    """Return the time in UTC, which a text without a zone means. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def encode_time(moment: datetime) -> str:
    """Return ``2026-01-02T03:04:05Z``; parts of a second are dropped, as ``metav1.Time`` does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def encode_micro_time(moment: datetime) -> str:
    """Return ``2026-01-02T03:04:05.123456Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def encode_nano_time(moment: datetime) -> str:
    """Return ``2026-01-02T03:04:05.123456000Z``, as the lines of logs begin."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def time_of_seconds(seconds: float) -> datetime:
    """Return the time that is so many seconds after 1970 began, as files tell theirs."""
    return datetime.fromtimestamp(seconds, UTC)
