"""Events last an hour, as on a real API server (``--event-ttl``); an hour from their last change. Edge: the storage."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from rayfleet.local.apiserver.cluster import Cluster
from rayfleet.local.apiserver.storage.history import Stored
from rayfleet.objects.meta import created_at
from rayfleet.objects.times import decode_time

EVENT_LIFE = timedelta(hours=1)
_EVENTS = "/events"
_PERIOD_SECONDS = 60.0
log = logging.getLogger(__name__)


def expired_events(events: Iterable[Stored], now: datetime) -> list[Stored]:
    """Return the events whose hour is over. Pure."""
    return [each for each in events if (seen := _last_seen(each)) is not None and now - seen > EVENT_LIFE]


async def keep_expiring(cluster: Cluster) -> None:
    """Remove events as they expire, until cancelled."""
    while True:
        await asyncio.sleep(_PERIOD_SECONDS)
        try:
            for each in expired_events(cluster.storage.items(_EVENTS), cluster.now()):
                cluster.storage.remove(_EVENTS, each.key)
        except Exception:  # the next minute tries again: a full disk must not end the server
            log.exception("events could not be removed")


def _last_seen(stored: Stored) -> datetime | None:
    event = stored.object
    series = event.get("series") or {}
    times = decode_time(series.get("lastObservedTime")), decode_time(event.get("lastTimestamp")), created_at(event)
    return max((moment for moment in times if moment is not None), default=None)
