"""Whatever happens, in any order and with any pauses, ready means what it says (rayfleet_sidecar.readiness)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from rayfleet_sidecar.observation import Answer, Observation, ReadinessRules
from rayfleet_sidecar.readiness import (
    Judgement,
    Moment,
    Reason,
    TokenAction,
    first_judgement,
    judged,
    next_token_action,
    with_generation,
    with_token_action,
)

T0 = datetime(2026, 1, 1, tzinfo=UTC)
NEVER = timedelta(days=-1)
WELL = Observation(answer=Answer.OK, alive_nodes=2)
SHORTEST_REFUSAL = timedelta(seconds=1.5)
PAUSE_AFTER_FAILURE = timedelta(seconds=1)

LOOKS = [
    Observation(answer=answer, alive_nodes=alive, are_nodes_late=are_late)
    for answer in Answer
    for alive, are_late in ((None, False), (None, True), (0, False), (1, False), (2, False), (3, False))
]
# Text is the end of a one-token generation: empty when a token came.
Step = tuple[timedelta, Observation | str]
pauses = st.sampled_from([0, 1, 200, 400, 999, 1000, 1499, 1500, 2500]).map(
    lambda number: timedelta(milliseconds=number)
)
events = st.one_of(st.just(WELL), st.sampled_from(LOOKS), st.just(""), st.just("status 500"))
steps = st.lists(st.tuples(pauses, events), max_size=40)
expectations = st.sampled_from([0, 2])


@dataclass(slots=True)
class Bench:
    """The judge's edge without its loop: it tells what happens and carries out what is to be done."""

    rules: ReadinessRules
    now: timedelta = timedelta()
    judgement: Judgement = field(init=False)
    action: TokenAction = TokenAction.WAIT

    def __post_init__(self) -> None:
        self.judgement = first_judgement(self.moment())

    def moment(self) -> Moment:
        return Moment(date=T0 + self.now, steady=self.now)

    def look(self, observation: Observation) -> None:
        self.judgement = judged(self.judgement, observation, self.rules, self.moment())
        self.action = next_token_action(self.judgement, self.rules, self.moment())
        self.judgement = with_token_action(self.judgement, self.action, self.moment())

    def end_generation(self, failure: str) -> None:
        self.judgement = with_generation(self.judgement, failure, self.moment())

    def do(self, step: Step) -> None:
        pause, event = step
        self.now += pause
        if isinstance(event, str):
            self.end_generation(event)
        else:
            self.look(event)


def bench(expected: int, steps: Sequence[Step] = ()) -> Bench:
    made = Bench(ReadinessRules(expected_nodes=expected, canary_every=timedelta()))
    for step in steps:
        made.do(step)
    return made


def ready_bench(expected: int, steps: Sequence[Step]) -> Bench:
    """Return a bench whose engine has become ready, whatever had happened to it before."""
    on = bench(expected, steps)
    on.now += max(SHORTEST_REFUSAL, PAUSE_AFTER_FAILURE)
    on.look(WELL)
    on.end_generation("")
    return on


def is_well(look: Observation, expected: int) -> bool:
    return look.answer is Answer.OK and (not expected or look.alive_nodes == expected)


def is_late(look: Observation, expected: int) -> bool:
    """Whether a question got no answer in time."""
    return look.answer is Answer.LATE or (look.answer is Answer.OK and bool(expected) and look.are_nodes_late)


def is_only_late(look: Observation, expected: int) -> bool:
    """Whether a question got no answer in time, and nothing worse is known."""
    return is_late(look, expected) and (not expected or look.alive_nodes in {None, expected})


@given(steps=steps, expected=expectations)
def test_ready_means_well_now_and_a_token_asked_for_since_the_last_breach(steps: list[Step], expected: int) -> None:
    on, was_well, has_token, was_late = bench(expected), False, False, False
    for step in steps:
        before, event = on.judgement, step[1]
        on.do(step)
        if isinstance(event, str):
            has_token = has_token or (was_well and before.is_asked and not event)
        else:
            if not (was_well and has_token and is_only_late(event, expected) and not was_late):
                was_well = is_well(event, expected)
            has_token, was_late = has_token and was_well, is_late(event, expected)
        assert on.judgement.is_ready == (was_well and has_token)
        assert on.judgement.message
        assert on.judgement.since == (before.since if on.judgement.reason is before.reason else T0 + on.now)
        assert on.judgement.wants_token == (was_well and not has_token)
        assert (on.judgement.failed_at is not None) == (on.judgement.reason is Reason.GENERATION_FAILED)


@given(steps=steps, expected=expectations)
def test_an_engine_that_stays_well_becomes_ready_by_its_next_token(steps: list[Step], expected: int) -> None:
    assert ready_bench(expected, steps).judgement.reason is Reason.READY


@given(steps=steps, after=steps, expected=expectations)
def test_a_refusal_of_an_engine_that_was_ready_lasts_long_enough_for_a_probe(
    steps: list[Step], after: list[Step], expected: int
) -> None:
    on, lost_at = ready_bench(expected, steps), timedelta()
    for step in after:
        was_ready = on.judgement.is_ready
        on.do(step)
        if was_ready and not on.judgement.is_ready:
            lost_at = on.now
        if on.judgement.is_ready and not was_ready:
            assert on.now - lost_at >= SHORTEST_REFUSAL


@given(steps=steps, expected=expectations)
def test_one_late_answer_of_a_ready_engine_moves_no_traffic_and_two_in_a_row_do(
    steps: list[Step], expected: int
) -> None:
    late_looks = [look for look in LOOKS if is_only_late(look, expected)]
    for first, second in product(late_looks, late_looks):
        on = ready_bench(expected, steps)
        on.look(first)
        assert on.judgement.is_ready
        on.look(WELL)  # what lies before it is forgotten
        on.look(first)
        assert on.judgement.is_ready
        on.look(second)
        assert not on.judgement.is_ready


@given(steps=steps, expected=expectations)
def test_whatever_is_worse_than_late_counts_at_once(steps: list[Step], expected: int) -> None:
    for look in LOOKS:
        if not is_well(look, expected) and not is_only_late(look, expected):
            on = ready_bench(expected, steps)
            on.look(look)
            assert not on.judgement.is_ready


@given(begin=st.sampled_from([bench, ready_bench]), steps=steps, expected=expectations)
def test_a_token_is_asked_for_and_dropped_exactly_when_it_should_be(
    begin: Callable[[int, Sequence[Step]], Bench], steps: list[Step], expected: int
) -> None:
    on, is_asked, lost_at, failed_at = begin(expected, ()), False, NEVER, NEVER
    for step in steps:
        was_ready, was_wanted, event = on.judgement.is_ready, on.judgement.wants_token, step[1]
        on.do(step)
        if isinstance(event, str):
            failed_at = on.now if is_asked and was_wanted and event else failed_at
            is_asked = False
            continue
        lost_at = on.now if was_ready and not on.judgement.is_ready else lost_at
        failed_at = failed_at if on.judgement.reason is Reason.GENERATION_FAILED else NEVER
        is_free = on.now - lost_at >= SHORTEST_REFUSAL and on.now - failed_at >= PAUSE_AFTER_FAILURE
        assert (on.action is TokenAction.ASK) == (on.judgement.wants_token and is_free and not is_asked)
        assert (on.action is TokenAction.DROP) == (is_asked and not on.judgement.wants_token)
        is_asked = on.action is TokenAction.ASK or (is_asked and on.action is TokenAction.WAIT)
        assert not (is_asked and on.judgement.is_ready)
