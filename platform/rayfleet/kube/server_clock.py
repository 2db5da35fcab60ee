"""What time it is for an API server, by the ``Date`` of its answers.

Plans compare times that the server and KubeRay wrote (a creation, a deletion, a readiness) with now, and a controller
follows another one on another machine: all of them have to mean one clock. This one is the machine's own while that is
right; where it is minutes off, no replica is rebuilt, called stuck or taken for lost for that.

Source: RFC 9110, 6.6.1 (``Date``: whole seconds); Go's ``net/http`` writes it into every answer.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

log = logging.getLogger(__name__)

TOLERANCE = timedelta(seconds=2)
"""So far clocks may differ: our choice. The machine's own has the better resolution."""
_RESOLUTION = timedelta(seconds=1)


def local_time() -> datetime:
    """Return the time by the machine's own clock."""
    return datetime.now(UTC)


def offset_after(offset: timedelta, served_at: datetime, asked_at: datetime, answered_at: datetime) -> timedelta:
    """Return how far the server's clock is ahead of ours after one more answer, nothing within the tolerance. Pure.

    ``served_at`` is by its clock and cut to a second, the others are by ours. Asked at 10.0, answered at 10.4, served
    at 610: between 599.6 and 601 s ahead, so it is 600.3 s unless ``offset`` was about right.
    """
    least = served_at - answered_at - TOLERANCE
    most = served_at + _RESOLUTION - asked_at + TOLERANCE
    for known in (timedelta(0), offset):
        if least <= known <= most:
            return known
    return (least + most) / 2


class ServerClock:
    """The clock of one API server; ``local`` is our own."""

    def __init__(self, local: Callable[[], datetime] = local_time) -> None:
        self.local = local
        self._offset = timedelta(0)

    def now(self) -> datetime:
        """Return the time."""
        return self.local() + self._offset

    def hear(self, date: str, asked_at: datetime) -> None:
        """Note the ``Date`` of an answer to what was ``asked_at`` by our clock; one that is no date tells nothing."""
        try:
            served_at = parsedate_to_datetime(date)
        except ValueError:
            return
        if served_at.tzinfo is None:
            return
        offset = offset_after(self._offset, served_at, asked_at, self.local())
        if offset != self._offset:
            seconds = round(offset.total_seconds(), 1)
            log.warning("the API server's clock and ours differ, its is taken", extra={"ahead_seconds": seconds})
            self._offset = offset
