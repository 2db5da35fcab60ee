"""What belongs to an object, for its events: itself, what it owns, and what it owned while that was there. Pure.

A child that is gone has no owner references to read any more, so it is known by its name, which begins with its owner's
and a dash. Of a fleet that is asked of its replica sets (their names end in a hash): another fleet may be called
``NAME-b``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.events import EventFacts
from rayfleet.objects.meta import kind_of, name_of, uid_of
from rayfleet.objects.owners import controller_uid

_CHILDREN = frozenset({REPLICA_SETS.kind, RAY_CLUSTERS.kind, PODS.kind, "Service", "Job"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """``uids`` of those that are there, ``prefixes`` of the names of children that may have been."""

    namespace: str
    uids: frozenset[str]
    prefixes: tuple[str, ...]

    def has(self, event: EventFacts) -> bool:
        """Whether an event tells of one of the family."""
        is_child = event.kind in _CHILDREN and event.name.startswith(self.prefixes)
        return event.namespace == self.namespace and (event.uid in self.uids or is_child)


def family_of(head: ReadOnlyJson, namespace: str, others: Iterable[ReadOnlyJson]) -> Family:
    """Return the family of ``head``, of whose children and grandchildren some are among ``others``."""
    members = {uid_of(head): head}
    candidates = list(others)
    while True:
        more = {uid_of(each): each for each in candidates if controller_uid(each) in members} | members
        if len(more) == len(members):
            break
        members = more
    is_fleet = kind_of(head) == FLEETS.kind
    roots = [each for each in members.values() if kind_of(each) == REPLICA_SETS.kind] if is_fleet else [head]
    return Family(namespace=namespace, uids=frozenset(members), prefixes=tuple(f"{name_of(each)}-" for each in roots))
