"""HTTPRoutes as they are written: what is used, and what is refused with the path of its field (route.reading)."""

from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.resources import ENDPOINT_SLICES, HTTP_ROUTES, REFERENCE_GRANTS, SERVICES
from rayfleet_gateway.route.compiling import RouteCompiler
from rayfleet_gateway.route.filters import NO_FILTERS
from rayfleet_gateway.route.table import Rule
from rayfleet_gateway.testing import compiler_of

MATCH: Json = {"path": {"type": "PathPrefix", "value": "/v1"}}
BACKEND: Json = {"name": "s", "port": 80}
SERVICE: Json = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"name": "p", "port": 80}]}}
ENDPOINTS: Json = {
    "metadata": {"name": "s-1", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
    "ports": [{"name": "p", "port": 8000}],
    "endpoints": [{"addresses": ["10.0.0.1"]}],
}


def rule(**fields: Any) -> Json:
    return {"matches": [MATCH], "backendRefs": [BACKEND], **fields}


def compiled(*rules: Json, **spec: Any) -> RouteCompiler:
    route = {"metadata": {"name": "r", "namespace": "n"}, "spec": {"rules": list(rules), **spec}}
    return compiler_of({HTTP_ROUTES: [route], SERVICES: [SERVICE], ENDPOINT_SLICES: [ENDPOINTS]})


def rules_of(compiler: RouteCompiler) -> list[Rule]:
    table = compiler.table()
    return [*table.for_any, *(rule for rules in table.by_model.values() for rule in rules)]


def matching(**fields: Any) -> Json:
    return rule(matches=[MATCH | fields])


def filtering(*filters: Json) -> Json:
    return rule(filters=list(filters))


@pytest.mark.parametrize(
    ("bad", "field", "reason", "words"),
    [
        (
            filtering({"type": "RequestMirror"}),
            "filters[0].type",
            "UnsupportedValue",
            "RequestMirror are not supported",
        ),
        (filtering({"type": "ExtensionRef"}), "filters[0].type", "UnsupportedValue", "ExtensionRef are not supported"),
        (filtering({"type": "CORS"}), "filters[0].type", "UnsupportedValue", "CORS are not supported"),
        (rule(retry={"attempts": 2}), "retry", "UnsupportedValue", "is not supported"),
        (rule(sessionPersistence={}), "sessionPersistence", "UnsupportedValue", "is not supported"),
        (rule(timeouts={"request": "1x"}), "timeouts.request", "UnsupportedValue", "not a duration"),
        (rule(timeouts={"idle": "1s"}), "timeouts.idle", "UnsupportedValue", "is not supported"),
        (
            rule(timeouts={"request": "1s", "backendRequest": "2s"}),
            "timeouts.backendRequest",
            "UnsupportedValue",
            "longer than timeouts.request",
        ),
        (matching(path={"type": "Glob", "value": "/*"}), "matches[0].path.type", "UnsupportedValue", "'Glob'"),
        (matching(path={"value": "v1"}), "matches[0].path.value", "UnsupportedValue", "no plain absolute path"),
        (matching(path={"value": "/a/../b"}), "matches[0].path.value", "UnsupportedValue", "no plain absolute path"),
        (
            matching(path={"type": "RegularExpression", "value": "(a"}),
            "matches[0].path.value",
            "UnsupportedValue",
            "no regular expression",
        ),
        (
            matching(path={"type": "RegularExpression", "value": "a" * 2000}),
            "matches[0].path.value",
            "UnsupportedValue",
            "2000 letters",
        ),
        (
            matching(headers=[{"name": "a b", "value": "x"}]),
            "matches[0].headers[0].name",
            "UnsupportedValue",
            "no name",
        ),
        (matching(headers=[{"name": "a"}]), "matches[0].headers[0].value", "UnsupportedValue", "no text"),
        (matching(method="BREW"), "matches[0].method", "UnsupportedValue", "'BREW'"),
        (matching(cookies=[]), "matches[0].cookies", "UnsupportedValue", "is not supported"),
        (rule(matches=[MATCH] * 65), "matches", "UnsupportedValue", "at most 64"),
        (rule(matches="x"), "matches", "UnsupportedValue", "no list"),
        (
            rule(matches=[{"path": {"type": "RegularExpression", "value": f"/{n}"}} for n in range(33)]),
            "matches",
            "UnsupportedValue",
            "at most 32 regular expressions",
        ),
        (
            rule(backendRefs=[BACKEND | {"filters": [{"type": "RequestHeaderModifier"}]}]),
            "backendRefs[0].filters",
            "UnsupportedValue",
            "single backend",
        ),
        (rule(backendRefs=[BACKEND | {"weight": -1}]), "backendRefs[0].weight", "UnsupportedValue", "not between"),
        (
            filtering({"type": "RequestRedirect", "requestRedirect": {}}),
            "backendRefs",
            "IncompatibleFilters",
            "beside a RequestRedirect",
        ),
        (
            filtering({"type": "URLRewrite", "urlRewrite": {}}, {"type": "URLRewrite", "urlRewrite": {}}),
            "filters[1].type",
            "IncompatibleFilters",
            "two filters",
        ),
        (
            filtering({"type": "URLRewrite", "urlRewrite": {}}, {"type": "RequestRedirect", "requestRedirect": {}}),
            "filters",
            "IncompatibleFilters",
            "exclude each other",
        ),
        (
            filtering(
                {
                    "type": "RequestHeaderModifier",
                    "requestHeaderModifier": {"set": [{"name": "Content-Length", "value": "0"}]},
                }
            ),
            "filters[0].requestHeaderModifier.set[0].name",
            "UnsupportedValue",
            "not a route's to change",
        ),
        (
            filtering(
                {
                    "type": "ResponseHeaderModifier",
                    "responseHeaderModifier": {"add": [{"name": "A", "value": "b\r\nC: d"}]},
                }
            ),
            "filters[0].responseHeaderModifier.add[0].value",
            "UnsupportedValue",
            "no header may have",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_by_name_and_takes_no_request(
    bad: Json, field: str, reason: str, words: str
) -> None:
    good = rule(matches=[{"path": {"type": "Exact", "value": "/good"}}])
    compiler = compiled(good, bad)
    assert [each.match.path for each in rules_of(compiler)] == ["/good"]
    [problem] = compiler.problems()
    assert (problem.kind, problem.name, problem.field, problem.reason) == (
        "HTTPRoute",
        "r",
        f"spec.rules[1].{field}",
        reason,
    )
    assert words in problem.message


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"hostnames": ["a b"]}, "spec.hostnames[0]"),
        ({"hostnames": ["10.0.0.1"]}, "spec.hostnames[0]"),
        ({"hostnames": "x.example.org"}, "spec.hostnames"),
        ({"rules": {}}, "spec.rules"),
        ({"rules": [rule()] * 17}, "spec.rules"),
        ({"useDefaultGateways": "All"}, "spec.useDefaultGateways"),
    ],
)
def test_a_route_that_cannot_be_used_at_all_takes_no_request(spec: Json, field: str) -> None:
    compiler = compiled(rule(), **spec)
    assert rules_of(compiler) == []
    assert [problem.field for problem in compiler.problems()] == [field]


def test_a_route_may_have_128_matches_and_no_more() -> None:
    matches = [{"path": {"type": "Exact", "value": f"/{number}"}} for number in range(64)]
    compiler = compiled(rule(matches=matches), rule(matches=matches), rule())
    assert len(rules_of(compiler)) == 128
    assert [problem.field for problem in compiler.problems()] == ["spec.rules[2].matches"]


def test_a_route_may_not_take_the_loop_for_long() -> None:
    headers = [{"name": f"h{number}", "value": "x"} for number in range(16)]
    crowded = rule(matches=[{"path": {"type": "Exact", "value": f"/{n}"}, "headers": headers} for n in range(33)])
    compiler = compiled(rule(), crowded)
    assert [problem.field for problem in compiler.problems()] == ["spec.rules[1].matches"]
    matches = [{"path": {"type": "Exact", "value": f"/{number}"}} for number in range(64)]
    names = [f"h{number}.example.org" for number in range(17)]
    assert len(rules_of(compiled(rule(matches=matches), hostnames=names[:16]))) == 1024
    wide = compiled(rule(matches=matches), rule(), hostnames=names[:16])
    assert rules_of(wide) == []
    assert [problem.field for problem in wide.problems()] == ["spec.hostnames"]


def test_a_rule_without_matches_takes_every_path() -> None:
    [only] = rules_of(compiled({"backendRefs": [BACKEND]}))
    assert (only.match.path, only.match.prefix, only.filters) == ("/", "", NO_FILTERS)


def test_both_timeouts_are_read() -> None:
    [only] = rules_of(compiled(rule(timeouts={"request": "10s", "backendRequest": "2s500ms"})))
    assert (only.request_timeout, only.backend_timeout) == (timedelta(seconds=10), timedelta(seconds=2.5))


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ({"name": "gone", "port": 80}, "BackendNotFound"),
        ({"name": "s", "port": 81}, "BackendNotFound"),
        ({"name": "s", "port": 80, "namespace": "m"}, "RefNotPermitted"),
        ({"name": "s", "port": 80, "kind": "Bucket"}, "InvalidKind"),
        ({"name": "s", "port": 80, "group": "x.io"}, "InvalidKind"),
        ({"name": "s"}, "UnsupportedValue"),
    ],
)
def test_a_reference_to_nothing_keeps_its_share_and_is_told(backend: Json, reason: str) -> None:
    compiler = compiled(rule(backendRefs=[BACKEND, backend | {"weight": 3}]))
    [only] = rules_of(compiler)
    assert [(each.is_valid, each.weight, len(each.endpoints)) for each in only.backends] == [
        (True, 1, 1),
        (False, 3, 0),
    ]
    assert [(each.field, each.reason) for each in compiler.problems()] == [("spec.rules[0].backendRefs[1]", reason)]


@pytest.mark.parametrize(
    ("backends", "status"),
    [
        ([], 500),
        ([BACKEND | {"weight": 0}], 500),
        ([{"name": "gone", "port": 80}], 500),
        ([BACKEND], 503),
        ([BACKEND, {"name": "gone", "port": 80}], 503),
        ([BACKEND | {"weight": 0}, {"name": "gone", "port": 80}], 500),
    ],
)
def test_no_backend_is_a_fault_of_the_route_and_no_endpoint_is_not(backends: list[Json], status: int) -> None:
    [only] = rules_of(compiled(rule(backendRefs=backends)))
    assert only.failure_status == status


def test_a_service_that_cannot_be_read_is_told_and_counts_as_absent() -> None:
    route = {"metadata": {"name": "r", "namespace": "n"}, "spec": {"rules": [rule()]}}
    service = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"port": "x"}]}}
    compiler = compiler_of({SERVICES: [service], HTTP_ROUTES: [route]})
    assert {(each.kind, each.reason) for each in compiler.problems()} == {
        ("Service", "Invalid"),
        ("HTTPRoute", "BackendNotFound"),
    }


@pytest.mark.parametrize("name", ["X-Request-Id", "traceparent"])
def test_the_names_of_a_request_are_the_gateways_own(name: str) -> None:
    """A second one beside it would go out, and which of the two is read nobody could say."""
    for kind, part in (
        ("RequestHeaderModifier", "requestHeaderModifier"),
        ("ResponseHeaderModifier", "responseHeaderModifier"),
    ):
        compiler = compiled(filtering({"type": kind, part: {"set": [{"name": name, "value": "x"}]}}))
        assert [each.field for each in compiler.problems()] == [f"spec.rules[0].filters[0].{part}.set[0].name"]


@pytest.mark.parametrize("path", ["/a%20b", "/%61%20b"])
def test_an_escaped_path_is_met_by_what_it_stands_for(path: str) -> None:
    for kind in ("Exact", "PathPrefix"):
        [only] = rules_of(compiled(matching(path={"type": kind, "value": path})))
        assert only.match.path == "/a b"


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%2fb", "/a%zz", "/a%", "/%ff", "/a%00", "/%2e%2e/b", "/a%3Fb"])
def test_an_escape_that_two_readers_take_differently_is_refused(path: str) -> None:
    compiler = compiled(matching(path={"type": "Exact", "value": path}))
    assert [each.field for each in compiler.problems()] == ["spec.rules[0].matches[0].path.value"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["engine-0"]}]}, "endpoints"),
        ({"endpoints": [{"addresses": "10.0.0.1"}]}, "endpoints"),
        ({"endpoints": [{"addresses": ["10.0.0.01"]}]}, "endpoints"),
        ({"endpoints": [{"addresses": ["fe80::1%eth0"]}]}, "endpoints"),
        ({"endpoints": [{"addresses": ["a\0b"]}]}, "endpoints"),
        ({"ports": [{"name": "p", "port": 0}]}, "ports"),
        ({"ports": [{"name": "p", "port": 65536}]}, "ports"),
        ({"addressType": "FQDN"}, "addressType"),
    ],
)
def test_endpoints_that_nobody_can_connect_to_are_told_and_not_used(fields: Json, field: str) -> None:
    route = {"metadata": {"name": "r", "namespace": "n"}, "spec": {"rules": [rule()]}}
    well = ENDPOINTS | {"metadata": ENDPOINTS["metadata"] | {"name": "s-2"}, "endpoints": [{"addresses": ["fd00::2"]}]}
    compiler = compiler_of({SERVICES: [SERVICE], ENDPOINT_SLICES: [ENDPOINTS | fields, well], HTTP_ROUTES: [route]})
    [only] = rules_of(compiler)
    assert [str(each) for each in only.backends[0].endpoints] == ["[fd00::2]:8000"]
    [problem] = compiler.problems()
    assert (problem.kind, problem.name, problem.field) == ("EndpointSlice", "s-1", field)


def test_a_grant_for_another_group_of_the_same_kind_grants_nothing() -> None:
    grant = {
        "metadata": {"name": "g", "namespace": "m"},
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "n"}],
            "to": [{"group": "example.org", "kind": "Service"}],
        },
    }
    there = {"metadata": {"name": "s", "namespace": "m"}, "spec": SERVICE["spec"]}
    route = {
        "metadata": {"name": "r", "namespace": "n"},
        "spec": {"rules": [rule(backendRefs=[BACKEND | {"namespace": "m"}])]},
    }
    for group, reasons in (("example.org", ["RefNotPermitted"]), ("", [])):
        grant["spec"]["to"][0]["group"] = group  # type: ignore[index]
        compiler = compiler_of({SERVICES: [there], REFERENCE_GRANTS: [grant], HTTP_ROUTES: [route]})
        assert [each.reason for each in compiler.problems()] == reasons
