"""From HTTPRoutes, Services, EndpointSlices and ReferenceGrants to a route table. Pure.

A match that uses what this gateway does not have (regular expressions, query parameters) never matches and is reported,
rather than matching more than was asked. A backend in another namespace counts only with a ReferenceGrant there.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import created_at, key_of, namespace_of
from rayfleet.objects.parts import mappings, part
from rayfleet.objects.services import ready_addresses, service_of_slice, service_ports, slice_port
from rayfleet.objects.times import encode_time
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.match import Match, PathKind, rank_of
from rayfleet_gateway.route.table import Backend, RouteTable, Rule, table_of

_DURATION = re.compile(r"(\d+)(h|ms|m|s)")
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The table, and sentences about what in the objects could not be used (sorted, each once)."""

    table: RouteTable
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingObjects:
    """What the API server shows now."""

    routes: Sequence[ReadOnlyJson] = ()
    services: Sequence[ReadOnlyJson] = ()
    slices: Sequence[ReadOnlyJson] = ()
    grants: Sequence[ReadOnlyJson] = ()


def compiled(objects: RoutingObjects) -> Compiled:
    """Return the route table of the objects."""
    compiler = _Compiler(objects)
    table = table_of(*(rule for route in objects.routes for rule in compiler.readable(route)))
    return Compiled(table=table, problems=tuple(sorted(compiler.problems)))


def parsed_duration(text: str) -> timedelta:
    """Return a Gateway API duration (GEP-2257: ``120s``, ``1m30s``); zero means no limit. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration such as 120s or 1m30s")
    total = sum(int(number) * _UNITS[unit] for number, unit in parts)
    return timedelta(milliseconds=total)


class _Compiler:
    """Holds the look-ups for one compilation; ``problems`` grows."""

    def __init__(self, objects: RoutingObjects) -> None:
        self.problems: set[str] = set()
        self._services = {key_of(service): service for service in objects.services}
        self._slices: dict[ObjectKey, list[ReadOnlyJson]] = {}
        for each in objects.slices:
            service = ObjectKey(namespace=namespace_of(each), name=service_of_slice(each))
            self._slices.setdefault(service, []).append(each)
        self._grants = objects.grants

    def readable(self, route: ReadOnlyJson) -> Sequence[Rule]:
        """Return the rules of a route, none of one that is not made as its schema says.

        One bad object must not stop the others.
        """
        try:
            return tuple(self.rules(route))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.problems.add(f"HTTPRoute {key_of(route)}: is not readable: {type(error).__name__} {error}")
            return ()

    def rules(self, route: ReadOnlyJson) -> Iterable[Rule]:
        """Yield a Rule for each match of each rule of a route."""
        key, created = key_of(route), created_at(route)
        age = encode_time(created) if created is not None else ""
        order = 0
        for spec in part(route, "spec").get("rules") or ():
            backends = tuple(self._backends(key, spec.get("backendRefs") or ()))
            timeout = self._timeout(key, part(spec, "timeouts").get("request"))
            matches: Sequence[ReadOnlyJson] = spec.get("matches") or ({},)
            for raw in matches:
                order += 1
                match = self._match(key, raw)
                if match is not None:
                    rank = rank_of(match, created=age, route=str(key), order=order)
                    yield Rule(
                        match=match,
                        route=str(key),
                        rank=rank,
                        backends=backends,
                        request_timeout=timeout,
                    )

    def _match(self, route: ObjectKey, raw: ReadOnlyJson) -> Match | None:
        path = raw.get("path") or {}
        kind = path.get("type", "PathPrefix")
        headers: dict[str, str] = {}
        for header in raw.get("headers") or ():
            if header.get("type", "Exact") != "Exact":
                self.problems.add(f"HTTPRoute {route}: header matches of type {header['type']} are not supported")
                return None
            headers.setdefault(header["name"].lower(), header["value"])
        if kind not in {"PathPrefix", "Exact"} or raw.get("queryParams"):
            what = "query parameter matches" if raw.get("queryParams") else f"path matches of type {kind}"
            self.problems.add(f"HTTPRoute {route}: {what} are not supported")
            return None
        return Match(
            path=path.get("value", "/"),
            kind=PathKind.EXACT if kind == "Exact" else PathKind.PREFIX,
            headers=headers,
            method=raw.get("method", ""),
        )

    def _timeout(self, route: ObjectKey, text: str | None) -> timedelta | None:
        if text is None:
            return None
        try:
            return parsed_duration(text)
        except ValueError as error:
            self.problems.add(f"HTTPRoute {route}: timeouts.request: {error}")
            return None

    def _backends(self, route: ObjectKey, references: Sequence[ReadOnlyJson]) -> Iterable[Backend]:
        for reference in references:
            target = ObjectKey(namespace=reference.get("namespace") or route.namespace, name=reference["name"])
            subject = f"HTTPRoute {route}: backend {target}"
            if reference.get("kind", "Service") != "Service" or reference.get("group"):
                self.problems.add(f"{subject}: only Services are supported, not {reference.get('kind')}")
                continue
            if target.namespace != route.namespace and not self._is_granted(route.namespace, target):
                self.problems.add(f"{subject}: lies in another namespace without a ReferenceGrant there")
                continue
            endpoints = self._endpoints(subject, target, reference.get("port"))
            yield Backend(service=str(target), weight=reference.get("weight", 1), endpoints=endpoints)

    def _is_granted(self, namespace: str, target: ObjectKey) -> bool:
        for grant in self._grants:
            spec = part(grant, "spec")
            is_from = any(
                source.get("kind") == "HTTPRoute" and source.get("namespace") == namespace
                for source in mappings(spec.get("from"))
            )
            is_to = any(
                goal.get("kind") == "Service" and goal.get("name") in {None, "", target.name}
                for goal in mappings(spec.get("to"))
            )
            if namespace_of(grant) == target.namespace and is_from and is_to:
                return True
        return False

    def _endpoints(self, subject: str, target: ObjectKey, port: int | None) -> tuple[Endpoint, ...]:
        service = self._services.get(target)
        if service is None:
            self.problems.add(f"{subject}: there is no such Service")
            return ()
        port_name = next((each.name for each in service_ports(service) if each.port == port), None)
        if port_name is None:
            self.problems.add(f"{subject}: the Service has no port {port}")
            return ()
        endpoints = {
            Endpoint(address=address, port=number)
            for each in self._slices.get(target, ())
            if (number := slice_port(each, port_name)) is not None
            for address in ready_addresses(each)
        }
        return tuple(sorted(endpoints))
