"""What a pass for a route read, and what a fleet's pass reads of its route. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rayfleet.model.absence import Absence
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import RouteDefaults
from rayfleet.planning.route.manifest import is_ours
from rayfleet.planning.route.names_kept import Claim, claim_of, keeper
from rayfleet.planning.route.users import RouteUser
from rayfleet.planning.writes import WriteFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class Remnant:
    """A Service or HTTPRoute of ours under a name of old; ``blocks``: requests may still need it."""

    route: ReadOnlyJson | None = None
    service: ReadOnlyJson | None = None
    blocks: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedRoute:
    """A model's route in one namespace, and all that bears on it.

    ``users`` are the namespace's fleets of the model, oldest first, whatever they want; ``services`` the names of those
    of their Services that are there. ``current`` is the object at ``key``, whosever. ``rivals`` are the claims of other
    namespaces. ``absence``: routes cannot be read now.
    """

    key: ObjectKey
    users: tuple[RouteUser, ...] = ()
    services: frozenset[str] = frozenset()
    current: ReadOnlyJson | None = None
    rivals: tuple[Claim, ...] = ()
    remnants: tuple[Remnant, ...] = ()
    defaults: RouteDefaults = field(default_factory=RouteDefaults)
    absence: Absence | None = None
    failure: WriteFailure | None = None

    @property
    def routed(self) -> Sequence[RouteUser]:
        """Return the fleets that want a route."""
        return tuple(user for user in self.users if user.wants_route)

    @property
    def keeper(self) -> Claim | None:
        """Return the claim of another namespace that keeps the model's name; None: it is this one's."""
        own = claim_of(self.users, self.current, self.defaults)
        return None if own is None else keeper(own, self.rivals)

    @property
    def is_foreign(self) -> bool:
        """Whether somebody else's object has the route's name."""
        return self.current is not None and not is_ours(self.current)
