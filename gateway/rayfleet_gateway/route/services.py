"""Services, their EndpointSlices and ReferenceGrants: which endpoints a backend of a route has. Pure.

Kept as they are told, one object at a time; what is asked twice is worked out once. An object that cannot be read
counts as absent and is a problem of its own. A Service that nobody has told of may be on its way, since kinds are
watched one by one: it counts as one without endpoints (503) until ``miss`` says that it is not there (500).

Source: Gateway API v1.6, HTTPBackendRef (the share of requests for a reference that is not valid gets 500),
ReferenceGrant and GEP-1911 (``appProtocol`` of a Service's port).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, SERVICES
from rayfleet.objects.references import allows_routes
from rayfleet.objects.services import (
    ServicePort,
    has_host_names,
    ready_addresses,
    service_of_slice,
    service_ports,
    slice_ports,
)
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.problems import Problem, problem_of
from rayfleet_gateway.route.reading import BackendReference, target_of
from rayfleet_gateway.route.table import Backend

T = TypeVar("T")
_NOT_FOUND = "BackendNotFound"
_NOT_SPOKEN = frozenset({"https", "kubernetes.io/h2c", "kubernetes.io/wss"})
_MOST_PORT = 65535
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class _Slice:
    service: ObjectKey
    ports: Mapping[str, int]
    addresses: tuple[str, ...]


class Services:
    """What is known of backends; ``problems`` are those of Services and slices that cannot be read, by their key."""

    def __init__(self) -> None:
        self.problems: dict[tuple[str, ObjectKey], Problem] = {}
        self._ports: dict[ObjectKey, Mapping[int, ServicePort]] = {}
        self._missing: set[ObjectKey] = set()
        self._slices: dict[ObjectKey, _Slice] = {}
        self._slices_of: dict[ObjectKey, dict[ObjectKey, _Slice]] = {}
        self._grants: dict[str, dict[ObjectKey, ReadOnlyJson]] = {}
        self._endpoints: dict[tuple[ObjectKey, str], tuple[Endpoint, ...]] = {}

    def put_service(self, key: ObjectKey, service: ReadOnlyJson | None) -> None:
        """Take note of a Service, None: it is gone."""
        ports = self._read(SERVICES.kind, key, service, _ports)
        was_there = self._ports.pop(key, None) is not None
        if ports is not None:
            self._ports[key] = ports
            self._missing.discard(key)
        elif was_there or service is not None:
            self._missing.add(key)

    def is_awaited(self, key: ObjectKey) -> bool:
        """Whether nobody has told of the Service yet, and nobody that it is not there."""
        return key not in self._ports and key not in self._missing

    def miss(self, key: ObjectKey) -> None:
        """Take note that an awaited Service is not there."""
        self._missing.add(key)

    def forget(self, key: ObjectKey) -> None:
        """Forget a Service that is not there: no route names it any more."""
        self._missing.discard(key)

    def put_slice(self, key: ObjectKey, endpoint_slice: ReadOnlyJson | None) -> tuple[ObjectKey, ...]:
        """Take note of an EndpointSlice, None: it is gone; return the Services whose endpoints may have changed."""
        old = self._slices.pop(key, None)
        new = self._read(ENDPOINT_SLICES.kind, key, endpoint_slice, lambda raw: _decoded_slice(key, raw))
        for each in (old, new):
            if each is not None:
                self._forget_endpoints(each)
        if old is not None:
            of_service = self._slices_of[old.service]
            del of_service[key]
            if not of_service:
                del self._slices_of[old.service]
        if new is not None:
            self._slices[key] = new
            self._slices_of.setdefault(new.service, {})[key] = new
        return tuple({each.service for each in (old, new) if each is not None and old != new})

    def put_grant(self, key: ObjectKey, grant: ReadOnlyJson | None) -> None:
        """Take note of a ReferenceGrant, None: it is gone."""
        there = self._grants.setdefault(key.namespace, {})
        there.pop(key, None)
        if grant is not None:
            there[key] = grant
        if not there:
            del self._grants[key.namespace]

    def backend(self, route: ObjectKey, reference: BackendReference) -> tuple[Backend, Unusable | None]:
        """Return the backend that a route's reference stands for, and why it is not valid, None when it is."""
        target = target_of(reference, route)
        problem = self._problem(route, reference, target)
        if problem is not None:
            reason, message = problem
            is_valid = reason == _NOT_FOUND and self.is_awaited(target)
            backend = Backend(service=str(target), weight=reference.weight, endpoints=(), is_valid=is_valid)
            return backend, Unusable(reference.path, message, reason)
        port_name = self._ports[target][reference.port or 0].name
        return Backend(
            service=str(target), weight=reference.weight, endpoints=self._endpoints_of(target, port_name)
        ), None

    def _problem(self, route: ObjectKey, reference: BackendReference, target: ObjectKey) -> tuple[str, str] | None:
        """Return reason and message."""
        if reference.refusal is not None:
            return reference.refusal
        if target.namespace != route.namespace and not self._is_granted(route.namespace, target):
            message = f"Service {target} lies in another namespace without a ReferenceGrant there"
            return "RefNotPermitted", message
        ports = self._ports.get(target)
        if ports is None:
            return _NOT_FOUND, f"there is no Service {target}"
        port = ports.get(reference.port or 0)
        if port is None:
            return _NOT_FOUND, f"Service {target} has no port {reference.port}"
        if port.app_protocol in _NOT_SPOKEN:
            return "UnsupportedProtocol", f"Service {target} wants {port.app_protocol}: HTTP/1.1 is spoken, without TLS"
        return None

    def _is_granted(self, namespace: str, target: ObjectKey) -> bool:
        grants = self._grants.get(target.namespace, {}).values()
        return any(allows_routes(grant, namespace, target.name) for grant in grants)

    def _endpoints_of(self, service: ObjectKey, port_name: str) -> tuple[Endpoint, ...]:
        """Return the ready endpoints, sorted: the very same tuple until a slice changes."""
        known = self._endpoints.get((service, port_name))
        if known is None:
            known = tuple(sorted(set(self._listed(service, port_name))))
            self._endpoints[service, port_name] = known
        return known

    def _listed(self, service: ObjectKey, port_name: str) -> Iterator[Endpoint]:
        for each in self._slices_of.get(service, {}).values():
            port = each.ports.get(port_name)
            if port is not None:
                yield from (Endpoint(address=address, port=port) for address in each.addresses)

    def _forget_endpoints(self, gone: _Slice) -> None:
        for port_name in gone.ports:
            self._endpoints.pop((gone.service, port_name), None)

    def _read(
        self, kind: str, key: ObjectKey, raw: ReadOnlyJson | None, decode: Callable[[ReadOnlyJson], T]
    ) -> T | None:
        self.problems.pop((kind, key), None)
        if raw is None:
            return None
        try:
            return decode(raw)
        except Unusable as error:
            self.problems[kind, key] = problem_of(kind, key, error.field, error.reason, str(error))
            return None
        except _UNREADABLE as error:
            message = f"is not readable: {type(error).__name__} {error}"
            self.problems[kind, key] = problem_of(kind, key, "", "Invalid", message)
            return None


def _ports(service: ReadOnlyJson) -> Mapping[int, ServicePort]:
    """Return a Service's TCP ports by number; of two with one number the first counts."""
    ports: dict[int, ServicePort] = {}
    for each in service_ports(service):
        if each.protocol == "TCP":
            ports.setdefault(each.port, each)
    return ports


def _decoded_slice(key: ObjectKey, raw: ReadOnlyJson) -> _Slice:
    """Return a slice of addresses. Raises Unusable where an address or a port is none, and for host names (``FQDN``).

    Raises what unreadable JSON raises, too.
    """
    service = ObjectKey(namespace=key.namespace, name=service_of_slice(raw))
    if has_host_names(raw):
        raise Unusable("addressType", "FQDN is not supported: endpoints are addresses")
    addresses, ports = tuple(ready_addresses(raw)), slice_ports(raw)
    for address in addresses:
        if not _is_address(address):
            raise Unusable("endpoints", f"{address!r:.80} is no IP address")
    for name, port in ports.items():
        if not 0 < port <= _MOST_PORT:
            raise Unusable("ports", f"{port} of the port {name!r:.40} is not between 1 and {_MOST_PORT}")
    return _Slice(service=service, ports=ports, addresses=addresses)


def _is_address(text: str) -> bool:
    """Whether a text is an address of IP, as programs write it: no zone, no leading zeros."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
