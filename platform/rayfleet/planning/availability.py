"""Which Ray clusters are ready, since when, and available. Pure.

Available is ready for ``minReadySeconds`` without a break, and reachable: where a Service of ours and its
EndpointSlices are, a head that is ready and in no slice yet (or no more) serves nobody. KubeRay notes a time for the
head only, so the replica set's status keeps when a whole Ray cluster was first seen ready; with the head's own time the
later of the two counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.objects.meta import uid_of
from rayfleet.objects.services import ready_pods, slice_port


@dataclass(frozen=True, slots=True, kw_only=True)
class Availability:
    """``since`` maps UIDs of ready Ray clusters to when they became so; ``available`` are UIDs.

    ``next_change`` is how long until time alone makes another one available.
    """

    since: Mapping[str, datetime]
    available: frozenset[str]
    next_change: timedelta | None


def availability_of(
    clusters: Sequence[RayCluster],
    noted: Mapping[str, datetime],
    min_ready: timedelta,
    now: datetime,
    reachable: frozenset[str] | None = None,
) -> Availability:
    """Return who is ready and available; ``noted`` is ``ready_since`` of the replica set's status.

    ``reachable`` are the UIDs of those that requests can reach; None: that is not to be asked.
    """
    since = {cluster.meta.uid: _ready_since(cluster, noted, now) for cluster in clusters if cluster.is_ready}
    seasoned = frozenset(uid for uid, time in since.items() if not min_ready or time + min_ready <= now)
    available = seasoned if reachable is None else seasoned & reachable
    waiting = [time + min_ready - now for uid, time in since.items() if uid not in seasoned]
    return Availability(since=since, available=available, next_change=min(waiting, default=None))


def reachable_clusters(
    slices: Iterable[ReadOnlyJson], pods: Mapping[str, Iterable[ReadOnlyJson]], port: str
) -> frozenset[str]:
    """Return the UIDs of the Ray clusters with a pod that takes requests at a Service's ``port``, by its slices.

    ``pods`` are those of each Ray cluster, by its UID.
    """
    taking = {uid for each in slices if slice_port(each, port) is not None for uid in ready_pods(each)}
    return frozenset(cluster for cluster, owned in pods.items() if any(uid_of(pod) in taking for pod in owned))


def _ready_since(cluster: RayCluster, noted: Mapping[str, datetime], now: datetime) -> datetime:
    head = cluster.head_ready_since or now
    first_seen = noted.get(cluster.meta.uid)
    if first_seen is None:
        return head if cluster.expected_workers == 0 else max(head, now)
    return max(head, first_seen)
