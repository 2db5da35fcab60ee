"""HTTPRoutes as they are written -> the parts of rules, without anything that lies outside the route. Pure.

What cannot be done as it is asked raises, with the path of the field, and the rule is not used: rather that than a
request that goes where nobody sent it. Source: Gateway API v1.6, HTTPRoute with its limits (16 rules of 64 matches, 128
matches in all; 16 host names, backends, filters). Not supported: mirrors, extensions, CORS, retries by route, session
persistence, filters of single backends.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.parts import entries, mapping, part
from rayfleet_gateway.model.errors import Unusable
from rayfleet_gateway.route.fields import Field
from rayfleet_gateway.route.filters import NO_FILTERS, Filters
from rayfleet_gateway.route.match import Match, PathKind
from rayfleet_gateway.route.patterns import Pattern
from rayfleet_gateway.route.reading_filters import read_filters, token

MOST_RULES, MOST_MATCHES, MOST_MATCHES_IN_ALL, MOST_ENTRIES = 16, 64, 128, 16
# A route is read in one piece on the loop that all streams share, so what takes long is bounded in all of a route: a
# pattern takes up to 0.1 ms, a header or parameter 5 us.
MOST_PATTERNS, MOST_VALUES = 32, 512
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_DURATION_PART = re.compile(r"(\d+)(h|ms|m|s)")
_UNITS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_KINDS = {"Exact": PathKind.EXACT, "PathPrefix": PathKind.PREFIX, "RegularExpression": PathKind.PATTERN}
_UNFIT_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%2[Ff]")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendReference:
    """One backend as a rule names it, at ``path``; ``refusal``: reason and message why it can be none, None if it may.

    ``namespace`` is the one named, empty for the route's own.
    """

    path: str
    name: str
    namespace: str
    port: int | None
    weight: int
    refusal: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleParts:
    """One rule of a route; ``matches`` are for any host, each with its place (from 1) among all of the route."""

    matches: Sequence[tuple[int, Match]]
    backends: Sequence[BackendReference]
    request_timeout: timedelta | None
    backend_timeout: timedelta | None
    filters: Filters


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteParts:
    """A route: its host names in lower case (none: all), its usable rules in order, why the others are not used.

    ``has_rules`` False: it says none.
    """

    hostnames: tuple[str, ...]
    rules: tuple[RuleParts, ...]
    refusals: tuple[Unusable, ...]
    has_rules: bool


def read_route(route: ReadOnlyJson) -> RouteParts:
    """Return the parts of a route. Raises Unusable when none of it can be used."""
    spec = Field(route, "").at("spec").only({"parentRefs", "hostnames", "rules"})
    hostnames = tuple(dict.fromkeys(read_hostname(each) for each in spec.at("hostnames").items(MOST_ENTRIES)))
    rules: list[RuleParts] = []
    refusals: list[Unusable] = []
    order = patterns = values = 0
    for raw in spec.at("rules").items(MOST_RULES):
        matches = entries(mapping(raw.value), "matches")
        asked = len(matches) or 1
        patterns += sum(map(_count_of_patterns, matches))
        values += sum(map(_count_of_values, matches))
        try:
            if order + asked > MOST_MATCHES_IN_ALL:
                raw.at("matches").refuse(f"a route may have at most {MOST_MATCHES_IN_ALL} matches in all")
            if patterns > MOST_PATTERNS:
                raw.at("matches").refuse(f"a route may have at most {MOST_PATTERNS} regular expressions in all")
            if values > MOST_VALUES:
                raw.at("matches").refuse(f"a route may match at most {MOST_VALUES} headers and parameters in all")
            rules.append(_read_rule(raw, order))
        except Unusable as refusal:
            refusals.append(refusal)
        order += asked
    return RouteParts(hostnames=hostnames, rules=tuple(rules), refusals=tuple(refusals), has_rules=order > 0)


def read_hostname(field: Field) -> str:
    """Return a host name in lower case, perhaps beginning with ``*.``. Raises Unusable."""
    text = field.text().lower()
    if len(text) > 253 or not _HOSTNAME.fullmatch(text) or re.fullmatch(r"[\d.]+", text):
        field.refuse(f"{text!r:.80} is no host name")
    return text


def parsed_duration(text: str) -> timedelta:
    """Return a Gateway API duration (GEP-2257: ``120s``, ``1m30s``); zero means no limit. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a duration such as 120s or 1m30s")
    total = sum(int(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    return timedelta(milliseconds=total)


def target_of(reference: BackendReference, route: ObjectKey) -> ObjectKey:
    """Return which Service a backend of a route is."""
    return ObjectKey(namespace=reference.namespace or route.namespace, name=reference.name)


def _read_rule(raw: Field, order: int) -> RuleParts:
    raw.only({"name", "matches", "filters", "backendRefs", "timeouts"})
    matches = [_read_match(each) for each in raw.at("matches").items(MOST_MATCHES)] or [Match()]
    filters = read_filters(raw.at("filters"), is_prefix=all(match.kind is PathKind.PREFIX for match in matches))
    backends = tuple(_read_backend(each) for each in raw.at("backendRefs").items(MOST_ENTRIES))
    if filters.redirect is not None and backends:
        raw.at("backendRefs").refuse("cannot stand beside a RequestRedirect", "IncompatibleFilters")
    timeouts = raw.at("timeouts").only({"request", "backendRequest"})
    request, backend = (_read_duration(timeouts.at(name)) for name in ("request", "backendRequest"))
    if request and backend and backend > request:
        timeouts.at("backendRequest").refuse("is longer than timeouts.request")
    return RuleParts(
        matches=tuple(enumerate(matches, start=order + 1)),
        backends=backends,
        request_timeout=request,
        backend_timeout=backend,
        filters=filters if filters != NO_FILTERS else NO_FILTERS,
    )


def _count_of_patterns(match: ReadOnlyJson) -> int:
    """Return how many regular expressions stand in a match, before any is compiled."""
    parts = (part(match, "path"), *entries(match, "headers"), *entries(match, "queryParams"))
    return sum("RegularExpression" in each.values() for each in parts)


def _count_of_values(match: ReadOnlyJson) -> int:
    return len(entries(match, "headers")) + len(entries(match, "queryParams"))


def _read_duration(field: Field) -> timedelta | None:
    if not field.is_set:
        return None
    try:
        return parsed_duration(field.text())
    except ValueError as error:
        field.refuse(str(error))


def _read_match(raw: Field) -> Match:
    raw.only({"path", "headers", "queryParams", "method"})
    path = raw.at("path").only({"type", "value"})
    kind = _KINDS[path.at("type").choice(_KINDS, "PathPrefix")]
    value = path.at("value").text("/")
    if kind is not PathKind.PATTERN:
        value = _plain_path(path.at("value"), value)
    headers, header_patterns = _read_values(raw.at("headers"), is_header=True)
    query, query_patterns = _read_values(raw.at("queryParams"), is_header=False)
    try:
        return Match(
            path=value,
            kind=kind,
            method=raw.at("method").choice(_METHODS) if raw.at("method").is_set else "",
            headers=headers,
            header_patterns=header_patterns,
            query=query,
            query_patterns=query_patterns,
        )
    except ValueError as error:
        path.at("value").refuse(str(error))


def _plain_path(field: Field, written: str) -> str:
    """Return a path as requests' are compared: decoded. Raises Unusable."""
    path = written
    if "%" in written:
        try:
            path = unquote_to_bytes(written).decode()
        except UnicodeDecodeError:
            field.refuse(f"{written!r:.80} is not UTF-8 when decoded")
        if _UNFIT_ESCAPE.search(written):
            field.refuse(f"{written!r:.80} has a broken escape, or one of a slash")
    if not path.startswith("/") or _is_crooked(path):
        field.refuse(f"{written!r:.80} is no plain absolute path")
    return path


def _is_crooked(path: str) -> bool:
    """Whether a path is written as no request's is: two readers would not agree on what it matches."""
    has_dots = any(segment in {".", ".."} for segment in path.split("/"))
    return has_dots or "//" in path or "#" in path or "?" in path or len(path) > 1024 or not path.isprintable()


def _read_values(raw: Field, *, is_header: bool) -> tuple[dict[str, str], dict[str, Pattern]]:
    """Return the exact values and the patterns by name; of equal names the first counts."""
    exact: dict[str, str] = {}
    patterns: dict[str, Pattern] = {}
    for each in raw.items(MOST_ENTRIES):
        each.only({"type", "name", "value"})
        name = token(each.at("name"))
        name = name.lower() if is_header else name
        is_exact = each.at("type").choice({"Exact", "RegularExpression"}, "Exact") == "Exact"
        value = each.at("value").text()
        if name in exact or name in patterns:
            continue
        if is_exact:
            exact[name] = value
            continue
        try:
            patterns[name] = Pattern(value)
        except ValueError as error:
            each.at("value").refuse(str(error))
    return exact, patterns


def _read_backend(raw: Field) -> BackendReference:
    raw.only({"group", "kind", "name", "namespace", "port", "weight", "filters"})
    if any(True for _ in raw.at("filters").items(MOST_ENTRIES)):
        raw.at("filters").refuse("filters of a single backend are not supported")
    group, kind = raw.at("group").text(""), raw.at("kind").text("Service")
    refusal: tuple[str, str] | None = None
    if (group, kind) not in {("", "Service"), ("core", "Service")}:
        refusal = "InvalidKind", f"only Services can be backends, not {group or 'core'}/{kind}"
    has_port = raw.at("port").is_set
    if refusal is None and not has_port:
        refusal = "UnsupportedValue", "a Service needs a port"
    return BackendReference(
        path=raw.path,
        name=_name(raw.at("name")),
        namespace=_name(raw.at("namespace")) if raw.at("namespace").value else "",
        port=raw.at("port").number(least=1, most=65535) if has_port else None,
        weight=raw.at("weight").number(most=1_000_000, otherwise=1),
        refusal=refusal,
    )


def _name(field: Field) -> Any:
    text = field.text()
    return text if 0 < len(text) <= 253 and text.isprintable() else field.refuse(f"{text!r:.80} is no name")
