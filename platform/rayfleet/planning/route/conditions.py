"""What a fleet says of its route: ``Routed`` and ``RouteAccepted``, each only while something stands in the way. Pure.

``Routed`` False: the kind is not there, somebody else's object has the route's name, a write was refused (told by the
route's own controller, see ``plan``), or the Gateway does not take it: then in the Gateway's own words, from the
``Accepted`` and ``ResolvedRefs`` of ``status.parents`` (Gateway API v1). ``RouteAccepted`` False: another namespace
keeps the model's name.
"""

from collections.abc import Iterator
from datetime import datetime

from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.conditions import Conditions, find_condition, new_condition, with_condition, without_condition
from rayfleet.objects.routes import complaints
from rayfleet.planning.route.observed import ObservedRoute
from rayfleet.planning.route.users import REFUSED, ROUTED

ROUTE_ACCEPTED = "RouteAccepted"
NAME_CONFLICT = "ModelNameConflict"
NOT_OWNED = "NotOwned"


def with_routing(conditions: Conditions, observed: ObservedRoute | None, fleet: ObjectKey, now: datetime) -> Conditions:
    """Return a fleet's conditions with what is to be said of its route; ``observed`` None: it names no model."""
    user = next((user for user in observed.routed if user.key == fleet), None) if observed else None
    if observed is None or user is None:
        return without_condition(without_condition(conditions, ROUTED), ROUTE_ACCEPTED)
    conditions = _with_acceptance(conditions, observed, user.model, now)
    routed = find_condition(conditions, ROUTED)
    if routed is not None and routed.reason == REFUSED and observed.absence is None:
        return conditions
    problem = next(_problems(observed), None)
    if problem is None:
        return without_condition(conditions, ROUTED)
    reason, message = problem
    return with_condition(conditions, new_condition(ROUTED, ConditionStatus.FALSE, reason, message, now))


def _with_acceptance(conditions: Conditions, observed: ObservedRoute, model: str, now: datetime) -> Conditions:
    keeper = observed.keeper
    if keeper is None:
        return without_condition(conditions, ROUTE_ACCEPTED)
    message = f"Requests for the model {model} go to fleet {keeper.fleet}, which had the name first."
    condition = new_condition(ROUTE_ACCEPTED, ConditionStatus.FALSE, NAME_CONFLICT, message, now)
    return with_condition(conditions, condition)


def _problems(observed: ObservedRoute) -> Iterator[tuple[str, str]]:
    """Yield reason and message of what stands in the way, the nearest first."""
    if observed.absence is not None:
        yield observed.absence.reason, observed.absence.message
    elif observed.is_foreign:
        yield NOT_OWNED, f"HTTPRoute {observed.key.name} exists and is not rayfleet's: delete or rename it"
    elif observed.current is not None:
        for complaint in complaints(observed.current):
            yield complaint.reason, f"Gateway {complaint.gateway}: {complaint.message}"
