"""A fleet's replicas one by one, as its replica sets say where they stand: which of them need a look. Pure.

A replica set's status lags behind the Ray clusters, so what it says of one that is gone is left out, and one that is
ready by now is told as ready: what a start that goes well passes through is never written into the fleet's status. That
somebody is well is told with whatever else is written, and is no reason to write.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.replica.stages import stages_after
from rayfleet.planning.replica.summary import MOST_LISTED, in_order_of_need, in_trouble, is_waiting

_SLOW_AFTER = timedelta(seconds=10)  # a choice: a start that takes longer is worth telling where it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """``known`` are all of which a replica set has said where they stand, ``new`` those of the present template.

    ``listed`` is for the fleet's status, bounded: those that need a look first, in trouble or waiting for long, then
    those that are well. ``next_change`` is when time alone makes one that waits worth listing.
    """

    known: tuple[ReplicaState, ...]
    new: tuple[ReplicaState, ...]
    listed: tuple[ReplicaState, ...]
    next_change: timedelta | None

    @property
    def listed_new(self) -> tuple[ReplicaState, ...]:
        """Return the listed ones of the present template, in the same order."""
        uids = {state.uid for state in self.new}
        return tuple(state for state in self.listed if state.uid in uids)


def replicas_of(observed: ObservedFleet, new: ReplicaSet | None, now: datetime) -> Replicas:
    """Return where the fleet's replicas stand; ``new`` is the replica set of the present template."""
    pairs = {replica_set.meta.uid: tuple(_pairs(observed, replica_set, now)) for replica_set in observed.replica_sets}
    every = [pair for pairs_of_one in pairs.values() for pair in pairs_of_one]
    waits = [wait for cluster, state in every if (wait := _until_slow(cluster, state, now)) is not None]
    listed = [replace(state, incarnation="") for cluster, state in every if _until_slow(cluster, state, now) is None]
    return Replicas(
        known=tuple(state for _, state in every),
        new=tuple(state for _, state in pairs[new.meta.uid]) if new is not None else (),
        listed=tuple(in_order_of_need(listed)[:MOST_LISTED]),
        next_change=min(waits, default=None),
    )


def _pairs(
    observed: ObservedFleet, replica_set: ReplicaSet, now: datetime
) -> Iterator[tuple[RayCluster, ReplicaState]]:
    """Yield a replica set's Ray clusters with what it says of them, and will say, unless that is outdated."""
    states = {state.uid: state for state in replica_set.status.replica_states}
    for cluster in observed.ray_clusters.get(replica_set.meta.uid, ()):
        state = states.get(cluster.meta.uid)
        if state is not None and cluster.is_ready and is_waiting(state):
            yield cluster, _now_ready(state, now)
        elif state is not None and not _is_outdated(cluster, state):
            yield cluster, state


def _now_ready(state: ReplicaState, now: datetime) -> ReplicaState:
    """Return what a replica set will say of a Ray cluster that it did not see ready yet."""
    return ReplicaState(
        name=state.name,
        uid=state.uid,
        phase=ReplicaPhase.READY,
        since=now,
        stages=stages_after(state, ReplicaPhase.READY, now),
    )


def _is_outdated(cluster: RayCluster, state: ReplicaState) -> bool:
    if cluster.is_terminating:
        return state.phase is not ReplicaPhase.TERMINATING
    return state.phase is ReplicaPhase.READY and not cluster.is_ready


def _until_slow(cluster: RayCluster, state: ReplicaState, now: datetime) -> timedelta | None:
    """Return how long until a replica that waits is worth listing; None: it is, or it is for another reason."""
    created = cluster.meta.created_at
    if created is None or not is_waiting(state) or in_trouble(state):
        return None
    left = created + _SLOW_AFTER - now
    return left if timedelta() < left <= _SLOW_AFTER else None
