"""From HTTPRoutes, Services, EndpointSlices and ReferenceGrants to a route table. Pure.

A match that uses what this gateway does not have (regular expressions, query parameters) never matches and is reported,
rather than matching more than was asked. A backend in another namespace counts only with a ReferenceGrant there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from rayfleet_gateway.routes import Backend, Endpoint, Match, RouteTable, Rule, rank_of

JsonObject = Mapping[str, Any]

_DURATION = re.compile(r"(\d+)(h|ms|m|s)")
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """The table, and sentences about what in the objects could not be used (sorted, each once)."""

    table: RouteTable
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """What the API server shows now."""

    routes: Sequence[JsonObject] = ()
    services: Sequence[JsonObject] = ()
    slices: Sequence[JsonObject] = ()
    grants: Sequence[JsonObject] = ()


def compiled(objects: Objects) -> Compiled:
    """Return the route table of the objects."""
    compiler = _Compiler(objects)
    rules = sorted((rule for route in objects.routes for rule in compiler.readable(route)), key=lambda rule: rule.rank)
    by_model: dict[str, list[Rule]] = {}
    for rule in rules:
        if rule.model is not None:
            by_model.setdefault(rule.model, []).append(rule)
    table = RouteTable(
        by_model={model: tuple(of_model) for model, of_model in by_model.items()},
        for_any=tuple(rule for rule in rules if rule.model is None),
    )
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

    def __init__(self, objects: Objects) -> None:
        self.problems: set[str] = set()
        self._services = {_key(service): service for service in objects.services}
        self._slices: dict[tuple[str, str], list[JsonObject]] = {}
        for each in objects.slices:
            name = each["metadata"].get("labels", {}).get("kubernetes.io/service-name")
            if name:
                self._slices.setdefault((each["metadata"]["namespace"], name), []).append(each)
        self._grants = objects.grants

    def readable(self, route: JsonObject) -> Sequence[Rule]:
        """Return the rules of a route, none of one that is not made as its schema says.

        One bad object must not stop the others.
        """
        try:
            return tuple(self.rules(route))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.problems.add(f"HTTPRoute {'/'.join(_key(route))}: is not readable: {type(error).__name__} {error}")
            return ()

    def rules(self, route: JsonObject) -> Iterable[Rule]:
        """Yield a Rule for each match of each rule of a route."""
        namespace, name = _key(route)
        created = route["metadata"].get("creationTimestamp", "")
        order = 0
        for spec in route.get("spec", {}).get("rules") or ():
            backends = tuple(self._backends(namespace, name, spec.get("backendRefs") or ()))
            timeout = self._timeout(f"{namespace}/{name}", (spec.get("timeouts") or {}).get("request"))
            matches: Sequence[JsonObject] = spec.get("matches") or ({},)
            for raw in matches:
                order += 1
                match = self._match(f"{namespace}/{name}", raw)
                if match is not None:
                    rank = rank_of(match, created=created, route=f"{namespace}/{name}", order=order)
                    yield Rule(
                        match=match,
                        route=f"{namespace}/{name}",
                        rank=rank,
                        backends=backends,
                        request_timeout=timeout,
                    )

    def _match(self, route: str, raw: JsonObject) -> Match | None:
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
            path=path.get("value", "/"), is_exact_path=kind == "Exact", headers=headers, method=raw.get("method", "")
        )

    def _timeout(self, route: str, text: str | None) -> timedelta | None:
        if text is None:
            return None
        try:
            return parsed_duration(text)
        except ValueError as error:
            self.problems.add(f"HTTPRoute {route}: timeouts.request: {error}")
            return None

    def _backends(self, namespace: str, route: str, references: Sequence[JsonObject]) -> Iterable[Backend]:
        for reference in references:
            target = (reference.get("namespace") or namespace, reference["name"])
            subject = f"HTTPRoute {namespace}/{route}: backend {target[0]}/{target[1]}"
            if reference.get("kind", "Service") != "Service" or reference.get("group"):
                self.problems.add(f"{subject}: only Services are supported, not {reference.get('kind')}")
                continue
            if target[0] != namespace and not self._is_granted(namespace, target):
                self.problems.add(f"{subject}: lies in another namespace without a ReferenceGrant there")
                continue
            endpoints = self._endpoints(subject, target, reference.get("port"))
            yield Backend(service="/".join(target), weight=reference.get("weight", 1), endpoints=endpoints)

    def _is_granted(self, namespace: str, target: tuple[str, str]) -> bool:
        for grant in self._grants:
            spec = grant.get("spec", {})
            is_from = any(
                source.get("kind") == "HTTPRoute" and source.get("namespace") == namespace
                for source in spec.get("from") or ()
            )
            is_to = any(
                goal.get("kind") == "Service" and goal.get("name") in {None, "", target[1]}
                for goal in spec.get("to") or ()
            )
            if grant["metadata"]["namespace"] == target[0] and is_from and is_to:
                return True
        return False

    def _endpoints(self, subject: str, target: tuple[str, str], port: int | None) -> tuple[Endpoint, ...]:
        service = self._services.get(target)
        if service is None:
            self.problems.add(f"{subject}: there is no such Service")
            return ()
        named = [entry for entry in service.get("spec", {}).get("ports") or () if entry.get("port") == port]
        if not named:
            self.problems.add(f"{subject}: the Service has no port {port}")
            return ()
        name = named[0].get("name") or ""
        found = {
            Endpoint(address=address, port=number)
            for each in self._slices.get(target, ())
            for number in _slice_ports(each, name)
            for entry in each.get("endpoints") or ()
            if _is_ready(entry)
            for address in entry.get("addresses") or ()
        }
        return tuple(sorted(found))


def _slice_ports(each: JsonObject, name: str) -> list[int]:
    return [
        entry["port"] for entry in each.get("ports") or () if (entry.get("name") or "") == name and entry.get("port")
    ]


def _is_ready(entry: JsonObject) -> bool:
    """An endpoint without a ready condition is ready (EndpointSlice API: nil means unknown, to be taken as ready)."""
    ready = (entry.get("conditions") or {}).get("ready")
    return ready is None or bool(ready)


def _key(manifest: JsonObject) -> tuple[str, str]:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]
