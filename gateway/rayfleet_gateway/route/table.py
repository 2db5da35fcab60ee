"""The immutable route table, and which rule a request takes. Pure.

Source: Gateway API v1.6, HTTPRoute; what comes first is ``match.rank_of``'s. Tables share what did not change between
them: a model whose rules are the same has the very same tuple in the next table, so ``is`` tells who must look again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.filters import NO_FILTERS, Filters
from rayfleet_gateway.route.match import MODEL_HEADER, Asked, Match, matches_path, matches_rest, plain_host
from rayfleet_gateway.route.paths import EVERY, PathIndex, Place, path_index


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One backend reference with the ready endpoints behind it; ``weight`` 0 takes no requests.

    ``is_valid`` False: it refers to nothing that may be asked, and its share of the requests is answered with 500.
    """

    service: str
    weight: int
    endpoints: tuple[Endpoint, ...]
    is_valid: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One match of one rule of one route, for one host name.

    ``rank`` sorts rules: the smallest wins (see ``rank_of``). Timeouts of zero: no limit; None: the gateway's own.
    ``backend_timeout`` is for one try at an endpoint, ``request_timeout`` for all. ``profile`` names how an endpoint is
    picked, empty: as the gateway does by default.
    """

    match: Match
    route: str
    rank: tuple[int | str, ...]
    backends: tuple[Backend, ...]
    request_timeout: timedelta | None = None
    backend_timeout: timedelta | None = None
    filters: Filters = NO_FILTERS
    profile: str = ""

    @property
    def model(self) -> str | None:
        """The model that the rule serves, None for one that serves any."""
        return self.match.headers.get(MODEL_HEADER)

    @property
    def failure_status(self) -> int:
        """What a request gets when no backend can be asked: 500 when none is meant to be, else 503 (none is ready)."""
        is_any_meant = any(backend.is_valid and backend.weight > 0 for backend in self.backends)
        return HTTPStatus.SERVICE_UNAVAILABLE if is_any_meant else HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteTable:
    """All rules, best first, by the model they name; ``for_any`` name none. Made by ``table_of`` or the compiler.

    ``models`` are sorted.
    """

    by_model: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    for_any: tuple[Rule, ...] = ()
    models: tuple[str, ...] = ()
    paths: PathIndex = field(default_factory=PathIndex)

    def rule_for(
        self, *, method: str, host: str, path: str, query: str, headers: Mapping[str, str], model: str
    ) -> Rule | None:
        """Return the rule that a request takes, None when there is none.

        ``path`` is decoded, ``query`` is not; ``host`` may have a port; header names in lower case; ``model`` empty
        where the request names none.
        """
        asked = Asked(method, plain_host(host), path, query, headers, model)
        named = _first(self.by_model.get(model, ()), asked)
        other = _first(self.for_any, asked) if self.for_any else None
        if named is None or other is None:
            return named or other
        return min(named, other, key=lambda rule: rule.rank)

    def looks_at(self, header: str, model: str) -> bool:
        """Whether a rule that requests for ``model`` may take looks at a header, its name in lower case."""
        for rules in (self.by_model.get(model, ()), self.for_any):
            for rule in rules:
                match = rule.match
                if not match.is_plain and (header in match.headers or header in match.header_patterns):
                    return True
        return False

    def has_path(self, host: str, path: str) -> bool:
        """Whether any rule takes this path of this host, whatever the rest."""
        return self.paths.takes(plain_host(host), path)

    def asks_for(self, method: str, host: str, path: str) -> bool:
        """Whether any rule takes this path of this host and asks for this very method, or redirects each."""
        return self.paths.asks_for(method, plain_host(host), path)

    def endpoints_of(self, model: str) -> frozenset[Endpoint]:
        """Return the endpoints that requests for a model can reach.

        Of several rules of one match only the first ever takes a request, and a backend of weight 0 takes none.
        """
        first = {_matched(rule.match): rule for rule in reversed(self.by_model.get(model, ()))}
        backends = (backend for rule in first.values() for backend in rule.backends if backend.weight > 0)
        return frozenset(endpoint for backend in backends for endpoint in backend.endpoints)


def table_of(*rules: Rule) -> RouteTable:
    """Return the table of these rules."""
    by_model: dict[str, list[Rule]] = {}
    for_any: list[Rule] = []
    for rule in sorted(rules, key=lambda rule: rule.rank):
        (for_any if rule.model is None else by_model.setdefault(rule.model, [])).append(rule)
    return RouteTable(
        by_model={model: tuple(of_model) for model, of_model in by_model.items()},
        for_any=tuple(for_any),
        models=tuple(sorted(by_model)),
        paths=path_index({place_of(rule) for rule in rules}),
    )


def place_of(rule: Rule) -> Place:
    """Return where a rule stands in the index of paths."""
    match = rule.match
    any_method = "" if rule.filters.redirect is None else EVERY
    return match.hostname, match.kind, match.path, match.method or any_method


def _matched(match: Match) -> tuple[object, ...]:
    """Return what two rules have in common that match the same requests."""
    parts = (match.headers, match.header_patterns, match.query, match.query_patterns)
    return match.hostname, match.path, match.kind, match.method, *(frozenset(part.items()) for part in parts)


def _first(rules: tuple[Rule, ...], asked: Asked) -> Rule | None:
    for rule in rules:
        if matches_path(rule.match, asked.path) and matches_rest(rule.match, asked):
            return rule
    return None
