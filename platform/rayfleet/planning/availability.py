"""Which Ray clusters are ready, since when, and available. Pure.

Available is ready for ``minReadySeconds`` without a break. KubeRay notes a time for the head only, so the replica set's
status keeps when a whole Ray cluster was first seen ready; with the head's own time the later of the two counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.model.ray_cluster import RayCluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """``since`` maps UIDs of ready Ray clusters to when they became so; ``available`` are UIDs.

    ``next_change`` is how long until time alone makes another one available.
    """

    since: Mapping[str, datetime]
    available: frozenset[str]
    next_change: timedelta | None


def availability_of(
    clusters: Sequence[RayCluster], noted: Mapping[str, datetime], min_ready: timedelta, now: datetime
) -> Availability:
    """Return who is ready and available; ``noted`` is ``ready_since`` of the replica set's status."""
    since = {cluster.meta.uid: _ready_since(cluster, noted, now) for cluster in clusters if cluster.is_ready}
    available = frozenset(uid for uid, time in since.items() if not min_ready or time + min_ready <= now)
    waiting = [time + min_ready - now for uid, time in since.items() if uid not in available]
    return Availability(since=since, available=available, next_change=min(waiting, default=None))


def _ready_since(cluster: RayCluster, noted: Mapping[str, datetime], now: datetime) -> datetime:
    head = cluster.head_ready_since or now
    first_seen = noted.get(cluster.meta.uid)
    if first_seen is None:
        return head if cluster.expected_workers == 0 else max(head, now)
    return max(head, first_seen)
