"""The tries of one request: whom to ask, when to ask another, when to give up."""

import dataclasses
from collections import Counter
from datetime import timedelta
from math import inf

import pytest

from rayfleet_gateway.attempt.attempts import Ask, AttemptPolicy, Attempts, GiveUp
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, RouteTable, Rule
from rayfleet_gateway.state.endpoints import EndpointBook
from rayfleet_gateway.testing import request_for

NOW = 1000.0
POLICY = AttemptPolicy(GatewaySettings())
ENDPOINTS = tuple(Endpoint(address="10.0.0.1", port=port) for port in range(1, 5))


def rule_of(*backends: Backend, timeout: timedelta | None = None) -> Rule:
    match = Match(path="/v1/completions", headers={"model": "m"})
    return Rule(match=match, route="ns/r", rank=(0,), backends=backends, request_timeout=timeout)


def backend(*endpoints: Endpoint, weight: int = 1, service: str = "ns/s") -> Backend:
    return Backend(service=service, weight=weight, endpoints=endpoints)


def book_of(*rules: Rule) -> EndpointBook:
    book = EndpointBook()
    book.sync(RouteTable(by_model={"m": rules}))
    return book


def attempts_of(rule: Rule, book: EndpointBook | None = None) -> Attempts:
    return Attempts(rule, request_for(), policy=POLICY, book=book or book_of(rule), started=NOW)


def asked(attempts: Attempts, chance: float = 0.0) -> Ask:
    step = attempts.next(NOW, chance)
    assert isinstance(step, Ask)
    return step


def given_up(attempts: Attempts) -> GiveUp:
    step = attempts.next(NOW, 0.0)
    assert isinstance(step, GiveUp)
    return step


@pytest.mark.parametrize("failure", [Failure.NOT_CONNECTED, Failure.CONNECT_TIMEOUT, Failure.RESET, Failure.OVERLOADED])
def test_another_endpoint_is_asked_when_the_first_had_no_part_in_the_request(failure: Failure) -> None:
    attempts = attempts_of(rule_of(backend(*ENDPOINTS[:2])))
    first = asked(attempts)
    attempts.failed(failure, NOW)
    second = asked(attempts)
    assert {first.state.endpoint, second.state.endpoint} == set(ENDPOINTS[:2])
    assert (first.state.in_flight, second.state.in_flight) == (0, 1)
    attempts.failed(failure, NOW)
    assert given_up(attempts).refusal.status == 502
    assert second.state.in_flight == 0


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Failure.FIRST_BYTE_TIMEOUT, 504),
        (Failure.NOT_HTTP, 502),
        (Failure.ERROR_STATUS, 502),
        (Failure.BROKEN_OFF, 502),
    ],
)
def test_what_an_endpoint_may_have_worked_on_is_not_asked_again(failure: Failure, status: int) -> None:
    attempts = attempts_of(rule_of(backend(*ENDPOINTS)))
    asked(attempts)
    attempts.failed(failure, NOW)
    assert given_up(attempts).refusal.status == status


def test_no_more_endpoints_are_asked_than_the_settings_say() -> None:
    attempts = attempts_of(rule_of(backend(*ENDPOINTS)))
    for _ in range(3):
        asked(attempts)
        attempts.failed(Failure.RESET, NOW)
    given_up(attempts)
    assert attempts.count == 3


def test_no_endpoint_is_a_503_at_once() -> None:
    assert given_up(attempts_of(rule_of(backend()))).refusal.status == 503


def test_a_route_that_means_no_backend_is_a_500() -> None:
    assert given_up(attempts_of(rule_of(backend(ENDPOINTS[0], weight=0)))).refusal.status == 500


def test_the_share_of_a_backend_that_is_none_is_answered_with_500() -> None:
    broken = dataclasses.replace(backend(weight=30), is_valid=False)
    rule = rule_of(broken, backend(ENDPOINTS[0], weight=70))
    book = book_of(rule)
    steps = [attempts_of(rule, book).next(NOW, chance / 100) for chance in range(100)]
    statuses = Counter(step.refusal.status if isinstance(step, GiveUp) else 200 for step in steps)
    assert statuses == {500: 30, 200: 70}


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_answer_is_dropped_only_when_another_endpoint_is_there(status: int) -> None:
    alone = attempts_of(rule_of(backend(ENDPOINTS[0])))
    state = asked(alone).state
    assert not alone.answered(status, NOW)
    assert state.in_flight == 1
    alone.finished(NOW)
    alone.finished(NOW)
    assert state.in_flight == 0
    two = attempts_of(rule_of(backend(*ENDPOINTS[:2])))
    first = asked(two).state
    assert two.answered(status, NOW)
    assert asked(two).state is not first
    assert not two.answered(200, NOW)


@pytest.mark.parametrize(
    ("timeout", "by"),
    [(None, NOW + 600), (timedelta(seconds=120), NOW + 120), (timedelta(0), inf)],
)
def test_the_first_byte_is_waited_for_as_long_as_the_route_says(timeout: timedelta | None, by: float) -> None:
    ask = asked(attempts_of(rule_of(backend(ENDPOINTS[0]), timeout=timeout)))
    assert ask.first_byte_by == by


def test_nobody_is_asked_again_after_the_time_for_the_first_byte() -> None:
    attempts = attempts_of(rule_of(backend(*ENDPOINTS), timeout=timedelta(seconds=1)))
    asked(attempts)
    attempts.failed(Failure.RESET, NOW + 1)
    assert isinstance(attempts.next(NOW + 1, 0.0), GiveUp)


def test_requests_are_asked_again_within_the_budget_of_their_route() -> None:
    rule = rule_of(backend(*ENDPOINTS))
    book = book_of(rule)
    repeated = 0
    for _ in range(100):
        attempts = attempts_of(rule, book)
        asked(attempts)
        attempts.failed(Failure.OVERLOADED, NOW)
        repeated += isinstance(attempts.next(NOW, 0.5), Ask)
    assert repeated == 20


def test_weights_are_exact_in_the_long_run() -> None:
    canary, stable = backend(ENDPOINTS[0], weight=10), backend(ENDPOINTS[1], weight=90)
    rule = rule_of(canary, stable)
    book = book_of(rule)
    at_canary = sum(
        asked(attempts_of(rule, book), chance / 1000).state.endpoint == ENDPOINTS[0] for chance in range(1000)
    )
    assert at_canary == 100


def test_a_backend_without_endpoints_leaves_its_share_to_the_others() -> None:
    rule = rule_of(backend(weight=90), backend(ENDPOINTS[1], weight=10))
    assert asked(attempts_of(rule), 0.1).state.endpoint == ENDPOINTS[1]
