"""Whose a model's name is, when fleets of several namespaces want it at one Gateway. Pure.

A name is answered for by one namespace: a Gateway would send requests to the oldest route alone, and say nothing. Who
has a route for it keeps it, the oldest first; without any, the oldest fleet gets it. Namespaces whose routes no request
can both match, for they are for other Gateways or other host names, do not meet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import RouteDefaults
from rayfleet.objects.meta import created_at
from rayfleet.planning.route.manifest import hostnames_of, is_ours, parent_of
from rayfleet.planning.route.users import RouteUser

_NEVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A namespace's fleets of one model: since when they have a route, the oldest of them, what requests they want."""

    fleet: ObjectKey
    routed: float
    created: float
    gateway: tuple[str, str]
    hostnames: tuple[str, ...]

    @property
    def rank(self) -> tuple[float, float, str, str]:
        """Return what sorts claims: the best first."""
        return self.routed, self.created, self.fleet.namespace, self.fleet.name


def claim_of(users: Sequence[RouteUser], route: ReadOnlyJson | None, defaults: RouteDefaults) -> Claim | None:
    """Return the claim of a namespace's fleets of a model, oldest first; None: none of them wants a route."""
    users = [user for user in users if user.wants_route]
    if not users:
        return None
    parent, created = parent_of(users, defaults), None
    if route is not None and is_ours(route):
        created = created_at(route)
    return Claim(
        fleet=users[0].key,
        routed=created.timestamp() if created else _NEVER,
        created=users[0].created,
        gateway=(parent.namespace, parent.name),
        hostnames=hostnames_of(users, defaults),
    )


def keeper(own: Claim, others: Iterable[Claim]) -> Claim | None:
    """Return the claim that ``own`` gives way to; None: the name is its own."""
    kept: list[Claim] = []
    for claim in sorted((own, *others), key=lambda claim: claim.rank):
        ahead = next((each for each in kept if _meet(each, claim)), None)
        if claim is own:
            return ahead
        if ahead is None:
            kept.append(claim)
    return None


def _meet(one: Claim, other: Claim) -> bool:
    """Whether a request may match both."""
    if one.gateway != other.gateway:
        return False
    if not one.hostnames or not other.hostnames:
        return True
    return any(_overlap(left, right) for left in one.hostnames for right in other.hostnames)


def _overlap(one: str, other: str) -> bool:
    """Whether two host names, one of which may begin with ``*.``, stand for a common one."""
    if one.startswith("*."):
        return other.endswith(one[1:])
    return one == other or (other.startswith("*.") and one.endswith(other[1:]))
