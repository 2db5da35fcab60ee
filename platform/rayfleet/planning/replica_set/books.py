"""Every Ray cluster of a replica set in its column: what stands, leaves, keeps a place, is missing. Pure.

A place is taken by a Ray cluster until its pods are gone (or its node is); by a broken one, a drained one, a Failed one
as well. So there are never more sets of accelerators than the policies allow. The only one that is left out is one that
is given up with the order CreateFirst: its successor is made beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.policies import RecoveryOrder
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.replica_set.leaving import holds_place, is_lost, lost_after
from rayfleet.planning.replica_set.places import BURST, free_places
from rayfleet.planning.replica_set.recovery import Verdict, forming_wait, verdicts
from rayfleet.planning.replica_set.replicas import Replica, replicas_of
from rayfleet.planning.replica_set.victims import deletion_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """``active`` are not terminating; ``counted`` are those of them that fill a place of the desired number.

    ``held`` are terminating and keep their place, ``lost`` would but for their dead nodes. ``given_up`` are names of
    active ones that are noted as rebuilt. ``verdicts`` are by UID.
    """

    replica_set: ReplicaSet
    active: tuple[Replica, ...]
    counted: tuple[Replica, ...]
    terminating: tuple[Replica, ...]
    held: tuple[Replica, ...]
    lost: tuple[Replica, ...]
    given_up: frozenset[str]
    verdicts: Mapping[str, Verdict]

    @property
    def missing(self) -> tuple[int, ...]:
        """Return the places that are to be filled now, in order; the rest of very many waits for a later pass."""
        number = self.replica_set.spec.replicas - len(self.counted) - len(self.held)
        occupied = {replica.place for replica in (*self.counted, *self.held)}
        return tuple(islice(free_places(self.replica_set, occupied), max(0, min(number, BURST))))

    @property
    def newly_broken(self) -> tuple[Replica, ...]:
        """Return those that are to be rebuilt and not yet noted so; surplus ones go without that."""
        going = {replica.uid for replica in self.surplus}
        due = (replica for replica in self.active if replica.uid not in going and replica.name not in self.given_up)
        return tuple(each for each in due if each.uid in self.verdicts and self.verdicts[each.uid].is_given_up)

    @property
    def surplus(self) -> tuple[Replica, ...]:
        """Return those beyond the desired number, the one to delete first in front."""
        number = max(0, len(self.counted) - self.replica_set.spec.replicas)
        return tuple(deletion_order(self.counted, self.given_up)[:number])

    @property
    def leaving(self) -> tuple[Replica, ...]:
        """Return all that are to be deleted now, in that order: the surplus, and what is given up."""
        surplus = self.surplus
        more = [each for each in self.active if each.name in self.given_up and each not in surplus]
        return (*surplus, *(each for each in more if each in self.counted or self._have_successors))

    def look_again(self, now: datetime) -> list[timedelta]:
        """Return how long until time alone changes something in the books."""
        held_until = (lost_after(replica.pods) for replica in self.held)
        forming = (forming_wait(replica, self.replica_set, now) for replica in self.active)
        return [
            *(verdict.look_again for verdict in self.verdicts.values() if verdict.look_again is not None),
            *(time - now for time in held_until if time is not None and time > now),
            *(wait for wait in forming if wait),
        ]

    @property
    def _have_successors(self) -> bool:
        """Whether as many are ready as there should be, beside those that go after their successors."""
        ready = sum(each.cluster.is_ready for each in self.counted)
        return ready >= self.replica_set.spec.replicas


def books_of(observed: ObservedReplicaSet, now: datetime) -> Books:
    """Return the books as they stand."""
    replica_set = observed.replica_set
    replicas = tuple(replicas_of(observed))
    active = tuple(replica for replica in replicas if not replica.cluster.is_terminating)
    terminating = tuple(replica for replica in replicas if replica.cluster.is_terminating)
    given_up = frozenset(rebuild.name for rebuild in replica_set.status.rebuilds) & {each.name for each in active}
    keeps = holds_place(replica_set.spec)
    is_first_made = replica_set.spec.recovery.order is RecoveryOrder.CREATE_FIRST
    return Books(
        replica_set=replica_set,
        active=active,
        counted=_without(active, given_up) if is_first_made else active,
        terminating=terminating,
        held=tuple(each for each in terminating if keeps and not is_lost(each, now)),
        lost=tuple(each for each in terminating if keeps and is_lost(each, now)),
        given_up=given_up,
        verdicts=verdicts(replica_set, active, now) if replica_set.meta.deleted_at is None else {},
    )


def _without(replicas: Sequence[Replica], names: frozenset[str]) -> tuple[Replica, ...]:
    return tuple(replica for replica in replicas if replica.name not in names)
