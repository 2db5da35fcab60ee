"""Keep the one HTTPRoute of a model in a namespace: a weighted backend for each of its fleets. Pure.

Level-triggered, keyed by namespace and route name. All fleets that use the route own it, none controls it: it goes with
the last of them, by us or by the garbage collector when we are away. An object of our name that somebody else made is
never touched. A fleet becomes a backend once its Service is there, so a Gateway meets no reference to nothing.

A refused write is told in the condition ``Routed`` of the fleets that wanted it, reason ``RouteRefused``; the first
write that is taken again takes that back. These are the only writes of a fleet's status that are not its own
controller's, so they name the version that they rest on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.events import EventType
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, SERVICES
from rayfleet.objects.conditions import (
    conditions_of,
    decode_conditions,
    encode_condition,
    new_condition,
    with_condition,
)
from rayfleet.objects.conditions import without_condition as without
from rayfleet.objects.meta import generation_of
from rayfleet.objects.parts import part
from rayfleet.objects.routes import backend_weights
from rayfleet.planning.plan import StatelessPlan
from rayfleet.planning.route.manifest import (
    Backing,
    is_ours,
    route_manifest,
    route_patch,
    weighed_at,
)
from rayfleet.planning.route.observed import ObservedRoute
from rayfleet.planning.route.users import REFUSED, ROUTED, RouteUser
from rayfleet.planning.route.weights import is_urgent, until_calm, weights_of
from rayfleet.planning.writes import (
    Action,
    Create,
    Delete,
    Event,
    Merge,
    Verb,
    permissions,
    ref_of,
    status_permission,
    status_replaced,
)

WRITES = (
    permissions(HTTP_ROUTES, Verb.CREATE, Verb.PATCH, Verb.DELETE)
    | permissions(SERVICES, Verb.DELETE)
    | {status_permission(FLEETS)}
)
"""All that a plan for a route may write; Roles and tests read it."""


def plan_route(observed: ObservedRoute, now: datetime) -> StatelessPlan:
    """Return what to do now for one route."""
    if observed.failure is not None:
        return _refused(observed, observed.failure.message, now)
    if observed.absence is not None:
        return StatelessPlan(status=None)
    desired, wait = _desired(observed, now)
    actions = [*_writes(observed, desired), *_remnants(observed, desired), *_taken_back(observed)]
    return StatelessPlan(actions=tuple(actions), status=None, requeue_after=wait)


def _desired(observed: ObservedRoute, now: datetime) -> tuple[Json | None, timedelta | None]:
    """Return the route as it ought to be now, None for none; and when its weights want another look."""
    current = observed.current
    if observed.is_foreign or observed.keeper is not None:
        return None, None
    before = backend_weights(current) if current is not None else {}
    users = [user for user in observed.routed if _has_backend(observed, user, before)]
    if not users:
        return None, None
    weights = dict(zip((user.service for user in users), weights_of(users), strict=True))
    desired = _manifest(observed, users, weights)
    if len(users) == 1:
        return desired, None
    after, since = backend_weights(desired), weighed_at(current) if current is not None else None
    if before == after:
        return _manifest(observed, users, weights, since), None
    calm_in = until_calm(since, now)
    is_drift = all(user.route.weight is None for user in users) and not is_urgent(before, after)
    if calm_in and is_drift and before.keys() == after.keys():
        return _manifest(observed, users, before, since), calm_in
    return _manifest(observed, users, weights, now), None


def _manifest(
    observed: ObservedRoute, users: Sequence[RouteUser], weights: Mapping[str, int], weighed: datetime | None = None
) -> Json:
    """Return the route with weights by backend; one that is not named has 0."""
    backings = [Backing(user=user, weight=weights.get(user.service, 0)) for user in users]
    return route_manifest(observed.key, backings, observed.defaults, weighed)


def _has_backend(observed: ObservedRoute, user: RouteUser, before: Mapping[str, int]) -> bool:
    """Whether the fleet's Service is there, is somebody else's business, or stands in the route already."""
    return not user.is_own_service or user.service in observed.services or user.service in before


def _writes(observed: ObservedRoute, desired: Json | None) -> Iterator[Action]:
    current = observed.current
    if current is not None and not is_ours(current):
        return
    if desired is None:
        if current is not None and (not observed.routed or observed.keeper is not None):
            yield Delete(resource=HTTP_ROUTES, ref=ref_of(current))
    elif current is None:
        yield Create(resource=HTTP_ROUTES, manifest=desired)
    elif patch := route_patch(current, desired):
        yield Merge(resource=HTTP_ROUTES, ref=ref_of(current), patch=patch)


def _remnants(observed: ObservedRoute, desired: Json | None) -> Iterator[Action]:
    """Yield the end of what has a name of old: after what takes its place, and not while requests may need it."""
    if desired is None and observed.routed and observed.keeper is None:
        return
    for remnant in observed.remnants:
        if remnant.blocks:
            continue
        if remnant.route is not None:
            yield Delete(resource=HTTP_ROUTES, ref=ref_of(remnant.route))
        if remnant.service is not None:
            yield Delete(resource=SERVICES, ref=ref_of(remnant.service))


def _refused(observed: ObservedRoute, message: str, now: datetime) -> StatelessPlan:
    """Return what tells of a refused write: the condition of each fleet that is concerned, and one event."""
    condition = new_condition(ROUTED, ConditionStatus.FALSE, REFUSED, message, now)
    fresh = [user for user in observed.routed if user.refusal != message]
    actions = []
    for user in fresh:
        known = decode_conditions(conditions_of(user.raw))
        conditions = with_condition(known, replace(condition, observed_generation=generation_of(user.raw)))
        actions.append(_status(user, [encode_condition(each) for each in conditions]))
    events = (Event(type=EventType.WARNING, reason=REFUSED, message=message),) if fresh else ()
    return StatelessPlan(actions=tuple(actions), status=None, events=events)


def _taken_back(observed: ObservedRoute) -> Iterator[Action]:
    """Yield the statuses without the refusal that they tell of: nothing is refused now."""
    for user in observed.users:
        if user.refusal:
            known = decode_conditions(conditions_of(user.raw))
            yield _status(user, [encode_condition(each) for each in without(known, ROUTED)])


def _status(user: RouteUser, conditions: Sequence[Json]) -> Action:
    status = {**part(user.raw, "status"), "conditions": list(conditions)}
    return status_replaced(FLEETS, ref_of(user.raw, at_this_version=True), status)
