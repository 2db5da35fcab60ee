"""A surge that finds no room: withdrawn, and the rollout goes on delete-first. Pure.

A surge replica whose pods cannot be scheduled for ``strategy.surgeTimeoutSeconds`` waits for accelerators that the old
replicas hold: without this the rollout would wait for ever. The replica set notes of which revision it was withdrawn,
so the rest of that rollout asks for no surge again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from rayfleet.model.fleet import Fleet, StrategyType
from rayfleet.model.replica import ReplicaPhase
from rayfleet.objects.labels import SURGE_WITHDRAWN_ANNOTATION
from rayfleet.planning.fleet.members import Member, next_revision, revision
from rayfleet.planning.replica.obstacles import NO_ROOM


def is_withdrawn(new: Member, old: Sequence[Member]) -> bool:
    """Whether the surge of the new replica set's present rollout was withdrawn; one that comes back has another."""
    noted = new.replica_set.meta.annotations.get(SURGE_WITHDRAWN_ANNOTATION)
    return noted == str(revision(new)) and revision(new) >= next_revision(old)


def withdrawal_note(new: Member) -> dict[str, str]:
    """Return the annotation by which the new replica set notes that its surge is withdrawn."""
    return {SURGE_WITHDRAWN_ANNOTATION: str(revision(new))}


def stuck_surge(fleet: Fleet, new: Member, surplus: int, now: datetime) -> tuple[int, timedelta | None]:
    """Return how many surge replicas of the new replica set are to be withdrawn, and when to look again.

    ``surplus`` is by how much all sizes together are above the desired one: no more than that is surge.
    """
    is_rolling = fleet.spec.strategy.type is StrategyType.ROLLING_UPDATE
    if surplus <= 0 or not is_rolling or fleet.spec.paused:
        return 0, None
    limit = timedelta(seconds=fleet.spec.strategy.surge_timeout_seconds)
    states = new.replica_set.status.replica_states
    since = [each.since for each in states if each.phase is ReplicaPhase.SCHEDULING and each.reason == NO_ROOM]
    stuck = sum(time + limit <= now for time in since)
    waiting = [time + limit - now for time in since if time + limit > now]
    return min(stuck, surplus, new.size), min(waiting, default=None)
