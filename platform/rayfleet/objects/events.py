"""Facts of Events: of what, since when, how often. Pure.

Written by old recorders (``count``, ``lastTimestamp``) and new ones (``series``, ``eventTime``) alike. Source:
Kubernetes API reference, Event v1 (core and events.k8s.io share the fields).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import created_at, namespace_of
from rayfleet.objects.parts import mapping, whole_number
from rayfleet.objects.times import decode_time

_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """One event; ``kind``, ``name`` and ``uid`` are of the object that it tells of, ``last_seen`` is None unknown."""

    namespace: str
    type: str
    reason: str
    message: str
    kind: str
    name: str
    uid: str
    count: int
    last_seen: datetime | None


def decode_event(raw: ReadOnlyJson) -> EventFacts:
    """Return the facts; what is missing is empty, the count at least 1."""
    involved, series = mapping(raw.get("involvedObject")), mapping(raw.get("series"))
    times = (series.get("lastObservedTime"), raw.get("lastTimestamp"), raw.get("eventTime"))
    seen = [moment for moment in map(decode_time, times) if moment is not None]
    return EventFacts(
        namespace=namespace_of(raw),
        type=str(raw.get("type") or ""),
        reason=str(raw.get("reason") or ""),
        message=str(raw.get("message") or ""),
        kind=str(involved.get("kind") or ""),
        name=str(involved.get("name") or ""),
        uid=str(involved.get("uid") or ""),
        count=max(whole_number(series.get("count"), 1), whole_number(raw.get("count"), 1)),
        last_seen=max(seen, default=created_at(raw)),
    )


def by_age(events: Iterable[EventFacts]) -> list[EventFacts]:
    """Return the events, oldest first; those without a time lead."""
    return sorted(events, key=lambda event: event.last_seen or _LONG_AGO)
