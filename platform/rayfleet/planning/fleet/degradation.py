"""The condition of a fleet that lost something good, Degraded, and the one word that sums its status up. Pure.

Degraded is there only while something that was good is not: a replica that was ready and is not, until it is ready
again or what recovery made in its place is. One that never formed was not good, and one that was suspended is not
broken. The replica sets note what is given up until its place is filled, so nothing is forgotten between two passes,
and nothing here goes by the time that passes.
"""

from collections.abc import Iterator, Sequence

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.replica import FORMING_TIMED_OUT, Rebuild, ReplicaPhase
from rayfleet.objects.conditions import Conditions, find_condition, new_condition, with_condition, without_condition
from rayfleet.objects.times import encode_time
from rayfleet.planning.fleet.conditions import NEW_AVAILABLE, PROGRESSING, is_complete
from rayfleet.planning.fleet.members import Member
from rayfleet.planning.fleet.view import View
from rayfleet.planning.replica.summary import in_order_of_need, lost, standing_words

DEGRADED = "Degraded"
_OVER = frozenset({ReplicaPhase.DRAINING, ReplicaPhase.FAILED})


def with_degradation(conditions: Conditions, view: View) -> Conditions:
    """Return the conditions with Degraded while replicas are not ready that were, else without."""
    broken = in_order_of_need(each for each in lost(view.replicas.known) if each.reason != FORMING_TIMED_OUT)
    if broken:
        verb = "replica was ready and is not" if len(broken) == 1 else "replicas were ready and are not"
        message = f"{len(broken)} {verb}: {standing_words(broken[0])}"
        return with_condition(conditions, _degraded(broken[0].reason or broken[0].phase.value, message, view))
    rebuilds = [rebuild for member in view.members for rebuild in _not_over(view, member)]
    if not rebuilds:
        return without_condition(conditions, DEGRADED)
    latest = max(rebuilds, key=lambda rebuild: rebuild.time)
    message = f"{latest.name} is rebuilt since {encode_time(latest.time)}: {latest.message}"
    return with_condition(conditions, _degraded(latest.reason, message, view))


def phase(view: View, status: FleetStatus) -> str:
    """Return the one word that ``kubectl get`` shows."""
    progressing = find_condition(status.conditions, PROGRESSING)
    desired = view.bounds.desired
    words: Sequence[tuple[bool, str]] = (
        (view.fleet.meta.deleted_at is not None, "Terminating"),
        (progressing is not None and progressing.status is ConditionStatus.FALSE, "Stalled"),
        (view.fleet.spec.paused, "Paused"),
        (desired == status.replicas == 0, "Idle"),
        (is_complete(view, status), "Available"),
        (progressing is not None and progressing.reason == NEW_AVAILABLE and _has_lost_one(view, status), "Degraded"),
    )
    return next((word for holds, word in words if holds), "Progressing")


def _degraded(reason: str, message: str, view: View) -> Condition:
    return new_condition(DEGRADED, ConditionStatus.TRUE, reason, message, view.now)


def _not_over(view: View, member: Member) -> Iterator[Rebuild]:
    """Yield the rebuilds of what was ready whose places are not filled again; none once as many as should be are ready.

    The replica set's word of that may be older than what is seen of its Ray clusters, and one that is given up may be
    ready again, until its successor is.
    """
    clusters = view.observed.ray_clusters.get(member.replica_set.meta.uid, ())
    ready = {cluster.meta.name for cluster in clusters if cluster.is_ready}
    if member.ready < member.size:
        noted = member.replica_set.status.rebuilds
        yield from (rebuild for rebuild in noted if rebuild.is_open and rebuild.name not in ready)


def _has_lost_one(view: View, status: FleetStatus) -> bool:
    """Whether a Ray cluster served and does not, or is given up; one that starts, as after a growth, is none."""
    if find_condition(status.conditions, DEGRADED) is not None:
        return True
    known = view.replicas.known
    if not status.replicas == status.updated_replicas == view.bounds.desired:
        return False
    if any(state.phase in _OVER for state in known):
        return True
    noted = {uid for member in view.members for uid in member.replica_set.status.ready_since}
    clusters = (cluster for owned in view.observed.ray_clusters.values() for cluster in owned)
    unready = (each for each in clusters if not (each.is_ready or each.is_terminating or each.is_suspended))
    return any(cluster.was_ready or cluster.meta.uid in noted for cluster in unready)
