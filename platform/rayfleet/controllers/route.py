"""The route controller: the HTTPRoute of each model in each namespace.

What it reads and what wakes it; the decisions are ``planning/route``'s. Its keys are those of routes, whether they are
there or not: whatever changes about a fleet wakes the route of its model, in each namespace that has fleets of it, for
one may have to give the name up to another. A store files fleets by the name of their route, so nothing is scanned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from rayfleet.controllers.reach import fleets_of_slice
from rayfleet.kube.watches import Reflectors, Stores
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import RouteDefaults
from rayfleet.model.resources import ENDPOINT_SLICES, FLEETS, HTTP_ROUTES, SERVICES
from rayfleet.objects.meta import key_of, kind_of, name_of, namespace_of, uid_of
from rayfleet.objects.owners import controller_of, owners_of
from rayfleet.objects.services import ready_addresses
from rayfleet.planning.model_name import model_of
from rayfleet.planning.names import route_name
from rayfleet.planning.route.manifest import is_fleet, is_ours
from rayfleet.planning.route.names_kept import Claim, claim_of
from rayfleet.planning.route.observed import ObservedRoute, Remnant
from rayfleet.planning.route.plan import WRITES, plan_route
from rayfleet.planning.route.users import RouteUser, bears_on_routes, in_order_of_age, names_of_route, route_user
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch


def route_steps(stores: Stores, defaults: RouteDefaults | None = None) -> Steps[ObservedRoute]:
    """Return the read and the decision for routes."""
    flags = defaults or RouteDefaults()
    return Steps(
        find=lambda key: _about(key, stores),
        observe=lambda raw: observed_route(_key_of_route(raw), stores, flags),
        plan=plan_route,
        with_failure=lambda observed, failure: replace(observed, failure=failure),
        writes=WRITES,
    )


def route_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes a route: fleets, it itself, Services of fleets, and for what has a name of old its slices."""
    return (
        Watch(
            reflector=reflectors[FLEETS],
            keys=lambda raw: _routes_of_fleet(raw, reflectors),
            matters=bears_on_routes,
            is_resynced=True,
        ),
        Watch(
            reflector=reflectors[HTTP_ROUTES],
            keys=lambda raw: _routes_of_route(raw, reflectors),
            is_resynced=True,
            is_optional=True,
        ),
        Watch(reflector=reflectors[SERVICES], keys=lambda raw: _routes_of_service(raw, reflectors)),
        Watch(
            reflector=reflectors[ENDPOINT_SLICES], keys=lambda raw: _routes_of_slice(raw, reflectors), is_optional=True
        ),
    )


def observed_route_of(fleet: ReadOnlyJson, stores: Stores, defaults: RouteDefaults) -> ObservedRoute | None:
    """Return what is known of the route of a fleet's model, None when it names no model."""
    return observed_route(_key_of_route(fleet), stores, defaults) if model_of(fleet) is not None else None


def observed_route(key: ObjectKey, stores: Stores, defaults: RouteDefaults) -> ObservedRoute:
    """Return everything that a plan for the route needs, from the stores only. No effect."""
    by_namespace: dict[str, list[RouteUser]] = {}
    for user in _users(key.name, stores):
        by_namespace.setdefault(user.key.namespace, []).append(user)
    users = tuple(by_namespace.pop(key.namespace, ()))
    services = stores.store(SERVICES)
    return ObservedRoute(
        key=key,
        users=users,
        services=frozenset(name_of(raw) for user in users for raw in services.by_owner(user.uid)),
        current=stores.store(HTTP_ROUTES).get(key),
        rivals=tuple(_rivals(key.name, by_namespace, stores, defaults)),
        remnants=tuple(remnant for user in users for remnant in _remnants(user, key, stores)),
        defaults=defaults,
        absence=stores.absences((HTTP_ROUTES,)).get(HTTP_ROUTES),
    )


def fleets_of_route(route: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the fleets that have something to say of a route: all of its model's, and those that own it."""
    for fleet in stores.store(FLEETS).by(names_of_route, name_of(route)):
        yield key_of(fleet)
    for owner in owners_of(route):
        if is_fleet(owner):
            yield ObjectKey(namespace=namespace_of(route), name=owner.name)


def other_fleets_of_model(fleet: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the other fleets of a fleet's model: whose the name is may have changed."""
    for name in names_of_route(fleet):
        for other in stores.store(FLEETS).by(names_of_route, name):
            if uid_of(other) != uid_of(fleet):
                yield key_of(other)


def _about(key: ObjectKey, stores: Stores) -> ReadOnlyJson | None:
    """Return what a pass for a route is about: its oldest fleet, else our route that no fleet wants any more."""
    oldest = next((user for user in _users(key.name, stores) if user.key.namespace == key.namespace), None)
    if oldest is not None:
        return oldest.raw
    route = stores.store(HTTP_ROUTES).get(key)
    return route if route is not None and is_ours(route) else None


def _users(name: str, stores: Stores) -> tuple[RouteUser, ...]:
    """Return the fleets that have part in the routes of a name, in all namespaces, oldest first."""
    fleets = stores.store(FLEETS)
    return in_order_of_age(fleets.decoded(raw, route_user) for raw in fleets.by(names_of_route, name))


def _key_of_route(about: ReadOnlyJson) -> ObjectKey:
    """Return the key of a fleet's route; of a route its own."""
    if kind_of(about) != FLEETS.kind:
        return key_of(about)
    return ObjectKey(namespace=namespace_of(about), name=route_name(model_of(about) or ""))


def _rivals(
    name: str, by_namespace: dict[str, list[RouteUser]], stores: Stores, defaults: RouteDefaults
) -> Iterator[Claim]:
    for namespace, users in by_namespace.items():
        route = stores.store(HTTP_ROUTES).get(ObjectKey(namespace=namespace, name=name))
        claim = claim_of(users, route, defaults)
        if claim is not None:
            yield claim


def _remnants(user: RouteUser, key: ObjectKey, stores: Stores) -> Iterator[Remnant]:
    """Yield what a fleet controls under a name of old: each of its routes but ``key``, and its other Services."""
    services = stores.store(SERVICES).by_owner(user.uid)
    of_old = [service for service in services if user.is_own_service and name_of(service) != user.service]
    heir = next((service for service in services if name_of(service) == user.service), None)
    serves = any(_has_endpoints(service, stores) for service in of_old)
    blocks = bool(of_old) and (heir is None or (serves and not _has_endpoints(heir, stores)))
    for route in stores.store(HTTP_ROUTES).by_owner(user.uid):
        if key_of(route) != key:
            yield Remnant(route=route, blocks=blocks)
    for service in of_old:
        yield Remnant(service=service, blocks=blocks)


def _has_endpoints(service: ReadOnlyJson, stores: Stores) -> bool:
    slices = stores.store(ENDPOINT_SLICES).by_owner(uid_of(service))
    return any(address for each in slices for address in ready_addresses(each))


def _routes_of_fleet(fleet: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the keys of the route of a fleet's model, in its namespace and in each that has fleets of the model."""
    for name in names_of_route(fleet):
        yield ObjectKey(namespace=namespace_of(fleet), name=name)
        yield from _in_all_namespaces(name, stores)


def _in_all_namespaces(name: str, stores: Stores) -> Iterator[ObjectKey]:
    namespaces = {namespace_of(raw) for raw in stores.store(FLEETS).by(names_of_route, name)}
    yield from (ObjectKey(namespace=namespace, name=name) for namespace in sorted(namespaces))


def _routes_of_route(route: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the keys of a route and of its rivals; one of old wakes what takes its place."""
    yield from _in_all_namespaces(name_of(route), stores)
    heirs = [key for owner in owners_of(route) if is_fleet(owner) for key in _route_of(route, owner.name, stores)]
    yield from heirs or (key_of(route),)


def _route_of(owned: ReadOnlyJson, fleet: str, stores: Stores) -> Iterable[ObjectKey]:
    """Return the key of the route of a fleet beside ``owned``; none when there is no such fleet, or no model."""
    raw = stores.store(FLEETS).get(ObjectKey(namespace=namespace_of(owned), name=fleet))
    return (_key_of_route(raw),) if raw is not None and model_of(raw) is not None else ()


def _routes_of_service(service: ReadOnlyJson, stores: Stores) -> Iterable[ObjectKey]:
    owner = controller_of(service)
    return _route_of(service, owner.name, stores) if owner is not None and is_fleet(owner) else ()


def _routes_of_slice(endpoint_slice: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the route that waits for a slice: that of a fleet which still has a Service of old."""
    for key in fleets_of_slice(endpoint_slice, stores):
        fleet = stores.store(FLEETS).get(key)
        if fleet is not None and len(stores.store(SERVICES).by_owner(uid_of(fleet))) > 1:
            yield from _routes_of_fleet(fleet, stores)
