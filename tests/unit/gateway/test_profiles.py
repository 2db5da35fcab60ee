"""Profiles: what plugins contribute decides where requests go, and what they get wrong decides nothing."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.pickers import SCANNED
from rayfleet_gateway.pick.profiles import DEFAULT, Contributed, Profile, Profiles, decoded_profiles
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Rule
from rayfleet_gateway.testing import request_for

REQUEST = request_for()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Scorer:
    """Rates as it is told, and takes ``seconds`` for it."""

    name = "toy"

    def __init__(self, score: Callable[[Sequence[Any]], Any], clock: Clock, seconds: float = 0.0) -> None:
        self._score, self._clock, self.seconds = score, clock, seconds
        self.calls = 0

    def score(self, request: object, endpoints: Sequence[Any]) -> Any:
        self.calls += 1
        self._clock.now += self.seconds
        return self._score(endpoints)


class OnlyFirst:
    name = "only-first"

    def keep(self, request: object, endpoints: Sequence[object]) -> list[bool]:
        return [place == 0 for place in range(len(endpoints))]


class NoneAtAll(OnlyFirst):
    name = "none"

    def keep(self, request: object, endpoints: Sequence[object]) -> list[bool]:
        return [False] * len(endpoints)


class Last:
    name = "last"

    def __init__(self, place: Any = None) -> None:
        self._place = place

    def pick(self, request: object, endpoints: Sequence[object], scores: Sequence[float], chance: float) -> Any:
        return len(endpoints) - 1 if self._place is None else self._place


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rising(endpoints: Sequence[Any]) -> list[float]:
    return [place / len(endpoints) for place in range(len(endpoints))]


def states(count: int = 3) -> tuple[EndpointState, ...]:
    return tuple(EndpointState(endpoint=Endpoint(address="10.0.0.1", port=port)) for port in range(1, count + 1))


def rule(profile: str) -> Rule:
    return Rule(match=Match(path="/v1"), route="ns/r", rank=(0,), backends=(), profile=profile)


def profiles_of(contributed: Contributed, clock: Clock, *profiles: Profile, reports: Any = None) -> Profiles:
    heard = [] if reports is None else reports
    return Profiles(contributed, profiles, clock=clock, report=lambda title, why: heard.append((title, why)))


def picked(profiles: Profiles, profile: str, endpoints: Sequence[EndpointState], chance: float = 0.5) -> int:
    state = profiles.of(rule(profile)).pick(REQUEST, endpoints, chance)
    return 0 if state is None else state.endpoint.port


def test_a_scorer_changes_where_requests_go(clock: Clock) -> None:
    profiles = profiles_of(Contributed(scorers={"toy": Scorer(rising, clock)}), clock)
    endpoints = states()
    at = Counter(picked(profiles, "toy", endpoints, chance / 30) for chance in range(30))
    assert at == {3: 30}
    assert len({picked(profiles, "", endpoints, chance / 30) for chance in range(30)}) == 3


def test_scores_are_weighted_and_multiplied_by_the_share(clock: Clock) -> None:
    falling = dataclasses.replace(Profile(name="x"), scorers={"toy": 1, "least-request": 3})
    profiles = profiles_of(Contributed(scorers={"toy": Scorer(rising, clock)}), clock, falling)
    endpoints = states()
    endpoints[2].in_flight = 3
    assert picked(profiles, "x", endpoints) == 2
    endpoints[1].share = 0.1
    assert picked(profiles, "x", endpoints) == 1


def test_a_filter_drops_endpoints_down_to_none(clock: Clock) -> None:
    both = Contributed(filters={"only-first": OnlyFirst(), "none": NoneAtAll()})
    profiles = profiles_of(both, clock, Profile(name="x", filters=("none", "only-first")))
    assert {picked(profiles, "only-first", states(), chance / 9) for chance in range(9)} == {1}
    assert picked(profiles, "none", states()) == 0
    assert picked(profiles, "x", states()) == 0


def test_a_picker_chooses(clock: Clock) -> None:
    assert picked(profiles_of(Contributed(pickers={"last": Last()}), clock), "last", states()) == 3


@pytest.mark.parametrize(
    "score",
    [
        lambda _: 1 / 0,
        lambda _: None,
        lambda _: (),
        lambda endpoints: [0.5] * (len(endpoints) + 1),
        lambda endpoints: [2.0] * len(endpoints),
        lambda endpoints: [float("nan")] * len(endpoints),
        lambda endpoints: ["1"] * len(endpoints),
    ],
    ids=["raises", "none", "empty", "one too many", "above 1", "no number", "text"],
)
def test_a_scorer_at_fault_is_left_out_and_then_switched_off(clock: Clock, score: Callable[[Any], Any]) -> None:
    scorer, reports = Scorer(score, clock), []  # type: ignore[var-annotated]  # filled by the profiles
    profiles = profiles_of(Contributed(scorers={"toy": scorer}), clock, reports=reports)
    endpoints = states()
    endpoints[0].in_flight = endpoints[1].in_flight = 9
    assert [picked(profiles, "toy", endpoints) for _ in range(20)] == [3] * 20  # least request decides
    assert (scorer.calls, len(reports)) == (5, 1)
    assert reports[0][0] == "scorer toy"
    assert profiles.guards["scorer toy"].faults == 5
    clock.now += 61
    picked(profiles, "toy", endpoints)
    clock.now += 61  # two minutes now
    picked(profiles, "toy", endpoints)
    assert (scorer.calls, len(reports)) == (6, 2)


@pytest.mark.parametrize("place", [3, -1, None, "1", 1.0])
def test_a_picker_at_fault_is_replaced_by_least_request(clock: Clock, place: Any) -> None:
    picker = Last()
    picker.pick = lambda *_: place  # type: ignore[method-assign]  # a plugin may do anything
    endpoints = states()
    endpoints[0].in_flight = endpoints[2].in_flight = 1
    assert picked(profiles_of(Contributed(pickers={"last": picker}), clock), "last", endpoints) == 2


def test_a_plugin_that_ends_the_process_does_not(clock: Clock) -> None:
    def leave(_: object) -> None:
        raise SystemExit(3)

    assert picked(profiles_of(Contributed(scorers={"toy": Scorer(leave, clock)}), clock), "toy", states()) > 0


@pytest.mark.parametrize(("seconds", "calls"), [(0.006, 5), (0.050, 2)])
def test_a_slow_scorer_is_switched_off(clock: Clock, seconds: float, calls: int) -> None:
    scorer = Scorer(rising, clock, seconds)
    profiles = profiles_of(Contributed(scorers={"toy": scorer}), clock)
    for _ in range(50):
        picked(profiles, "toy", states())
    assert scorer.calls == calls


def test_a_scorer_that_is_slow_once_is_kept(clock: Clock) -> None:
    scorer = Scorer(rising, clock)
    profiles = profiles_of(Contributed(scorers={"toy": scorer}), clock)
    for turn in range(50):
        scorer.seconds = 0.05 if turn % 10 == 3 else 0.0
        assert picked(profiles, "toy", states()) == 3
    assert scorer.calls == 50


def test_a_scorer_that_is_always_slow_is_off_before_the_first_request(clock: Clock) -> None:
    slow, late = Scorer(rising, clock, 0.05), Scorer(rising, clock)
    late.name = "late"

    def first_call_is_slow(endpoints: Sequence[Any]) -> list[float]:
        clock.now += 0 if late.calls > 1 else 5
        return rising(endpoints)

    late._score = first_call_is_slow
    profiles = profiles_of(Contributed(scorers={"toy": slow, "late": late}), clock)
    profiles.rehearse()
    rehearsed = slow.calls
    assert picked(profiles, "late", states()) == 3
    picked(profiles, "toy", states())
    assert slow.calls == rehearsed
    assert (profiles.guards["scorer late"].slow_calls, profiles.guards["scorer late"].is_off) == (0, False)


def test_the_name_of_a_profile_that_is_not_there_takes_the_default_and_can_be_told(clock: Clock) -> None:
    profiles = profiles_of(Contributed(), clock)
    assert profiles.of(rule("least-requests")).name == DEFAULT
    assert "did you mean" in profiles.fault_of("least-requests")
    assert profiles.fault_of("random") == ""


def test_a_profile_that_names_what_is_not_there_is_told_and_left_out(clock: Clock) -> None:
    profiles = profiles_of(Contributed(), clock, Profile(name="x", filters=("a",), scorers={"b": 1}, picker="c"))
    assert [problem.path for problem in profiles.problems] == [
        "profiles.x.filters",
        "profiles.x.scorers",
        "profiles.x.picker",
    ]
    assert "x" not in profiles.names


def test_a_plugin_does_not_replace_what_is_the_gateways_own(clock: Clock) -> None:
    picker = Last()
    picker.name = DEFAULT
    profiles = profiles_of(Contributed(pickers={DEFAULT: picker}), clock)
    assert len(profiles.problems) == 1
    assert {picked(profiles, "", states(), chance / 9) for chance in range(9)} == {1, 2, 3}


def test_a_file_of_profiles_is_read_or_told_field_by_field() -> None:
    raw = {"profiles": {"a": {"filters": ["f"], "scorers": {"s": 2}}, "b": {"picker": "random"}}}
    assert decoded_profiles(raw) == (
        (Profile(name="a", filters=("f",), scorers={"s": 2}), Profile(name="b", picker="random")),
        (),
    )
    wrongs: list[Any] = [None, [], {}, {"profiles": {"a": {"scorer": {}}}}, {"profiles": {"a": {"scorers": {"s": -1}}}}]
    for wrong in wrongs:
        profiles, problems = decoded_profiles(wrong)
        assert (profiles, bool(problems)) == ((), True)


def test_the_fewest_requests_win_and_of_many_the_better_of_two(clock: Clock) -> None:
    profiles = profiles_of(Contributed(), clock)
    few = states(SCANNED)
    for state in few:
        state.in_flight = 1 + state.endpoint.port % 5
    few[7].in_flight = 0
    assert {picked(profiles, "", few, chance / 99) for chance in range(99)} == {8}
    many = states(SCANNED + 1)
    for state in many:
        state.in_flight = state.endpoint.port
    at = Counter(picked(profiles, "", many, chance / 27_200) for chance in range(27_200))
    assert (SCANNED + 1) not in at  # the most loaded one never wins
    assert at[1] == pytest.approx(27_200 * 2 / (SCANNED + 1), rel=0.01)


def test_round_robin_takes_turns_for_each_model_by_itself(clock: Clock) -> None:
    profiles = profiles_of(Contributed(), clock)
    other = dataclasses.replace(REQUEST, model="other")
    endpoints = states()
    pipeline = profiles.of(rule("round-robin"))
    ports = []
    for _ in range(4):
        for request in (REQUEST, other):
            state = pipeline.pick(request, endpoints, 0.0)
            assert state is not None
            ports.append(state.endpoint.port)
    assert ports == [1, 1, 2, 2, 3, 3, 1, 1]


@pytest.mark.parametrize("name", ["random", "round-robin"])
def test_one_with_a_small_share_is_passed_over(clock: Clock, name: str) -> None:
    profiles = profiles_of(Contributed(), clock)
    endpoints = states(2)
    endpoints[0].share = 0.2
    at = Counter(picked(profiles, name, endpoints, chance * 0.618 % 1) for chance in range(1000))
    assert at[1] == pytest.approx(100, abs=20)
