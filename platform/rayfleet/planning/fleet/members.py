"""A fleet's replica sets with their Ray clusters counted. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rayfleet.model.fleet import ReplicaSet
from rayfleet.objects.labels import REVISION_ANNOTATION
from rayfleet.objects.parts import written_count


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One replica set with its Ray clusters counted.

    ``size`` is what its spec asks for, ``active`` what exists and is not terminating, ``ready`` and ``available`` of
    these. ``held`` are the places that terminating ones keep.
    """

    replica_set: ReplicaSet
    active: int
    terminating: int
    ready: int
    available: int
    held: int

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


def total_size(members: Sequence[Member]) -> int:
    """Return the sum of the sizes."""
    return sum(member.size for member in members)


def revision_of(replica_set: ReplicaSet) -> int:
    """Return the number of the revision; 0 when there is none that can be read."""
    return written_count(replica_set.meta.annotations.get(REVISION_ANNOTATION, "")) or 0


def revision(member: Member) -> int:
    """Return the number of the revision; 0 when there is none that can be read."""
    return revision_of(member.replica_set)


def next_revision(old: Sequence[Member]) -> int:
    """Return one more than the highest revision of the old ones."""
    return max((revision(member) for member in old), default=0) + 1
