"""The immutable route table, and which rule a request takes. Pure.

Source: Gateway API v1.6, HTTPRoute: exact path before the longest prefix, then method, then more headers, then the
older route, then its name, then the order in the route. A prefix matches whole path segments: ``/v1/completions`` does
not match ``/v1/completionsx``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from rayfleet_gateway.model.values import Endpoint

MODEL_HEADER = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One backend reference with the ready endpoints behind it; ``weight`` 0 takes no requests."""

    service: str
    weight: int
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a request must look like. Header names are lower-case; ``method`` empty means any."""

    path: str
    is_exact_path: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One match of one rule of one route.

    ``rank`` sorts rules: the smallest wins (see ``rank_of``). ``request_timeout`` zero: no limit.
    """

    match: Match
    route: str
    rank: tuple[int | str, ...]
    backends: tuple[Backend, ...]
    request_timeout: timedelta | None = None

    @property
    def model(self) -> str | None:
        """The model that the rule serves, None for one that serves any."""
        return self.match.headers.get(MODEL_HEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """All rules, best first, by the model they name; ``for_any`` name none.

    ``models`` are sorted; ``paths`` are each path once.
    """

    by_model: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    for_any: tuple[Rule, ...] = ()
    models: tuple[str, ...] = field(init=False)
    paths: frozenset[tuple[str, bool]] = field(init=False)

    def __post_init__(self) -> None:
        rules = (*self.for_any, *(rule for rules in self.by_model.values() for rule in rules))
        object.__setattr__(self, "models", tuple(sorted(self.by_model)))
        object.__setattr__(self, "paths", frozenset((rule.match.path, rule.match.is_exact_path) for rule in rules))

    def rule_for(self, *, method: str, path: str, model: str, headers: Mapping[str, str]) -> Rule | None:
        """Return the rule that a request takes, None when there is none; header names in lower case."""
        named = _first(self.by_model.get(model, ()), method, path, headers)
        other = _first(self.for_any, method, path, headers)
        if named is None or other is None:
            return named or other
        return min(named, other, key=lambda rule: rule.rank)

    def endpoints_of(self, model: str) -> frozenset[Endpoint]:
        """Return the endpoints that requests for a model can reach.

        Of several rules of one match only the first ever takes a request, and a backend of weight 0 takes none.
        """
        first = {_matched(rule.match): rule for rule in reversed(self.by_model.get(model, ()))}
        backends = (backend for rule in first.values() for backend in rule.backends if backend.weight > 0)
        return frozenset(endpoint for backend in backends for endpoint in backend.endpoints)

    def has_path(self, path: str) -> bool:
        """Whether any rule takes this path, whatever the model."""
        return any(matches_path(Match(path=known, is_exact_path=is_exact), path) for known, is_exact in self.paths)


def rank_of(match: Match, *, created: str, route: str, order: int) -> tuple[int | str, ...]:
    """Return what sorts a rule.

    Path kind and length, method, number of headers, age (RFC 3339), name, order in the route.
    """
    return (
        0 if match.is_exact_path else 1,
        -len(match.path.rstrip("/")),
        0 if match.method else 1,
        -len(match.headers),
        created,
        route,
        order,
    )


def matches_path(match: Match, path: str) -> bool:
    """Whether ``path`` (without query) is the match's path, or below it by whole segments."""
    if match.is_exact_path:
        return path == match.path
    prefix = match.path.rstrip("/")
    return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")


def has_dot_segment(path: str) -> bool:
    """Whether a decoded path climbs: what lies at ``/v1/completions/../../metrics`` is not for a client to say."""
    return "/." in path and any(segment in {".", ".."} for segment in path.split("/"))


def _matched(match: Match) -> tuple[object, ...]:
    """Return what two rules have in common that match the same requests."""
    return match.path, match.is_exact_path, match.method, frozenset(match.headers.items())


def _first(rules: tuple[Rule, ...], method: str, path: str, headers: Mapping[str, str]) -> Rule | None:
    for rule in rules:
        if matches_path(rule.match, path) and _matches_rest(rule.match, method, headers):
            return rule
    return None


def _matches_rest(match: Match, method: str, headers: Mapping[str, str]) -> bool:
    """The model header was compared by the table's key: the body may be what named it."""
    if match.method and match.method != method:
        return False
    return all(headers.get(name) == value for name, value in match.headers.items() if name != MODEL_HEADER)
