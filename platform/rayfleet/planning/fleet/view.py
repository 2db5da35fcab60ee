"""A fleet seen whole: its replica sets with their Ray clusters counted, new and old told apart. Pure.

Counts come from the Ray clusters themselves, not from the replica sets' statuses, which lag behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.availability import Availability, availability_of
from rayfleet.planning.fleet.bounds import Bounds, rollout_bounds
from rayfleet.planning.fleet.identity import is_of_revision
from rayfleet.planning.fleet.replicas import Replicas, replicas_of
from rayfleet.planning.observed import ObservedFleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One replica set with its Ray clusters counted.

    ``size`` is what its spec asks for, ``active`` what exists and is not terminating, ``ready`` and ``available`` of
    these. ``holds_terminating`` says whether terminating ones keep their place.
    """

    replica_set: ReplicaSet
    active: int
    terminating: int
    ready: int
    available: int
    holds_terminating: bool

    @property
    def size(self) -> int:
        """Return the desired number of Ray clusters."""
        return self.replica_set.spec.replicas

    @property
    def usable(self) -> int:
        """Return how many stay available at its size: a surplus goes with the unready ones first."""
        return min(self.size, self.available)

    @property
    def occupied(self) -> int:
        """Return how many places it takes now: those asked for or still there, and those on their way out."""
        return max(self.size, self.active) + self.held

    @property
    def held(self) -> int:
        """Return the places that terminating Ray clusters keep."""
        return self.terminating if self.holds_terminating else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a fleet's rollout is decided on.

    ``replicas`` are its Ray clusters one by one, as far as the replica sets have said where they stand. ``old`` is in
    order of age, oldest first; ``new`` is None until it is made.
    """

    fleet: Fleet
    template: RayClusterTemplate
    identity: str
    bounds: Bounds
    new: Member | None
    old: tuple[Member, ...]
    taken_names: frozenset[str]
    next_change: timedelta | None
    replicas: Replicas

    @property
    def members(self) -> tuple[Member, ...]:
        """Return all replica sets, the new one last."""
        return self.old if self.new is None else (*self.old, self.new)

    def room_for(self, member: Member | None) -> int:
        """Return the largest size that ``member`` (None: one to be made) may have within the surge."""
        others = sum(other.occupied for other in self.members if other is not member)
        return self.bounds.most - others - (member.held if member else 0)


def view_of(observed: ObservedFleet, now: datetime) -> View:
    """Count everything once."""
    fleet = observed.fleet
    has_accelerators = accelerators(observed.template.spec) > 0
    min_ready = timedelta(seconds=fleet.spec.min_ready_seconds)
    members: list[Member] = []
    changes: list[timedelta] = []
    for replica_set in sorted(observed.replica_sets, key=_age):
        availability, member = _member(observed, replica_set, min_ready, now)
        members.append(member)
        changes += [availability.next_change] if availability.next_change is not None else []
    template, identity = observed.template, observed.identity
    new = next((member for member in members if is_of_revision(member.replica_set, identity, template)), None)
    replicas = replicas_of(observed, new.replica_set if new is not None else None, now)
    changes += [replicas.next_change] if replicas.next_change is not None else []
    return View(
        fleet=fleet,
        template=template,
        identity=identity,
        bounds=rollout_bounds(fleet.spec, has_accelerators=has_accelerators),
        new=new,
        old=tuple(member for member in members if member is not new),
        taken_names=observed.taken_names | {member.replica_set.meta.name for member in members},
        next_change=min(changes, default=None),
        replicas=replicas,
    )


def total_size(members: Sequence[Member]) -> int:
    """Return the sum of the sizes."""
    return sum(member.size for member in members)


def _age(replica_set: ReplicaSet) -> tuple[float, str]:
    created = replica_set.meta.created_at
    return (created.timestamp() if created else float("inf")), replica_set.meta.name


def _member(
    observed: ObservedFleet, replica_set: ReplicaSet, min_ready: timedelta, now: datetime
) -> tuple[Availability, Member]:
    clusters = observed.ray_clusters.get(replica_set.meta.uid, ())
    active = [cluster for cluster in clusters if not cluster.is_terminating]
    availability = availability_of(active, replica_set.status.ready_since, min_ready, now)
    member = Member(
        replica_set=replica_set,
        active=len(active),
        terminating=len(clusters) - len(active),
        ready=len(availability.since),
        available=len(availability.available),
        holds_terminating=accelerators(replica_set.spec.template.spec) > 0,
    )
    return availability, member
