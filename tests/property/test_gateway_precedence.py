"""Which rule a request takes, against a second reading of Gateway API's text that shares no code with the first.

The oracle looks at everything for each request: it expands no host names, keeps no index and no ranks, and compares two
candidates by walking down the list in the documentation of ``HTTPRouteSpec.hostnames`` and ``HTTPRouteRule.matches``
(Gateway API v1.6). Where the text leaves a choice, ours is written down: patterns stand between exact paths and
prefixes, and of a query parameter that is sent twice the first counts.
"""

import random
import re
from collections.abc import Iterator
from functools import cmp_to_key
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import pytest

from rayfleet.model.json import Json
from rayfleet.model.resources import GATEWAYS, HTTP_ROUTES
from rayfleet_gateway.testing import compiler_of

CASES, CASES_A_TABLE = 20_000, 50
HOSTS = ("gw", "a.example.org", "b.a.example.org", "example.org", "a.example.org:8080", "A.Example.ORG", "other.net")
ROUTE_HOSTS = ("a.example.org", "*.example.org", "*.a.example.org", "example.org", "gw", "B.a.Example.org")
PATHS = ("/", "/v1", "/v1/", "/v1/x", "/v1/xy", "/v1/x/", "/v1/x/y", "/v2")
PATTERNS = ("/v1/.*", "/v[12]", "/v1/x(/y)?")
MODELS = ("", "a", "b")
QUERIES = ("", "k=1", "k=2&j=1", "k=1&k=2", "K=1", "k=%31", "j=1&k=1")


class Candidate(NamedTuple):
    hostname: str  # of the route and a listener together; empty: any
    match: Json
    created: str
    route: str
    rule: int
    place: int


class Sent(NamedTuple):
    method: str
    host: str
    path: str
    query: str
    headers: dict[str, str]
    model: str


def _chosen_match(rng: random.Random) -> Json:
    match: Json = {}
    if rng.random() < 0.8:
        kind = rng.choice(["Exact", "PathPrefix", "PathPrefix", "RegularExpression"])
        match["path"] = {"type": kind, "value": rng.choice(PATTERNS if kind == "RegularExpression" else PATHS)}
    headers = []
    for name, values in (("model", ["a", "b"]), ("Model", ["b"]), ("X-Tier", ["gold", "tin"]), ("x-tier", ["tin"])):
        if rng.random() < 0.3:
            is_pattern = rng.random() < 0.2
            kinds = {"type": "RegularExpression"} if is_pattern else rng.choice([{}, {"type": "Exact"}])
            headers.append({"name": name, "value": "[ag].*" if is_pattern else rng.choice(values), **kinds})
    if headers:
        match["headers"] = headers
    if rng.random() < 0.3:
        match["queryParams"] = [
            {"name": rng.choice("kj"), "value": rng.choice("12")} for _ in range(rng.randrange(1, 3))
        ]
    if rng.random() < 0.3:
        match["method"] = rng.choice(["GET", "POST"])
    return match


def _chosen_routes(rng: random.Random) -> list[Json]:
    routes = []
    for name in rng.sample("pqrstuv", rng.randrange(1, 6)):
        rules: list[Json] = []
        for _ in range(rng.randrange(1, 3)):
            matches = [_chosen_match(rng) for _ in range(rng.randrange(0, 4))]
            rules.append({"matches": matches} if matches else {})
        spec: Json = {"rules": rules}
        if rng.random() < 0.6:
            spec["hostnames"] = rng.sample(ROUTE_HOSTS, rng.randrange(1, 3))
        section = rng.choice(["any", "wild", ""])
        if rng.random() < 0.5:
            spec["parentRefs"] = [{"name": "ours", "namespace": "n"} | ({"sectionName": section} if section else {})]
        created = f"2026-01-0{rng.randrange(1, 3)}T00:00:00Z"
        meta = {"name": name, "namespace": rng.choice("no"), "creationTimestamp": created}
        routes.append({"metadata": meta, "spec": spec})
    return routes


GATEWAY: Json = {
    "metadata": {"name": "ours", "namespace": "n"},
    "spec": {
        "gatewayClassName": "rayfleet",
        "listeners": [
            {"name": "any", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}},
            {"name": "wild", "port": 81, "protocol": "HTTP", "hostname": "*.example.org"},
        ],
    },
}


def _hostnames(route: Json) -> Iterator[str]:
    """Yield the host names of a route at the listeners that take it, as the text of ``hostnames`` says."""
    named = [name.lower() for name in route["spec"].get("hostnames", [])]
    parents = route["spec"].get("parentRefs")
    if not parents:
        yield from named or [""]
        return
    for listener in GATEWAY["spec"]["listeners"]:
        is_meant = parents[0].get("sectionName", listener["name"]) == listener["name"]
        is_allowed = "allowedRoutes" in listener or route["metadata"]["namespace"] == "n"
        if not (is_meant and is_allowed):
            continue
        pattern = listener.get("hostname", "")
        for name in named or [""]:
            if not pattern or not name:
                yield name or pattern
            elif _host_fits(pattern, name.removeprefix("*.") if name.startswith("*.") else name) or pattern == name:
                yield name


def _host_fits(name: str, host: str) -> bool:
    labels, sent = name.split("."), host.split(".")
    if name == "":
        return True
    if labels[0] == "*":
        return len(sent) >= len(labels) and sent[len(sent) - len(labels) + 1 :] == labels[1:]
    return labels == sent


def _path_fits(path: Json, sent: str) -> bool:
    value = path["value"]
    match path["type"]:
        case "Exact":
            return bool(sent == value)
        case "RegularExpression":
            return re.fullmatch(value, sent) is not None
    wanted = value.split("/") if not value.endswith("/") else value.split("/")[:-1]
    return bool(sent.split("/")[: len(wanted)] == wanted)


def _value_fits(entry: Json, sent: str | None) -> bool:
    if sent is None or (entry.get("type") == "RegularExpression" and not sent):
        return False
    is_pattern = entry.get("type") == "RegularExpression"
    return re.fullmatch(entry["value"], sent) is not None if is_pattern else bool(sent == entry["value"])


def _first_of_each(entries: list[Json], *, has_case: bool) -> list[Json]:
    kept: dict[str, Json] = {}
    for entry in entries:
        kept.setdefault(entry["name"] if has_case else entry["name"].lower(), entry)
    return list(kept.values())


def _headers(match: Json) -> list[Json]:
    return _first_of_each(match.get("headers", []), has_case=False)


def _params(match: Json) -> list[Json]:
    return _first_of_each(match.get("queryParams", []), has_case=True)


def _fits(candidate: Candidate, sent: Sent) -> bool:
    match = candidate.match
    host = sent.host.lower().split(":")[0]
    parameters: dict[str, str] = {}
    for pair in sent.query.split("&"):
        name, _, value = pair.partition("=")
        parameters.setdefault(unquote_plus(name), unquote_plus(value))
    headers = {**sent.headers, **({"model": sent.model} if sent.model else {})}
    return (
        _host_fits(candidate.hostname, host)
        and _path_fits(match.get("path", {"type": "PathPrefix", "value": "/"}), sent.path)
        and match.get("method") in {None, sent.method}
        and all(_value_fits(entry, headers.get(entry["name"].lower())) for entry in _headers(match))
        and all(_value_fits(entry, parameters.get(entry["name"])) for entry in _params(match))
    )


def _compare(one: Candidate, other: Candidate) -> int:
    """Return less than 0 when ``one`` comes first, by the lists in the documentation."""

    def larger(first: int, second: int) -> int:
        return second - first

    def precise(each: Candidate) -> int:
        return 0 if "*" in each.hostname else len(each.hostname)

    def kind(each: Candidate) -> int:
        order = ["Exact", "RegularExpression", "PathPrefix"]
        return order.index(each.match.get("path", {"type": "PathPrefix"})["type"])

    def letters(each: Candidate) -> int:
        path: Any = each.match.get("path", {"type": "PathPrefix", "value": "/"})
        return len(path["value"] if path["type"] == "RegularExpression" else path["value"].rstrip("/"))

    steps = (
        larger(precise(one), precise(other)),
        larger(len(one.hostname), len(other.hostname)),
        kind(one) - kind(other),
        larger(letters(one), letters(other)),
        larger("method" in one.match, "method" in other.match),
        larger(len(_headers(one.match)), len(_headers(other.match))),
        larger(len(_params(one.match)), len(_params(other.match))),
        (one.created > other.created) - (one.created < other.created),
        (one.route > other.route) - (one.route < other.route),
        one.rule - other.rule,
        one.place - other.place,
    )
    return next((step for step in steps if step), 0)


def _taken(routes: list[Json], sent: Sent) -> tuple[str, int] | None:
    candidates = []
    for route in routes:
        meta = route["metadata"]
        for hostname in set(_hostnames(route)):
            place = 0
            for number, rule in enumerate(route["spec"]["rules"]):
                for match in rule.get("matches") or [{}]:
                    place += 1
                    key = f"{meta['namespace']}/{meta['name']}"
                    each = Candidate(hostname, match, meta["creationTimestamp"], key, number, place)
                    candidates += [each] if _fits(each, sent) else []
    best = min(candidates, key=cmp_to_key(_compare), default=None)
    return None if best is None else (best.route, best.place)


@pytest.mark.parametrize("share", range(8))
def test_every_request_takes_the_rule_that_the_text_says(share: int) -> None:
    rng = random.Random(share)  # noqa: S311 - no secret
    differences: list[object] = []
    met = 0
    for _ in range(CASES // CASES_A_TABLE // 8):
        routes = _chosen_routes(rng)
        table = compiler_of({HTTP_ROUTES: routes, GATEWAYS: [GATEWAY]}).table()
        for _ in range(CASES_A_TABLE):
            sent = Sent(
                method=rng.choice(["GET", "POST"]),
                host=rng.choice(HOSTS),
                path=rng.choice([*PATHS, "/v1/x/y/z"]),
                query=rng.choice(QUERIES),
                headers=rng.choice([{}, {"x-tier": "gold"}, {"x-tier": "tin"}]),
                model=rng.choice(MODELS),
            )
            rule = table.rule_for(**sent._asdict())
            taken = None if rule is None else (rule.route, rule.rank[-1])
            expected = _taken(routes, sent)
            met += expected is not None
            if taken != expected:
                differences.append((routes, sent, taken, expected))
            if expected is not None and not table.has_path(sent.host, sent.path):
                differences.append((routes, sent, "no such path"))
    assert differences[:1] == []
    assert met > CASES // 8 // 4
