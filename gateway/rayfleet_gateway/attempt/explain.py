"""Why a request would go where: the rules that it might take, the backends, the endpoints, the pick. Pure.

What is shown is what the next request of this kind would meet; nothing is asked and nothing counted. The pick is drawn
a few times, since equals are left to chance.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from rayfleet_gateway.attempt.choices import Choice, Endpoints, choices_of
from rayfleet_gateway.model.values import InferenceRequest, RequestHead
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.health import soonest_try
from rayfleet_gateway.pick.pipeline import Pipeline
from rayfleet_gateway.pick.profiles import Profiles
from rayfleet_gateway.request.head import METHODS, has_dot_segment
from rayfleet_gateway.request.paths import LISTED_METHOD, is_own, is_taken, names_model
from rayfleet_gateway.route.match import MODEL_HEADER, Asked, matches_path, plain_host
from rayfleet_gateway.route.opening import opens_path, takes_method
from rayfleet_gateway.route.table import RouteTable, Rule
from rayfleet_gateway.route.words import match_words, mismatches

Shown = dict[str, object]
"""A part of an explanation, as JSON."""

_MOST_RULES = 50
_DRAWS = 32
_NOTHING = "500: the route refers to nothing that can be asked"
_PARAMETERS = frozenset({"method", "host", "path", "query", "model", "header"})


def question_of(parameters: Sequence[tuple[str, str]]) -> InferenceRequest:
    """Return the request that is asked about.

    Parameters: ``path`` (``/v1/chat/completions``), ``model``, ``method`` (POST), ``host``, ``query``, and ``header``
    as ``name: value``, as often as needed. Raises ValueError, naming what cannot be read.
    """
    given = {name: value for name, value in parameters if name != "header"}
    foreign = sorted(given.keys() - _PARAMETERS)
    if foreign:
        raise ValueError(f"{foreign[0]!r} is no parameter; there are: {', '.join(sorted(_PARAMETERS))}")
    headers = {}
    for name, value in parameters:
        if name == "header":
            header, colon, text = value.partition(":")
            if not colon or not header.strip():
                raise ValueError(f"header: {value!r} is not `name: value`")
            headers[header.strip().lower()] = text.strip()
    path = given.get("path", "/v1/chat/completions")
    if not path.startswith("/"):
        raise ValueError(f"path: {path!r} does not begin with /")
    head = RequestHead(
        method=given.get("method", "POST").upper(),
        target=path.encode("utf-8", "replace"),
        path=path,
        query=given.get("query", ""),
        host=plain_host(given.get("host", "")),
        headers=(),
        joined=headers,
        length=0,
        is_keep_alive=True,
    )
    model = given.get("model") or headers.get(MODEL_HEADER, "")
    return InferenceRequest(head=head, body=b"", model=model, label=model, request_id="explain")


def explained(
    table: RouteTable, book: Endpoints, profiles: Profiles, request: InferenceRequest, now: float
) -> Mapping[str, object]:
    """Return the explanation: ``request``, ``candidates``, ``rule`` and ``backends``; in words what becomes of it.

    ``refused`` begins with the status; ``answered``: without an engine.
    """
    head = request.head
    asked = Asked(
        method=head.method,
        host=head.host,
        path=head.path,
        query=head.query,
        headers=head.joined,
        model=request.model,
    )
    rule = table.rule_for(
        method=asked.method,
        host=asked.host,
        path=asked.path,
        query=asked.query,
        headers=asked.headers,
        model=asked.model,
    )
    shown: Shown = {
        "request": {name: getattr(asked, name) for name in ("method", "host", "path", "query", "model", "headers")},
        "candidates": [_candidate(each, rule, asked) for each in islice(_candidates(table, asked), _MOST_RULES)],
    }
    if is_own(head.path):
        return shown | {"answered": "by the gateway itself, which knows the models"}
    if refused := next(_unread(table, request), "") or ("" if rule is not None else _no_rule(asked, table)):
        return shown | {"refused": refused}
    assert rule is not None
    return shown | _way(rule, _Picking(profiles.of(rule), request, book, now))


class _Picking:
    """What an endpoint's line is made from."""

    def __init__(self, pipeline: Pipeline, request: InferenceRequest, book: Endpoints, now: float) -> None:
        self.pipeline, self.request, self.book, self._now = pipeline, request, book, now

    def choices(self, rule: Rule) -> list[Choice]:
        """Return what each backend of a rule offers, in their order."""
        return choices_of(rule, self.book, (), self._now)

    def is_any_kept(self, choices: Sequence[Choice]) -> bool:
        """Whether the filters keep an endpoint of one of these, or one is tried whatever they say."""
        return any(each.trial is not None or self.pipeline.kept(self.request, each.ready) for each in choices)

    def endpoints(self, choice: Choice) -> list[Shown]:
        """Return a line for each endpoint of a backend, in their order."""
        kept = self.pipeline.kept(self.request, choice.ready)
        scores = self.pipeline.scores(self.request, kept) if kept else ()
        score_of = dict(zip(kept, scores, strict=False))
        drawn = self._drawn(choice)
        draws = drawn.total() or 1
        return [
            self._line(state, choice)
            | {"is_kept": state in kept, "score": score_of.get(state), "part": drawn[state] / draws}
            for state in self.book.pool_of(choice.backend).endpoints
        ]

    def _drawn(self, choice: Choice) -> Counter[EndpointState]:
        """Return how often each is drawn; a plugin is asked once."""
        if choice.trial is not None:
            return Counter({choice.trial: 1})
        draws = _DRAWS if self.pipeline.is_plain else 1
        picks = (self.pipeline.pick(self.request, choice.ready, (place + 0.5) / draws) for place in range(draws))
        return Counter(state for state in picks if state is not None)

    def _line(self, state: EndpointState, choice: Choice) -> Shown:
        health = state.health
        line: Shown = {
            "endpoint": state.name,
            "state": "ready",
            "in_flight": state.in_flight,
            "share": round(state.share, 4),
            "failures_in_a_row": health.failures,
            "failure_rate": round(health.rate, 3),
        }
        if state is choice.trial:
            return line | {"state": "ejected, the next request tries it"}
        if state.is_ejected:
            is_alone = not choice.ready
            seconds = (soonest_try(health) if is_alone else health.retry_at) - self._now
            return line | {"state": "ejected", "tried_in_seconds": round(max(0.0, seconds), 1)}
        return line


def _candidates(table: RouteTable, asked: Asked) -> Iterator[Rule]:
    """Yield the rules for the model and for any, best first; of an unknown model those of the same path too."""
    known = table.by_model.get(asked.model, ())
    yield from sorted((*known, *table.for_any), key=lambda rule: rule.rank)
    if not known:
        others = chain.from_iterable(table.by_model.values())
        yield from islice((rule for rule in others if matches_path(rule.match, asked.path)), _MOST_RULES)


def _candidate(rule: Rule, taken: Rule | None, asked: Asked) -> Shown:
    shown: Shown = {"route": rule.route, "match": match_words(rule.match)}
    if rule is taken:
        return shown | {"verdict": "taken"}
    return shown | {"verdict": next(mismatches(rule.match, asked), "") or "matches, but another one comes first"}


def _rule(rule: Rule, pipeline: Pipeline) -> Shown:
    limits = (("request", rule.request_timeout), ("backendRequest", rule.backend_timeout))
    return {
        "route": rule.route,
        "match": match_words(rule.match),
        "timeouts": {name: limit.total_seconds() for name, limit in limits if limit is not None},
        "profile": pipeline.name,
        "filters": [each.item.name for each in pipeline.filters],
        "scorers": {each.item.name: each.weight for each in pipeline.scorers},
        "picker": pipeline.picker.item.name,
        "switched_off": [guard.title for guard in pipeline.guards if guard.is_off],
    }


def _backend(choice: Choice, part: float, picking: _Picking) -> Shown:
    backend = choice.backend
    return {
        "service": backend.service,
        "weight": backend.weight,
        "is_valid": backend.is_valid,
        "part": round(part, 4),
        "endpoints": picking.endpoints(choice),
    }


def _unread(table: RouteTable, request: InferenceRequest) -> Iterator[str]:
    """Yield why a request is refused before any rule is looked at, the first reason first."""
    head, header = request.head, request.head.joined.get(MODEL_HEADER)
    if head.method.encode() not in METHODS:
        yield "501: the gateway does not take this method"
    if has_dot_segment(head.path):
        yield "404: the path has dot segments"
    if not table.has_path(head.host, head.path):
        yield "404: no route has this path"
    if not is_taken(head) and not table.asks_for(head.method, head.host, head.path):
        yield f"405: {head.path} takes {LISTED_METHOD}, and no rule asks for another method"
    if header and header != request.model:
        yield "400: the header `model` names another model than the body"
    if names_model(head) and not request.model:
        yield "400: the request names no model"


def _no_rule(asked: Asked, table: RouteTable) -> str:
    if asked.model and asked.model not in table.by_model:
        return "404: no route names this model"
    return "404: no rule matches; see the candidates"


def _way(rule: Rule, picking: _Picking) -> Shown:
    """Return what a rule does with a request that it matches."""
    choices = picking.choices(rule)
    weights = [choice.weight(is_first=True) for choice in choices]
    whole = sum(weights)
    backends = [
        _backend(choice, weight / whole if whole else 0.0, picking)
        for choice, weight in zip(choices, weights, strict=True)
    ]
    shown: Shown = {"rule": _rule(rule, picking.pipeline), "backends": backends}
    redirect = rule.filters.redirect
    if redirect is not None:
        return shown | {"answered": f"with a redirect ({redirect.status})"}
    refused = _closed(rule, picking.request.head)
    able = [choice for choice, weight in zip(choices, weights, strict=True) if weight and choice.can_be_asked]
    if not refused and not able:
        refused = _none_ready(rule, picking.book) if not whole else _NOTHING
    if not refused and not picking.is_any_kept(able):
        refused = "503: the filters of the profile keep no endpoint"
    return shown | {"refused": refused} if refused else shown


def _closed(rule: Rule, head: RequestHead) -> str:
    """Return why a rule does not take a request that it matches, empty when it does."""
    if not takes_method(rule, head):
        return f"405: {head.path} takes {LISTED_METHOD}, and the rule asks for no other method"
    if not opens_path(rule, head.path):
        return "404: a rule that covers more than its own corner does not open this path; name it in a rule"
    return ""


def _none_ready(rule: Rule, book: Endpoints) -> str:
    if rule.failure_status == 500:
        return _NOTHING
    is_any = any(book.pool_of(backend).endpoints for backend in rule.backends if backend.weight > 0)
    return "503: all endpoints are ejected" if is_any else "503: no endpoint is ready"
