"""When an idle engine is asked for a token again, and what its silence means (rayfleet_sidecar.readiness)."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.model.engine import TrafficMetrics
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
from rayfleet_sidecar.traffic import Watched, read_traffic, stalled_for, watched

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RULES = ReadinessRules()
METRICS = TrafficMetrics(running=("running",), waiting=("waiting",), steps=("steps",), served=("served",))


@dataclass(slots=True)
class Course:
    """An engine's life by hand, a look and a page each 0.4 s: its page is what ``running``, ``steps``, ... say."""

    rules: ReadinessRules = RULES
    now: timedelta = timedelta(hours=1)
    running: int = 0
    waiting: int = 0
    steps: int = 0
    load: int = 0
    has_page: bool = True
    judgement: Judgement = field(init=False)
    seen: Watched = field(default_factory=Watched)
    asked: list[float] = field(default_factory=list)
    dropped: int = 0
    ready_at: timedelta = timedelta()

    def __post_init__(self) -> None:
        self.judgement = first_judgement(self.moment())
        self.look()
        self.token()
        self.ready_at, self.asked = self.now, []

    def moment(self) -> Moment:
        return Moment(date=T0 + self.now, steady=self.now)

    def look(self) -> None:
        self.now += timedelta(seconds=0.4)
        if self.has_page:
            page = f"running {self.running}\nwaiting {self.waiting}\nsteps {self.steps}\nserved 0\n"
            traffic = read_traffic(page, METRICS)
            assert traffic is not None
            traffic = replace(traffic, load=self.load)
            self.seen = watched(self.seen, traffic, self.now, int(self.judgement.is_asked))
        observation = Observation(
            answer=Answer.OK,
            read_at=None if self.seen.work is None else self.seen.read_at,
            moved_at=self.seen.moved_at,
            busy_at=self.seen.busy_at,
            stalled_for=stalled_for(self.seen),
        )
        self.judgement = judged(self.judgement, observation, self.rules, self.moment())
        action = next_token_action(self.judgement, self.rules, self.moment())
        self.judgement = with_token_action(self.judgement, action, self.moment())
        if action is TokenAction.ASK:
            self.asked.append((self.now - self.ready_at).total_seconds())
        self.dropped += action is TokenAction.DROP

    def looks(self, seconds: float) -> None:
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.look()

    def token(self, failure: str = "") -> None:
        self.judgement = with_generation(self.judgement, failure, self.moment())

    def until_asked(self) -> None:
        asked = len(self.asked)
        for _ in range(100):
            self.look()
            if len(self.asked) > asked:
                return
        raise AssertionError("nobody asked")


def test_an_idle_engine_is_asked_when_it_had_nothing_to_do_for_the_period() -> None:
    course = Course()
    course.looks(2.8)
    assert course.asked == []
    course.looks(0.4)
    assert course.asked == [pytest.approx(3.2)]


def test_a_canary_that_comes_leaves_everything_as_it_is_and_the_next_one_follows() -> None:
    course = Course()
    since = course.judgement.since
    for _ in range(3):
        course.until_asked()
        course.token()
    assert (course.judgement.reason, course.judgement.since) == (Reason.READY, since)
    assert [round(later - before, 1) for before, later in zip(course.asked, course.asked[1:], strict=False)] == [
        3.2
    ] * 2


@pytest.mark.parametrize("work", ["running", "waiting", "steps"])
def test_nobody_is_asked_while_clients_are_at_work(work: str) -> None:
    course = Course(rules=ReadinessRules(stall_after=timedelta()))
    for number in range(1, 100):
        setattr(course, work, number)
        course.look()
    assert course.asked == []


def test_an_idle_engine_that_froze_is_known_within_ten_seconds_however_it_lies() -> None:
    for passed in range(40):
        course = Course()
        course.looks(0.4 * passed % 3)
        frozen_at = course.now
        course.until_asked()
        course.running = 1  # the canary, and no step
        while course.judgement.is_ready:
            course.look()
            assert course.now - frozen_at <= timedelta(seconds=9)
        assert course.judgement.reason is Reason.CANARY_MISSED
        assert course.judgement.message == "a generation that is alone in the engine has brought no token for 4 s"


@pytest.mark.parametrize("work", ["running", "waiting", "steps"])
def test_a_canary_behind_clients_requests_is_late_and_nothing_else(work: str) -> None:
    course = Course(rules=ReadinessRules(stall_after=timedelta()))
    course.until_asked()
    for number in range(2, 1000):
        setattr(course, work, number)
        course.look()
        assert course.judgement.is_ready
    course.token()
    assert (course.judgement.is_ready, len(course.asked)) == (True, 1)


def test_a_long_prefill_beside_a_canary_is_no_missed_one_until_the_engine_has_nothing_else() -> None:
    course = Course(rules=ReadinessRules(stall_after=timedelta()), running=0)
    course.until_asked()
    course.running = 2
    course.looks(120)
    assert course.judgement.is_ready
    course.running = 1
    course.looks(3.6)
    assert course.judgement.is_ready
    course.looks(0.8)
    assert course.judgement.reason is Reason.CANARY_MISSED


def test_a_canary_behind_a_request_that_the_port_alone_knows_is_no_missed_one_until_that_has_left() -> None:
    course = Course(load=0)
    course.until_asked()
    course.load = 2
    course.looks(100)
    assert course.judgement.is_ready
    course.load = 1
    course.looks(3.6)
    assert course.judgement.is_ready
    course.looks(0.8)
    assert course.judgement.reason is Reason.CANARY_MISSED


@pytest.mark.parametrize("is_canary_first", [True, False])
def test_an_engine_that_hangs_with_a_request_that_the_port_alone_knows_is_stalled(*, is_canary_first: bool) -> None:
    course = Course(load=0)
    if is_canary_first:
        course.until_asked()
    course.load = 1
    course.looks(0.4)
    hung_at = course.now
    while course.judgement.is_ready:
        course.load = 1 + course.judgement.is_asked
        course.look()
        assert course.now - hung_at < RULES.stall_after + timedelta(seconds=4)
    assert course.judgement.reason is Reason.ENGINE_STALLED


def test_a_port_that_has_lost_count_upwards_costs_an_engine_that_answers_nothing() -> None:
    course = Course(load=1)
    for number in range(1, 200):
        course.until_asked()
        course.load = 2
        course.look()
        course.steps, course.load = number, 1
        course.token()
    assert course.now > timedelta(hours=1, minutes=10)
    assert course.judgement.is_ready


def test_a_port_that_has_lost_count_downwards_hides_nobody() -> None:
    course = Course(load=-1)
    course.until_asked()
    course.load = 1  # the canary, and one other
    course.looks(100)
    assert course.judgement.is_ready
    course.load = 0
    course.looks(4.4)
    assert course.judgement.reason is Reason.CANARY_MISSED


def test_time_without_a_page_makes_no_canary_late_and_sends_none() -> None:
    course = Course()
    course.until_asked()
    course.has_page = False
    course.looks(100)
    assert course.judgement.is_ready
    course.token()
    course.looks(100)
    assert len(course.asked) == 1


def test_an_engine_whose_requests_nobody_can_tell_is_never_asked() -> None:
    course = Course(has_page=False)
    course.seen = Watched()
    course.looks(100)
    assert course.asked == []


def test_no_canary_is_sent_when_none_is_wanted() -> None:
    course = Course(rules=ReadinessRules(canary_every=timedelta()))
    course.looks(100)
    assert course.asked == []


def test_a_missed_canary_is_dropped_and_asked_for_again_when_the_refusal_has_been_seen() -> None:
    course = Course()
    course.until_asked()
    course.running = 1
    while course.judgement.is_ready:
        course.look()
    lost_at = course.now
    assert (course.dropped, course.judgement.is_asked) == (1, False)
    course.token()  # of the old question: it is not heard
    assert not course.judgement.is_ready
    course.until_asked()
    assert course.now - lost_at >= RULES.shortest_refusal
    course.looks(30)
    assert course.judgement.reason is Reason.CANARY_MISSED
    course.token()
    assert course.judgement.is_ready


def test_a_token_that_comes_between_a_miss_and_the_drop_is_not_heard() -> None:
    course = Course()
    course.until_asked()
    course.running = 1
    while course.judgement.is_ready:
        course.look()
    missed = replace(course.judgement, is_asked=True)
    assert next_token_action(missed, course.rules, course.moment()) is TokenAction.DROP
    ended = with_generation(missed, "", course.moment())
    assert (ended.reason, ended.is_asked) == (Reason.CANARY_MISSED, False)


def test_one_canary_that_fails_moves_no_traffic_and_a_second_in_a_row_does() -> None:
    course = Course()
    course.until_asked()
    course.token("status 500")
    course.look()
    assert course.judgement.is_ready
    failed_at = course.now
    course.until_asked()
    assert timedelta(seconds=0.6) <= course.now - failed_at < timedelta(seconds=1.5)
    course.token("status 500")
    course.look()
    assert course.judgement.reason is Reason.GENERATION_FAILED
    assert course.judgement.message == "the one-token generation failed: status 500"
    course.until_asked()
    course.token()
    assert (course.judgement.is_ready, course.judgement.failed_canaries) == (True, 0)


def test_a_canary_that_comes_excuses_the_one_that_failed() -> None:
    course = Course()
    for failure in ("status 500", "", "status 500", ""):
        course.until_asked()
        course.token(failure)
    course.looks(2)
    assert course.judgement.is_ready


def test_an_engine_that_refuses_canaries_because_it_is_full_stays_ready() -> None:
    course = Course(rules=ReadinessRules(stall_after=timedelta()))
    course.until_asked()
    course.token("status 429")
    course.running = 100
    course.looks(100)
    course.running = 0
    course.until_asked()
    course.token("status 429")
    course.looks(0.4)
    assert course.judgement.is_ready
