"""From HTTPRoutes, Gateways, Services, EndpointSlices and ReferenceGrants to a route table, step by step. Pure.

A change costs what hangs on it: a slice the routes that name its Service, a grant those that reach into its namespace,
a Gateway those attached to it. Changes are noted at once (``put``) and worked off in pieces (``work``), endpoints
first: a dead one must not wait for a thousand new routes. Every table shares with the one before what did not change.

Invariant: the table is the one that the same objects give in any order, and an object that cannot be used changes
nothing of the others.
"""

from collections.abc import Callable, Iterable, Iterator

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import (
    ENDPOINT_SLICES,
    GATEWAYS,
    HTTP_ROUTES,
    REFERENCE_GRANTS,
    SERVICES,
    ResourceType,
)
from rayfleet_gateway.route.gateways import GatewaySpec, read_gateway
from rayfleet_gateway.route.one_route import CompiledRoute, Surroundings, any_profile, compiled_route
from rayfleet_gateway.route.problems import Problem, problem_of
from rayfleet_gateway.route.services import Services
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.route.tabling import Tabling

KINDS: tuple[ResourceType, ...] = (HTTP_ROUTES, GATEWAYS, SERVICES, ENDPOINT_SLICES, REFERENCE_GRANTS)
"""What a table is made from."""


class RouteCompiler:
    """``only``: the Gateway whose routes are used, None: those of our class and those of nobody.

    ``profile_fault`` says what is wrong with the name of a profile, empty: nothing.

    ``routes`` and ``gateways`` are what became of each object, by key; read them, never change them.
    """

    def __init__(self, only: ObjectKey | None = None, profile_fault: Callable[[str], str] = any_profile) -> None:
        self.routes: dict[ObjectKey, CompiledRoute] = {}
        self.gateways: dict[ObjectKey, GatewaySpec] = {}
        self._only = only
        self._raw: dict[ObjectKey, ReadOnlyJson] = {}
        self._services = Services()
        self._around = Surroundings(
            services=self._services, gateways=self.gateways, only=only, profile_fault=profile_fault
        )
        self._tabling = Tabling()
        self._users: dict[tuple[str, ObjectKey], dict[ObjectKey, None]] = {}  # by kind and key of what routes name
        self._awaited: dict[ObjectKey, None] = {}
        self._urgent: dict[ObjectKey, None] = {}
        self._dirty: dict[ObjectKey, None] = {}

    @property
    def has_work(self) -> bool:
        """Whether ``table`` is older than what was put."""
        return bool(self._urgent or self._dirty)

    def put(self, resource: ResourceType, key: ObjectKey, raw: ReadOnlyJson | None) -> None:
        """Take note of an object of one of KINDS, None: it is gone."""
        match resource.kind:
            case HTTP_ROUTES.kind:
                self._put_route(key, raw)
            case GATEWAYS.kind:
                self._put_gateway(key, raw)
            case SERVICES.kind:
                self._services.put_service(key, raw)
                if (SERVICES.kind, key) not in self._users:
                    self._services.forget(key)
                self._wake(self._urgent, SERVICES.kind, key)
            case ENDPOINT_SLICES.kind:
                for service in self._services.put_slice(key, raw):
                    self._wake(self._urgent, SERVICES.kind, service)
            case _:
                self._services.put_grant(key, raw)
                self._wake(self._dirty, REFERENCE_GRANTS.kind, ObjectKey(namespace=key.namespace, name=""))

    def work(self, is_time_up: Callable[[], bool] = lambda: False) -> tuple[ObjectKey, ...]:
        """Compile routes until nothing is left to do or, after at least one, the time is up; return which."""
        done: list[ObjectKey] = []
        while self.has_work:
            pile = self._urgent or self._dirty
            key = next(iter(pile))
            self._urgent.pop(key, None)
            self._dirty.pop(key, None)
            self._compile(key)
            done.append(key)
            if is_time_up():
                break
        return tuple(done)

    def take_awaited(self) -> tuple[ObjectKey, ...]:
        """Return the Services that routes compiled since the last call name, and that nobody has told of."""
        awaited, self._awaited = tuple(self._awaited), {}
        return awaited

    def miss(self, services: Iterable[ObjectKey]) -> None:
        """Take note of which Services are not there, if nobody has told of them in the meantime."""
        for service in services:
            if (SERVICES.kind, service) in self._users and self._services.is_awaited(service):
                self._services.miss(service)
                self._wake(self._urgent, SERVICES.kind, service)

    def table(self) -> RouteTable:
        """Return the table as far as the work is done: the very same while nothing changed in it."""
        return self._tabling.table()

    def problems(self) -> Iterator[Problem]:
        """Yield what cannot be used of the objects, in no order."""
        for compiled in self.routes.values():
            yield from compiled.problems
        yield from self.problems_beside_routes()

    def problems_beside_routes(self) -> Iterator[Problem]:
        """Yield what cannot be used of Gateways, Services and slices: as a rule nothing, and without a long look."""
        for key, gateway in self.gateways.items():
            for refusal in gateway.refusals:
                yield problem_of(GATEWAYS.kind, key, refusal.field, refusal.reason, refusal.message)
        yield from self._services.problems.values()

    def _put_route(self, key: ObjectKey, raw: ReadOnlyJson | None) -> None:
        if raw is None:
            self._raw.pop(key, None)
        else:
            self._raw[key] = raw
        self._dirty[key] = None

    def _put_gateway(self, key: ObjectKey, raw: ReadOnlyJson | None) -> None:
        old = self.gateways.pop(key, None)
        new = read_gateway(key, raw, self._only) if raw is not None else None
        if new is not None:
            self.gateways[key] = new
        if old != new:
            self._wake(self._dirty, GATEWAYS.kind, key)

    def _wake(self, pile: dict[ObjectKey, None], kind: str, key: ObjectKey) -> None:
        pile.update(self._users.get((kind, key), {}))

    def _compile(self, key: ObjectKey) -> None:
        old, raw = self.routes.get(key), self._raw.get(key)
        new = compiled_route(key, raw, self._around, old) if raw is not None else None
        for kind, name in new.names if new is not None else ():
            if kind == SERVICES.kind and self._services.is_awaited(name):
                self._awaited[name] = None
        if new is old:
            return
        self._file(key, old, new)
        if new is None:
            self.routes.pop(key, None)
        else:
            self.routes[key] = new
        self._tabling.put(key, old.rules if old else (), new.rules if new else ())

    def _file(self, key: ObjectKey, old: CompiledRoute | None, new: CompiledRoute | None) -> None:
        """Note what the route names, to be woken by it."""
        before, now = (frozenset(each.names) if each else frozenset() for each in (old, new))
        for name in before - now:
            users = self._users[name]
            del users[key]
            if not users:
                del self._users[name]
                if name[0] == SERVICES.kind:
                    self._services.forget(name[1])
        for name in now - before:
            self._users.setdefault(name, {})[key] = None
