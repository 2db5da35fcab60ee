"""Routes, compilation and picking (rayfleet_gateway.route.table, compiling, picking)."""

from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, REFERENCE_GRANTS, SERVICES
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.compiling import RouteCompiler
from rayfleet_gateway.route.match import MOST_PARAMETERS, Asked, Match, matches_path
from rayfleet_gateway.route.patterns import Pattern
from rayfleet_gateway.route.reading import parsed_duration
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.testing import compiler_of

A, B, C = (Endpoint(address=f"127.0.0.{number}", port=8000) for number in (1, 2, 3))


def _route(name: str = "r", *, namespace: str = "default", model: str = "m", **rule: Any) -> Json:
    match = {"headers": [{"name": "model", "value": model}], "path": {"type": "PathPrefix", "value": "/v1/completions"}}
    return {
        "metadata": {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"rules": [{"matches": [match], "backendRefs": [{"name": "s", "port": 8000}], **rule}]},
    }


def _service(namespace: str = "default") -> Json:
    return {
        "metadata": {"name": "s", "namespace": namespace},
        "spec": {"ports": [{"name": "serve", "port": 8000}, {"name": "http", "port": 8080}]},
    }


def _slice(*entries: tuple[str, bool], namespace: str = "default") -> Json:
    return {
        "metadata": {"name": "s-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"name": "serve", "port": 8000}, {"name": "http", "port": 8080}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address, ready in entries],
    }


def _compiled(*routes: Json, services: list[Json] | None = None, slices: list[Json] | None = None) -> RouteCompiler:
    return compiler_of(
        {
            HTTP_ROUTES: routes,
            SERVICES: [_service()] if services is None else services,
            ENDPOINT_SLICES: [_slice(("127.0.0.1", True))] if slices is None else slices,
        }
    )


def _table(*routes: Json, **objects: list[Json]) -> RouteTable:
    return _compiled(*routes, **objects).table()


def _route_of(table: RouteTable, path: str, model: str = "m", **headers: str) -> str | None:
    rule = table.rule_for(method="POST", host="gw", path=path, query="", model=model, headers=headers)
    return rule.route if rule else None


@pytest.mark.parametrize(
    ("path", "matches"),
    [("/v1/completions", True), ("/v1/completions/x", True), ("/v1/completionsx", False), ("/v1", False)],
)
def test_a_prefix_matches_whole_segments(path: str, matches: bool) -> None:
    assert matches_path(Match(path="/v1/completions"), path) is matches


def test_only_ready_endpoints_of_the_named_port_are_behind_a_route() -> None:
    table = _table(_route(), slices=[_slice(("127.0.0.1", True), ("127.0.0.2", False))])
    (rule,) = table.by_model["m"]
    assert rule.backends[0].endpoints == (A,)


def test_the_longest_prefix_wins_then_more_headers_then_age_then_name() -> None:
    longer = _route("longer")
    longer["spec"]["rules"][0]["matches"][0]["path"]["value"] = "/v1/completions/special"
    headers = _route("headers")
    headers["spec"]["rules"][0]["matches"][0]["headers"].append({"name": "X-Tier", "value": "gold"})
    young = _route("a-young")
    young["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    table = _table(_route("b"), _route("c"), young, headers, longer)
    assert _route_of(table, "/v1/completions/special") == "default/longer"
    assert _route_of(table, "/v1/completions", **{"x-tier": "gold"}) == "default/headers"
    assert _route_of(table, "/v1/completions") == "default/b"
    assert _route_of(table, "/v1/completions", model="other") is None


def test_a_backend_elsewhere_needs_a_grant_there() -> None:
    route = _route(namespace="gateways")
    route["spec"]["rules"][0]["backendRefs"][0]["namespace"] = "default"
    compiler = _compiled(route)
    (rule,) = compiler.table().by_model["m"]
    assert [(backend.is_valid, backend.endpoints) for backend in rule.backends] == [(False, ())]
    assert rule.failure_status == 500
    assert [each.reason for each in compiler.problems()] == ["RefNotPermitted"]
    grant = {
        "metadata": {"namespace": "default", "name": "g"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "gateways"}],
            "to": [{"kind": "Service"}],
        },
    }
    compiler.put(REFERENCE_GRANTS, ObjectKey(namespace="default", name="g"), grant)
    compiler.work()
    assert compiler.table().by_model["m"][0].backends[0].endpoints == (A,)
    assert list(compiler.problems()) == []


def test_the_route_says_the_timeout() -> None:
    (rule,) = _table(_route(timeouts={"request": "120s"})).by_model["m"]
    assert rule.request_timeout == timedelta(seconds=120)


@pytest.mark.parametrize(("text", "seconds"), [("120s", 120), ("1m30s", 90), ("500ms", 0.5), ("1h", 3600)])
def test_durations_are_read_as_gateway_api_writes_them(text: str, seconds: float) -> None:
    assert parsed_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "12", "1.5s", "s", "1s2", "100000s", "1s1s1s1s1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        parsed_duration(text)


def test_zero_is_kept_apart_from_no_timeout() -> None:
    assert parsed_duration("0s") == timedelta()


def test_a_route_that_is_not_readable_does_not_stop_the_others() -> None:
    broken = _route("broken")
    broken["spec"]["rules"][0]["backendRefs"][0] = {"port": 8000}
    compiler = _compiled(broken, _route("whole"))
    assert [rule.route for rule in compiler.table().by_model["m"]] == ["default/whole"]
    assert [str(each) for each in compiler.problems()] == [
        "HTTPRoute default/broken: spec.rules[0].backendRefs[0].name: None is no text"
    ]


def test_an_address_of_the_sixth_version_stands_in_brackets() -> None:
    assert str(Endpoint(address="fd00::1", port=80)) == "[fd00::1]:80"


def test_a_model_s_endpoints_are_those_of_all_its_backends_that_may_get_requests() -> None:
    """A canary of weight 0, and an older route's younger twin, serve nobody: nothing is ready behind them."""
    backends = [{"name": "s", "port": 8000, "weight": 9}, {"name": "t", "port": 8000, "weight": 1}]
    off = [{"name": "u", "port": 8000, "weight": 0}]
    services = [{**_service(), "metadata": {"name": name, "namespace": "default"}} for name in "stuv"]
    slices = []
    for number, name in enumerate("stuv", start=1):
        each = _slice((f"127.0.0.{number}", True))
        each["metadata"] |= {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}}
        slices.append(each)
    older = _route("older", backendRefs=[*backends, *off])
    younger = _route("younger", backendRefs=[{"name": "v", "port": 8000}])
    younger["metadata"]["creationTimestamp"] = "2026-02-01T00:00:00Z"
    table = _table(older, younger, services=services, slices=slices)
    assert table.endpoints_of("m") == {A, B}
    assert table.endpoints_of("other") == frozenset()


def test_a_service_that_nobody_told_of_is_waited_for_and_one_that_went_is_not() -> None:
    """A new route must not answer 500 because the watch of Services is a moment behind."""
    compiler = RouteCompiler()
    key = ObjectKey(namespace="default", name="s")

    def is_valid() -> bool:
        compiler.work()
        (rule,) = compiler.table().by_model["m"]
        return rule.backends[0].is_valid

    compiler.put(HTTP_ROUTES, ObjectKey(namespace="default", name="r"), _route())
    assert is_valid()
    assert [problem.reason for problem in compiler.problems()] == ["BackendNotFound"]
    awaited = compiler.take_awaited()
    assert (awaited, compiler.take_awaited()) == ((key,), ())
    compiler.miss(awaited)
    assert not is_valid()
    compiler.put(SERVICES, key, _service())
    compiler.miss(awaited)
    assert is_valid()
    compiler.put(SERVICES, key, None)
    assert not is_valid()
    compiler.put(SERVICES, key, {"spec": {"ports": 1}})
    assert not is_valid()
    assert compiler.take_awaited() == ()


def test_half_a_surrogate_pair_fits_no_pattern() -> None:
    """A client's JSON can name such a model: RE2 raised, and the request was a fault of ours."""
    assert Pattern("q.*").fits("q-\U0001f600")
    assert not Pattern("q.*").fits("q-\ud800")


def test_a_query_is_read_once_and_not_without_end() -> None:
    """A head has room for 30,000 parameters, and each rule that looks at one read all of them: 40 ms each."""

    def asked(query: str) -> Asked:
        return Asked(method="GET", host="h", path="/", query=query, headers={}, model="")

    one = asked("v=1&v=2&w=%20")
    assert (dict(one.parameters), one.parameters is one.parameters) == ({"v": "1", "w": " "}, True)
    assert asked("x&" * (MOST_PARAMETERS - 1) + "v=1&y=2").parameters == {"x": "", "v": "1"}
    assert "v" not in asked("x&" * MOST_PARAMETERS + "v=1").parameters
