"""An explanation says what happens: of each request the same rule, and a pick among the same endpoints."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from rayfleet.plugin.contracts import EndpointView, RequestView
from rayfleet_gateway.attempt.attempts import Ask, AttemptPolicy, Attempts
from rayfleet_gateway.attempt.explain import explained, question_of
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.pick.profiles import Contributed, Profile, Profiles
from rayfleet_gateway.route.filters import Filters, Redirect
from rayfleet_gateway.route.match import Match, PathKind
from rayfleet_gateway.route.patterns import Pattern
from rayfleet_gateway.route.table import Backend, RouteTable, Rule, table_of
from rayfleet_gateway.state.endpoints import EndpointBook

NOW = 50.0
ONE, TWO, THREE = (Endpoint(address="10.0.0.1", port=port) for port in (1, 2, 3))
PROFILES = Profiles(
    Contributed(),
    (Profile(name="scored", scorers={"least-request": 2}),),
    clock=lambda: NOW,
    report=lambda *_: None,
)


def rule(route: str, match: Match, *backends: Backend, profile: str = "", order: int = 0) -> Rule:
    return Rule(match=match, route=route, rank=(order,), backends=backends, profile=profile)


def backend(*endpoints: Endpoint, weight: int = 1, service: str = "ns/s") -> Backend:
    return Backend(service=service, weight=weight, endpoints=endpoints)


def of_model(model: str = "m", **more: Any) -> Match:
    return Match(path="/v1", headers={"model": model, **more.pop("headers", {})}, **more)


def explanation(
    table: RouteTable, book: EndpointBook | None = None, *, model: str, path: str = "/v1/completions"
) -> Any:
    if book is None:
        book = EndpointBook()
        book.sync(table)
    question = question_of([("path", path), ("model", model)])
    return orjson.loads(orjson.dumps(explained(table, book, PROFILES, question, NOW)))


@pytest.mark.parametrize(
    ("match", "verdict"),
    [
        (Match(path="/v2", headers={"model": "m"}), "the path is not /v2 or below it"),
        (Match(path="/v1", kind=PathKind.EXACT, headers={"model": "m"}), "the path is not /v1"),
        (Match(path="/v1/c.", kind=PathKind.PATTERN), "the path is not one that fits /v1/c."),
        (of_model(hostname="a.example"), "the host is not a.example"),
        (of_model(method="GET"), "the method is not GET"),
        (of_model(headers={"team": "a"}), "the header team is not a"),
        (Match(path="/v1", header_patterns={"model": Pattern("q.*")}), "the model does not fit q.*"),
        (of_model(query={"v": "1"}), "the query parameter v is not 1"),
        (of_model(query_patterns={"v": Pattern("[0-9]")}), "the query parameter v does not fit [0-9]"),
    ],
)
def test_each_rule_that_is_not_taken_says_why(match: Match, verdict: str) -> None:
    table = table_of(rule("ns/x", match, backend(ONE)), rule("ns/taken", of_model(), backend(TWO), order=1))
    shown = explanation(table, model="m")
    assert [(each["route"], each["verdict"]) for each in shown["candidates"]] == [
        ("ns/x", verdict),
        ("ns/taken", "taken"),
    ]
    assert shown["rule"]["route"] == "ns/taken"


def test_of_two_that_match_the_second_says_so() -> None:
    table = table_of(rule("ns/a", of_model(), backend(ONE)), rule("ns/b", of_model(), backend(TWO), order=1))
    verdicts = [each["verdict"] for each in explanation(table, model="m")["candidates"]]
    assert verdicts == ["taken", "matches, but another one comes first"]


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({"path": "/nowhere", "model": "m"}, "404: no route has this path"),
        ({"model": "other"}, "404: no route names this model"),
        ({"model": "empty"}, "503: no endpoint is ready"),
        ({"model": "nothing"}, "500: the route refers to nothing that can be asked"),
        ({"model": "invalid"}, "500: the route refers to nothing that can be asked"),
    ],
)
def test_a_refusal_is_told_with_its_status(parameters: dict[str, str], refused: str) -> None:
    broken = dataclasses.replace(backend(), is_valid=False)
    table = table_of(
        rule("ns/m", of_model(), backend(ONE)),
        rule("ns/empty", of_model("empty"), backend()),
        rule("ns/nothing", of_model("nothing"), dataclasses.replace(broken, weight=0)),
        rule("ns/invalid", of_model("invalid"), broken),
    )
    assert (
        explanation(table, model=parameters["model"], path=parameters.get("path", "/v1/completions"))["refused"]
        == refused
    )


def test_backends_tell_their_part_and_endpoints_their_state() -> None:
    table = table_of(rule("ns/m", of_model(), backend(ONE, TWO, weight=90), backend(THREE, weight=10, service="ns/t")))
    book = EndpointBook()
    book.sync(table)
    state = next(state for state in book.states() if state.endpoint == ONE)
    for _ in range(3):
        book.note(state, Failure.RESET, NOW, is_trial=False)
    shown = explanation(table, book, model="m")
    assert [(each["service"], each["part"]) for each in shown["backends"]] == [("ns/s", 0.9), ("ns/t", 0.1)]
    one, two = shown["backends"][0]["endpoints"]
    assert (one["state"], one["part"], two["state"], two["part"]) == ("ejected", 0, "ready", 1)
    assert 3.9 <= one["tried_in_seconds"] <= 6
    assert (state.in_flight, state.tried_at) == (0, None)


def test_scores_of_the_profile_are_shown() -> None:
    table = table_of(rule("ns/m", of_model(), backend(ONE, TWO), profile="scored"))
    book = EndpointBook()
    book.sync(table)
    next(state for state in book.states() if state.endpoint == TWO).in_flight = 1
    shown = explanation(table, book, model="m")
    assert (shown["rule"]["profile"], shown["rule"]["scorers"]) == ("scored", {"least-request": 2})
    assert [(each["score"], each["part"]) for each in shown["backends"][0]["endpoints"]] == [(2, 1), (1, 0)]


@pytest.mark.parametrize("picker", ["least-request", "power-of-two", "random", "round-robin", "scored"])
def test_what_is_explained_is_what_happens(picker: str) -> None:
    table = table_of(rule("ns/m", of_model(), backend(ONE, TWO, THREE), profile=picker))
    book = EndpointBook()
    book.sync(table)
    for state in book.states():
        state.in_flight = state.endpoint.port // 2
    shown = explanation(table, book, model="m")
    parts = {each["endpoint"]: each["part"] for each in shown["backends"][0]["endpoints"]}
    request = question_of([("path", "/v1/completions"), ("model", "m")])
    taken = table.by_model["m"][0]
    asked = set()
    for draw in range(60):
        attempts = Attempts(
            taken,
            request,
            policy=AttemptPolicy(GatewaySettings()),
            book=book,
            started=NOW,
            pipeline=PROFILES.of(taken),
        )
        step = attempts.next(NOW, draw / 60)
        assert isinstance(step, Ask)
        asked.add(step.state.name)
        attempts.finished(NOW)
    assert asked == {name for name, part in parts.items() if part > 0}


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ([("modle", "m")], "'modle' is no parameter"),
        ([("header", "no colon")], "is not `name: value`"),
        ([("path", "v1")], "does not begin with /"),
    ],
)
def test_a_question_that_cannot_be_read_is_told(parameters: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        question_of(parameters)


def test_a_header_may_name_the_model() -> None:
    assert question_of([("header", "Model: m"), ("header", "x-a:b: c")]).model == "m"


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ([("method", "GET"), ("path", "/v1/completions"), ("model", "m")], "405"),
        ([("path", "/v1/sleep"), ("model", "m")], "404"),
    ],
)
def test_a_rule_that_is_taken_but_does_not_open_the_path_says_so(
    parameters: list[tuple[str, str]], status: str
) -> None:
    table = table_of(rule("ns/r", of_model(), backend(ONE)))
    book = EndpointBook()
    book.sync(table)
    shown = explained(table, book, PROFILES, question_of(parameters), NOW)
    assert str(shown["refused"]).startswith(status)


def _asked(table: RouteTable, *parameters: tuple[str, str]) -> Any:
    book = EndpointBook()
    book.sync(table)
    return orjson.loads(orjson.dumps(explained(table, book, PROFILES, question_of(parameters), NOW)))


def test_a_redirect_is_an_answer_and_no_refusal() -> None:
    redirecting = dataclasses.replace(
        rule("ns/r", Match(path="/old")), filters=Filters(redirect=Redirect(hostname="new.example"))
    )
    shown = _asked(table_of(redirecting), ("path", "/old"), ("method", "GET"))
    assert (shown["answered"], "refused" in shown) == ("with a redirect (302)", False)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/v1/models/m"])
def test_what_the_gateway_answers_by_itself_is_said(path: str) -> None:
    shown = _asked(table_of(rule("ns/r", of_model(), backend(ONE))), ("path", path), ("method", "GET"))
    assert shown["answered"].startswith("by the gateway itself")


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ([("path", "/v1/completions")], "400: the request names no model"),
        ([("model", "m"), ("header", "model: n")], "400: the header `model`"),
        ([("model", "m"), ("method", "BREW")], "501: "),
        ([("model", "m"), ("path", "/v1/../v1/completions")], "404: the path has dot segments"),
        ([("model", "none"), ("method", "GET"), ("path", "/v1/completions")], "405: "),
    ],
)
def test_what_is_refused_before_any_rule_is_told_so(parameters: list[tuple[str, str]], refused: str) -> None:
    table = table_of(rule("ns/r", of_model(), backend(ONE)), rule("ns/any", Match(path="/v1"), backend(ONE), order=1))
    assert _asked(table, *parameters)["refused"].startswith(refused)


def test_filters_that_keep_no_endpoint_refuse() -> None:
    profiles = Profiles(
        Contributed(filters={"none": _Nobody()}), default="none", clock=lambda: NOW, report=lambda *_: None
    )
    table = table_of(rule("ns/r", of_model(), backend(ONE)))
    book = EndpointBook()
    book.sync(table)
    shown = explained(table, book, profiles, question_of([("model", "m")]), NOW)
    assert shown["refused"] == "503: the filters of the profile keep no endpoint"


class _Nobody:
    name = "none"

    def keep(self, request: RequestView, endpoints: Sequence[EndpointView]) -> Sequence[bool]:
        return [False for _ in endpoints]
