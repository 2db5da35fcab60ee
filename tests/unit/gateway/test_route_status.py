"""Gateways and routes: which is attached where, and what each is told of itself (route.gateways, route.status)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, GATEWAYS, HTTP_ROUTES, SERVICES
from rayfleet.objects.conditions import entry_of
from rayfleet.objects.labels import PROFILE_ANNOTATION
from rayfleet.objects.meta import key_of
from rayfleet.objects.routes import complaints
from rayfleet_gateway.route.compiling import RouteCompiler
from rayfleet_gateway.route.gateways import shared_hostname
from rayfleet_gateway.route.status import attached_routes, gateway_status, route_status
from rayfleet_gateway.testing import compiler_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = ObjectKey(namespace="gateways", name="ours")
SERVICE: Json = {"metadata": {"name": "s", "namespace": "n"}, "spec": {"ports": [{"name": "p", "port": 80}]}}


def listener(name: str = "http", *, allowed: str | None = "All", **fields: Any) -> Json:
    namespaces = {} if allowed is None else {"allowedRoutes": {"namespaces": {"from": allowed}}}
    return {"name": name, "port": 80, "protocol": "HTTP", **namespaces, **fields}


def gateway(*listeners: Json, name: str = "ours", of_class: str = "rayfleet") -> Json:
    meta = {"name": name, "namespace": "gateways", "generation": 2}
    return {"metadata": meta, "spec": {"gatewayClassName": of_class, "listeners": list(listeners or [listener()])}}


def route(*parents: Json, name: str = "r", backend: str = "s", **spec: Any) -> Json:
    rules = [{"matches": [{"path": {"value": "/v1"}}], "backendRefs": [{"name": backend, "port": 80}]}]
    meta = {"name": name, "namespace": "n", "generation": 7}
    return {"metadata": meta, "spec": {"parentRefs": list(parents), "rules": rules, **spec}}


def parent(name: str = "ours", **fields: Any) -> Json:
    return {"name": name, "namespace": "gateways", **fields}


def compiled(routes: Sequence[Json], *gateways: Json, only: ObjectKey | None = None) -> RouteCompiler:
    objects = {SERVICES: [SERVICE], ENDPOINT_SLICES: [], GATEWAYS: gateways or [gateway()], HTTP_ROUTES: routes}
    return compiler_of(objects, only)


def hosts(compiler: RouteCompiler) -> list[str]:
    return sorted(rule.match.hostname or "any" for rule in compiler.table().for_any)


def status(raw: Json, *gateways: Json, now: datetime = NOW) -> Json | None:
    return route_status(raw, compiled([raw], *gateways).routes[key_of(raw)], now)


def conditions(entry: Json) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in entry["conditions"]}


@pytest.mark.parametrize(
    ("parents", "gateways", "is_used"),
    [
        ([parent()], [gateway()], True),
        ([parent()], [gateway(of_class="other")], False),
        ([parent(), parent("others")], [gateway(), gateway(name="others", of_class="other")], True),
        ([parent("nobody")], [gateway()], True),  # as on one machine, where nobody else will ever serve it
        ([parent("nobody"), parent("others")], [gateway(name="others", of_class="other")], False),
        ([], [gateway()], True),
        ([{"kind": "Service", "group": "", "name": "mesh"}], [gateway()], True),
    ],
)
def test_a_route_is_used_that_is_for_us_or_for_nobody(parents: list[Json], gateways: list[Json], is_used: bool) -> None:
    assert hosts(compiled([route(*parents)], *gateways)) == (["any"] if is_used else [])


def test_a_gateway_that_was_started_for_one_uses_the_routes_of_that_one() -> None:
    routes = [
        route(parent(), name="a"),
        route(parent("others"), name="b"),
        route(name="c"),
        route(parent("gone"), name="d"),
    ]
    gateways = [gateway(), gateway(name="others", of_class="other")]
    only = ObjectKey(namespace="gateways", name="others")
    assert [rule.route for rule in compiled(routes, *gateways, only=only).table().for_any] == ["n/b"]
    assert compiled(routes, only=only).table().for_any == ()


@pytest.mark.parametrize(
    ("listeners", "reference", "reason"),
    [
        ([listener()], parent(), "Accepted"),
        ([listener()], parent(sectionName="http", port=80), "Accepted"),
        ([listener()], parent(sectionName="https"), "NoMatchingParent"),
        ([listener()], parent(port=81), "NoMatchingParent"),
        ([listener(allowed="Same")], parent(), "NotAllowedByListeners"),
        ([listener(allowed=None)], parent(), "NotAllowedByListeners"),
        ([listener(allowed="Selector")], parent(), "NotAllowedByListeners"),
        ([listener(protocol="TLS")], parent(), "NotAllowedByListeners"),
        (
            [listener(allowedRoutes={"namespaces": {"from": "All"}, "kinds": [{"kind": "GRPCRoute"}]})],
            parent(),
            "NotAllowedByListeners",
        ),
        ([listener(hostname="b.example.org")], parent(), "NoMatchingListenerHostname"),
        ([listener(hostname="b.example.org"), listener("two")], parent(), "Accepted"),
    ],
)
def test_the_route_is_told_whether_its_gateway_takes_it(listeners: list[Json], reference: Json, reason: str) -> None:
    raw = route(reference, hostnames=["a.example.org"])
    written = status(raw, gateway(*listeners))
    assert written is not None
    [entry] = written["parents"]
    assert entry["controllerName"] == "rayfleet.dev/gateway"
    assert entry["parentRef"] == reference
    accepted = entry_of(entry["conditions"], "Accepted")
    assert (accepted["status"] == "True", accepted["reason"]) == (reason == "Accepted", reason)
    assert {each["observedGeneration"] for each in entry["conditions"]} == {7}
    assert hosts(compiled([raw], gateway(*listeners))) == (["a.example.org"] if reason == "Accepted" else [])


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("", "", ""),
        ("", "a.example.org", "a.example.org"),
        ("*.example.org", "", "*.example.org"),
        ("*.example.org", "a.example.org", "a.example.org"),
        ("a.b.example.org", "*.example.org", "a.b.example.org"),
        ("*.example.org", "*.a.example.org", "*.a.example.org"),
        ("*.example.org", "example.org", None),
        ("*.example.org", "badexample.org", None),
        ("a.example.org", "b.example.org", None),
    ],
)
def test_what_two_host_names_share(one: str, other: str, shared: str | None) -> None:
    assert shared_hostname(one, other) == shared
    assert shared_hostname(other, one) == shared


def test_a_route_serves_the_host_names_that_it_shares_with_its_listeners() -> None:
    gateways = gateway(listener(hostname="*.example.org"), listener("two", hostname="b.example.net"))
    assert hosts(compiled([route(parent())], gateways)) == ["*.example.org", "b.example.net"]
    raw = route(parent(), hostnames=["a.example.org", "b.example.net", "c.example.com"])
    assert hosts(compiled([raw], gateways)) == ["a.example.org", "b.example.net"]


def test_a_reference_that_leads_nowhere_is_told_in_a_way_that_fleets_repeat() -> None:
    raw = route(parent(), backend="gone")
    written = status(raw)
    assert written is not None
    [entry] = written["parents"]
    assert conditions(entry) == {"Accepted": ("True", "Accepted"), "ResolvedRefs": ("False", "BackendNotFound")}
    [complaint] = complaints(raw | {"status": written})
    assert complaint.message == "spec.rules[0].backendRefs[0]: there is no Service n/gone"


def test_rules_that_are_left_out_are_told_beside_those_in_use() -> None:
    raw = route(parent())
    raw["spec"]["rules"].append({"filters": [{"type": "RequestMirror"}]})
    written = status(raw)
    assert written is not None
    [entry] = written["parents"]
    assert conditions(entry)["Accepted"] == ("True", "Accepted")
    assert conditions(entry)["PartiallyInvalid"] == ("True", "UnsupportedValue")
    del raw["spec"]["rules"][0]
    of_bad_rules_only = status(raw)
    assert of_bad_rules_only is not None
    assert conditions(of_bad_rules_only["parents"][0])["Accepted"] == ("False", "UnsupportedValue")
    mended = route(parent()) | {"status": written}
    rewritten = status(mended)
    assert rewritten is not None
    assert "PartiallyInvalid" not in conditions(rewritten["parents"][0])


def test_what_was_written_is_not_written_again_and_times_move_only_with_the_status() -> None:
    raw = route(parent(), backend="gone")
    written = status(raw)
    assert written is not None
    later = NOW + timedelta(hours=1)
    assert status(raw | {"status": written}, now=later) is None
    mended = status(route(parent()) | {"status": written}, now=later)
    assert mended is not None
    times = {each["type"]: each["lastTransitionTime"] for each in mended["parents"][0]["conditions"]}
    assert times == {"Accepted": "2026-01-01T00:00:00Z", "ResolvedRefs": "2026-01-01T01:00:00Z"}


def test_entries_of_others_stay_and_ours_for_a_parent_that_is_gone_goes() -> None:
    foreign = {"parentRef": parent("others"), "controllerName": "example.org/x", "conditions": []}
    ours_of_old = {"parentRef": parent("old"), "controllerName": "rayfleet.dev/gateway", "conditions": []}
    raw = route(parent()) | {"status": {"parents": [foreign, ours_of_old]}}
    written = status(raw)
    assert written is not None
    assert [entry["parentRef"]["name"] for entry in written["parents"]] == ["others", "ours"]


def test_a_route_for_nobody_is_told_nothing() -> None:
    assert status(route(parent("nobody"))) is None
    assert status(route()) is None
    assert status(route(parent()), gateway(of_class="other")) is None


def test_a_gateway_counts_its_routes_by_listener_and_is_not_told_twice() -> None:
    raw = gateway(listener(), listener("other", hostname="b.example.org"), listener("tls", protocol="HTTPS"))
    routes = [route(parent(), name="a"), route(parent(sectionName="http"), name="b"), route(parent("x"), name="c")]
    compiler = compiled(routes, raw)
    spec, attached = compiler.gateways[OURS], attached_routes(compiler.routes.values())
    written = gateway_status(raw, spec, attached, NOW)
    assert written is not None
    assert {each["name"]: each["attachedRoutes"] for each in written["listeners"]} == {"http": 2, "other": 1, "tls": 0}
    assert conditions(written) == {"Accepted": ("True", "ListenersNotValid"), "Programmed": ("True", "Programmed")}
    by_name = {each["name"]: conditions(each) for each in written["listeners"]}
    assert by_name["http"]["Programmed"] == ("True", "Programmed")
    assert by_name["tls"]["Accepted"] == ("False", "UnsupportedProtocol")
    addressed = raw | {"status": written | {"addresses": [{"value": "127.0.0.1"}]}}
    assert gateway_status(addressed, spec, attached, NOW + timedelta(hours=1)) is None


def test_a_gateway_of_another_class_is_told_nothing() -> None:
    raw = gateway(of_class="other")
    spec = compiled([], raw, only=OURS).gateways[OURS]
    assert spec.is_ours
    assert gateway_status(raw, spec, {}, NOW) is None


def test_a_listener_that_cannot_be_read_is_told_and_the_others_serve() -> None:
    raw = gateway({"name": "bad", "port": "x"}, listener())
    compiler = compiled([route(parent())], raw)
    assert hosts(compiler) == ["any"]
    assert [(each.kind, each.field) for each in compiler.problems()] == [("Gateway", "spec.listeners[0].port")]


def test_the_name_of_a_profile_that_is_not_there_is_told_to_the_route() -> None:
    """The route is used all the same, by the default profile."""
    raw = route(parent())
    raw["metadata"]["annotations"] = {PROFILE_ANNOTATION: "least-requests"}
    compiler = RouteCompiler(profile_fault=lambda name: f"{name!r} is no profile here")
    for resource, each in ((SERVICES, SERVICE), (GATEWAYS, gateway()), (HTTP_ROUTES, raw)):
        compiler.put(resource, key_of(each), each)
    compiler.work()
    made = route_status(raw, compiler.routes[key_of(raw)], NOW)
    assert made is not None
    accepted = entry_of(made["parents"][0]["conditions"], "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Accepted")
    assert f"{PROFILE_ANNOTATION}\"]: 'least-requests' is no profile here; the default" in accepted["message"]
    assert [problem.name for problem in compiler.problems()] == ["r"]
