"""One engine of several is sick: what clients see of it, in a simulation of requests with the real picks and tries.

The bars: at most 1/N of the requests fail before it is noticed, at most 0.5 % from two seconds on.
"""

import heapq
import random
from collections.abc import Callable
from datetime import timedelta

import pytest

from rayfleet_gateway.attempt.attempts import AttemptPolicy, Attempts, GiveUp
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.pick.pickers import own_pickers
from rayfleet_gateway.pick.pipeline import Pipeline, plain
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, Rule, table_of
from rayfleet_gateway.state.endpoints import EndpointBook
from rayfleet_gateway.testing import request_for

SECONDS = 14.0
NOTICED = 2.0
CONNECT_SECONDS = GatewaySettings().connect_timeout.total_seconds()
SERVICE_SECONDS = 0.05
TIMEOUT_SECONDS = 1.0
LATE = {"nothing": Failure.FIRST_BYTE_TIMEOUT, "no connection": Failure.CONNECT_TIMEOUT}
AT_ONCE = {"reset": Failure.RESET, "refused": Failure.NOT_CONNECTED, "garbage": Failure.NOT_HTTP}
STATUSES = {"500": 500, "502": 502, "503": 503, "429": 429}
PIPELINES = {picker.name: plain(picker) for picker in own_pickers()}
DEFAULT = PIPELINES["least-request"]
CASES = [(engines, "least-request") for engines in (2, 3, 8)] + [
    (3, name) for name in PIPELINES if name != DEFAULT.name
]
REQUEST = request_for()


class World:
    """Requests at random times, engines that take their time, and a first one that is sick until ``well_at``."""

    def __init__(self, engines: int, sickness: str, *, rate: float, pipeline: Pipeline, well_at: float = 1e9) -> None:
        self.failed: list[float] = []  # when the requests that failed began
        self.begun: list[float] = []
        self.asked: list[tuple[float, int]] = []  # when, and the engine's port
        endpoints = tuple(Endpoint(address="10.0.0.1", port=port) for port in range(1, engines + 1))
        backend = Backend(service="ns/s", weight=1, endpoints=endpoints)
        timeout = timedelta(seconds=TIMEOUT_SECONDS)
        self._rule = Rule(
            match=Match(path="/v1/completions", headers={"model": "m"}),
            route="ns/r",
            rank=(0,),
            backends=(backend,),
            request_timeout=timeout,
        )
        self.book = EndpointBook()
        self.book.sync(table_of(self._rule))
        self._sickness, self._rate, self._pipeline, self._well_at = sickness, rate, pipeline, well_at
        self._chance = random.Random(f"{engines} {sickness} {pipeline.name}")  # noqa: S311 - the same in each run
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def run(self) -> None:
        now = 0.0
        while now < SECONDS:
            now += self._chance.expovariate(self._rate)
            self._at(now, self._begin)
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)

    def share_failed(self, since: float, until: float) -> float:
        begun = sum(since <= at < until for at in self.begun)
        return sum(since <= at < until for at in self.failed) / begun

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, self._chance.getrandbits(60), event))

    def _begin(self, now: float) -> None:
        self.begun.append(now)
        policy = AttemptPolicy(GatewaySettings())
        attempts = Attempts(self._rule, REQUEST, policy=policy, book=self.book, started=now, pipeline=self._pipeline)
        self._ask(attempts, now, now)

    def _ask(self, attempts: Attempts, began: float, now: float) -> None:
        step = attempts.next(now, self._chance.random())
        if isinstance(step, GiveUp):
            self.failed.append(began)
            return
        port = step.state.endpoint.port
        self.asked.append((now, port))
        if port != 1 or now >= self._well_at:
            seconds = SERVICE_SECONDS * self._chance.uniform(0.5, 1.5)
            self._at(now + seconds, lambda at: self._answered(attempts, 200, began, at))
        elif self._sickness in STATUSES:
            self._at(now + 0.001, lambda at: self._answered(attempts, STATUSES[self._sickness], began, at))
        elif self._sickness in AT_ONCE:
            self._at(now + 0.001, lambda at: self._lost(attempts, AT_ONCE[self._sickness], began, at))
        else:
            when = step.first_byte_by if self._sickness == "nothing" else min(now + CONNECT_SECONDS, step.first_byte_by)
            self._at(when, lambda at: self._lost(attempts, LATE[self._sickness], began, at))

    def _answered(self, attempts: Attempts, status: int, began: float, now: float) -> None:
        if attempts.answered(status, now):
            self._ask(attempts, began, now)
            return
        attempts.finished(now)
        if status != 200:
            self.failed.append(began)

    def _lost(self, attempts: Attempts, failure: Failure, began: float, now: float) -> None:
        attempts.failed(failure, now)
        self._ask(attempts, began, now)


@pytest.mark.parametrize("sickness", [*STATUSES, *AT_ONCE, *LATE])
@pytest.mark.parametrize(("engines", "picker"), CASES)
def test_a_sick_engine_costs_its_part_at_first_and_next_to_nothing_then(
    engines: int, picker: str, sickness: str
) -> None:
    world = World(engines, sickness, rate=100, pipeline=PIPELINES[picker])
    world.run()
    assert world.share_failed(0, NOTICED) <= 1 / engines
    assert world.share_failed(NOTICED, SECONDS) <= 0.005
    assert {state.in_flight for state in world.book.states()} == {0}


@pytest.mark.parametrize("sickness", [*STATUSES, *AT_ONCE, *LATE])
def test_an_engine_that_is_well_again_gets_its_part_again(sickness: str) -> None:
    world = World(2, sickness, rate=100, pipeline=DEFAULT, well_at=2.0)
    world.run()
    last = [port for at, port in world.asked if at > SECONDS - 3]
    assert 0.4 < last.count(1) / len(last) < 0.6


@pytest.mark.parametrize("sickness", [*AT_ONCE, "no connection"])
def test_a_model_whose_only_engine_is_dead_is_refused_at_once_and_back_within_seconds(sickness: str) -> None:
    world = World(1, sickness, rate=100, pipeline=DEFAULT, well_at=6.0)
    world.run()
    assert sum(2 < at < 6 for at, _ in world.asked) <= 6  # a try a second
    assert world.share_failed(8.5, SECONDS) == 0


@pytest.mark.parametrize("sickness", ["500", "502", "nothing"])
def test_the_only_engine_is_asked_whatever_it_answers(sickness: str) -> None:
    """What may be the requests' doing must not take a model out of service."""
    world = World(1, sickness, rate=20, pipeline=DEFAULT)
    world.run()
    assert len(world.asked) == len(world.begun)
