"""The route table against a slow reading of the Gateway API's precedence, and the picker against what it promises."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from rayfleet.model.json import Json
from rayfleet.model.resources import HTTP_ROUTES
from rayfleet_gateway.testing import compiler_of

MODELS, PATHS, TIERS, METHODS = (
    ("a", "b"),
    ("/", "/v1", "/v1/", "/v1/x", "/v1/xy", "/v1/x/y"),
    ("gold", "tin"),
    ("", "POST", "GET"),
)
START = datetime(2026, 1, 1, tzinfo=UTC)


@st.composite
def _matches(draw: st.DrawFn) -> Json:
    headers = []
    if model := draw(st.sampled_from([None, *MODELS])):
        headers.append({"name": draw(st.sampled_from(["model", "Model"])), "value": model})
    if tier := draw(st.sampled_from([None, *TIERS])):
        headers.append({"name": "X-Tier", "value": tier})
    path = {"type": draw(st.sampled_from(["PathPrefix", "Exact"])), "value": draw(st.sampled_from(PATHS))}
    method = draw(st.sampled_from(METHODS))
    return {"path": path, "headers": headers, **({"method": method} if method else {})}


@st.composite
def _routes(draw: st.DrawFn) -> list[Json]:
    names = draw(st.lists(st.sampled_from("pqrst"), unique=True, max_size=4))
    return [
        {
            "metadata": {
                "name": name,
                "namespace": draw(st.sampled_from(["n", "o"])),
                "creationTimestamp": (START + timedelta(days=draw(st.integers(0, 1)))).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "spec": {"rules": [{"matches": draw(st.lists(_matches(), min_size=1, max_size=3))} for _ in range(2)]},
        }
        for name in names
    ]


class _Candidate(NamedTuple):
    match: Json
    created: str
    route: str
    order: int


def _is_match(match: Json, method: str, path: str, headers: dict[str, str]) -> bool:
    value = match["path"]["value"]
    if match["path"]["type"] == "Exact":
        is_path = path == value
    else:  # element by element, a trailing slash aside
        prefix = [part for part in value.split("/") if part]
        is_path = [part for part in path.split("/") if part][: len(prefix)] == prefix
    has_headers = all(headers.get(each["name"].lower()) == each["value"] for each in match["headers"])
    return is_path and has_headers and match.get("method") in {None, method}


def _reference(routes: list[Json], method: str, path: str, headers: dict[str, str]) -> tuple[str, int] | None:
    """Filter all matches, one criterion after the other, as the specification of HTTPRouteRule lists them."""
    candidates = []
    for route in routes:
        matches = [match for rule in route["spec"]["rules"] for match in rule["matches"]]
        meta = route["metadata"]
        for order, match in enumerate(matches, start=1):
            if _is_match(match, method, path, headers):
                candidates.append(
                    _Candidate(match, meta["creationTimestamp"], f"{meta['namespace']}/{meta['name']}", order)
                )
    criteria: tuple[Callable[[_Candidate], Any], ...] = (
        lambda each: each.match["path"]["type"] != "Exact",
        lambda each: -len(each.match["path"]["value"].rstrip("/")),
        lambda each: "method" not in each.match,
        lambda each: -len(each.match["headers"]),
        lambda each: each.created,
        lambda each: each.route,
        lambda each: each.order,
    )
    for criterion in criteria:
        best = min(map(criterion, candidates), default=None)
        candidates = [each for each in candidates if criterion(each) == best]
    if not candidates:
        return None
    (best_one,) = candidates
    return best_one.route, best_one.order


@given(
    routes=_routes(),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(["/", "/v1", "/v1/x", "/v1/xy", "/v1/x/y", "/v1/x/y/z", "/v2"]),
    model=st.sampled_from([*MODELS, "c"]),
    tier=st.sampled_from([None, *TIERS]),
)
def test_a_request_takes_the_rule_that_gateway_api_says(
    routes: list[Json], method: str, path: str, model: str, tier: str | None
) -> None:
    headers = {"model": model} | ({"x-tier": tier} if tier else {})
    table = compiler_of({HTTP_ROUTES: routes}).table()
    rule = table.rule_for(method=method, host="gw", path=path, query="", model=model, headers=headers)
    expected = _reference(routes, method, path, headers)
    assert (None if rule is None else (rule.route, rule.rank[-1])) == expected
    if rule is not None:
        assert table.has_path("gw", path)
