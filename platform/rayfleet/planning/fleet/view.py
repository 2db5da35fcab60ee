"""A fleet seen whole: its replica sets with their Ray clusters counted, new and old told apart. Pure.

Counts come from the Ray clusters themselves, not from the replica sets' statuses, which lag behind; only what their
pods alone can tell (drained, on a lost node) is taken from there.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.model.replica import NODE_LOST, ReplicaPhase
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.availability import Availability, availability_of
from rayfleet.planning.fleet.bounds import Bounds, rollout_bounds
from rayfleet.planning.fleet.identity import is_of_revision
from rayfleet.planning.fleet.members import Member, total_size
from rayfleet.planning.fleet.replicas import Replicas, replicas_of
from rayfleet.planning.fleet.surge import is_withdrawn, stuck_surge
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.replica_set.leaving import holds_place

_OUT_OF_SERVICE = frozenset({ReplicaPhase.DRAINING, ReplicaPhase.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a fleet's rollout is decided on.

    ``replicas`` are its Ray clusters one by one, as far as the replica sets have said where they stand. ``old`` is in
    order of age, oldest first; ``new`` is None until it is made. ``stuck_surge`` is how many surge replicas of it are
    to be withdrawn. ``observed`` is what was counted, ``now`` when.
    """

    observed: ObservedFleet
    now: datetime
    fleet: Fleet
    template: RayClusterTemplate
    identity: str
    bounds: Bounds
    new: Member | None
    old: tuple[Member, ...]
    taken_names: frozenset[str]
    stuck_surge: int
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
    min_ready = timedelta(seconds=fleet.spec.min_ready_seconds)
    members: list[Member] = []
    changes: list[timedelta | None] = []
    for replica_set in sorted(observed.replica_sets, key=_age):
        availability, member = _member(observed, replica_set, min_ready, now)
        members.append(member)
        changes.append(availability.next_change)
    template, identity = observed.template, observed.identity
    new = next((member for member in members if is_of_revision(member.replica_set, identity, template)), None)
    replicas = replicas_of(observed, new.replica_set if new is not None else None, now)
    changes.append(replicas.next_change)
    old = tuple(member for member in members if member is not new)
    bounds = rollout_bounds(fleet.spec, has_accelerators=accelerators(template.spec) > 0)
    stuck = 0
    if new is not None and is_withdrawn(new, old):
        bounds = bounds.delete_first()
    elif new is not None:
        stuck, again = stuck_surge(fleet, new, total_size(members) - bounds.desired, now)
        changes.append(again)
    return View(
        observed=observed,
        now=now,
        fleet=fleet,
        template=template,
        identity=identity,
        bounds=bounds,
        new=new,
        old=old,
        taken_names=observed.taken_names | {member.replica_set.meta.name for member in members},
        stuck_surge=stuck,
        next_change=min((change for change in changes if change is not None), default=None),
        replicas=replicas,
    )


def _age(replica_set: ReplicaSet) -> tuple[float, str]:
    created = replica_set.meta.created_at
    return (created.timestamp() if created else float("inf")), replica_set.meta.name


def _member(
    observed: ObservedFleet, replica_set: ReplicaSet, min_ready: timedelta, now: datetime
) -> tuple[Availability, Member]:
    clusters = observed.ray_clusters.get(replica_set.meta.uid, ())
    active = [cluster for cluster in clusters if not cluster.is_terminating]
    availability = availability_of(active, replica_set.status.ready_since, min_ready, now, observed.reachable)
    states = replica_set.status.replica_states
    policy = observed.fleet.spec.replacement_policy
    unavailable = {state.uid for state in states if state.phase in _OUT_OF_SERVICE}
    lost = {state.uid for state in states if state.reason == NODE_LOST}
    terminating = sum(cluster.is_terminating and cluster.meta.uid not in lost for cluster in clusters)
    keeps = terminating > 0 and holds_place(replace(replica_set.spec, replacement_policy=policy))
    member = Member(
        replica_set=replica_set,
        active=len(active),
        terminating=terminating,
        ready=len(availability.since),
        available=len(availability.available - unavailable),
        held=terminating if keeps else 0,
    )
    return availability, member
