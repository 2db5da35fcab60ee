"""Whatever endpoints do, and in whatever order: the counts are right, and who is ejected is asked by one at a time."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from rayfleet_gateway.attempt.attempts import Ask, AttemptPolicy, Attempts
from rayfleet_gateway.attempt.budget import AT_LEAST, RATIO, SLOTS, RetryBudget
from rayfleet_gateway.attempt.explain import question_of
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.health import HARD
from rayfleet_gateway.pick.pickers import SCANNED, LeastRequest, load_of
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, Rule, table_of
from rayfleet_gateway.state.endpoints import EndpointBook

POLICY = AttemptPolicy(GatewaySettings())
REQUEST = question_of([("model", "m")])
ENDPOINTS = tuple(Endpoint(address="10.0.0.1", port=port) for port in range(1, 5))
SOFT = [failure for failure in Failure if failure not in HARD]
STATUSES = [200, 200, 200, 301, 400, 404, 429, 500, 501, 502, 503]


def rule_of(parts: list[list[Endpoint]]) -> Rule:
    backends = tuple(Backend(service=f"ns/{part}", weight=1, endpoints=tuple(part)) for part in parts)
    return Rule(match=Match(path="/v1", headers={"model": "m"}), route="ns/m", rank=(0,), backends=backends)


class World:
    """Requests in every stage; time goes on by the steps."""

    def __init__(self, failures: list[Failure]) -> None:
        self.now = 100.0
        self.book = EndpointBook()
        self.rule = rule_of([list(ENDPOINTS[:2]), list(ENDPOINTS[1:3])])
        self.book.sync(table_of(self.rule))
        self.open: list[tuple[Attempts, Rule, EndpointState]] = []
        self.failures = failures

    def step(self, draw: st.DataObject) -> None:
        self.now += draw.draw(st.sampled_from([0.0, 0.001, 0.3, 1.0, 6.0]))
        action = draw.draw(
            st.sampled_from(["begin", "begin", "begin", "answer", "answer", "fail", "fail", "end", "sync"])
        )
        if action == "begin":
            attempts = Attempts(self.rule, REQUEST, policy=POLICY, book=self.book, started=self.now)
            self._ask(attempts, self.rule, draw)
        elif action == "sync":
            parts = draw.draw(st.lists(st.lists(st.sampled_from(ENDPOINTS), unique=True), min_size=1, max_size=3))
            self.rule = rule_of(parts)
            self.book.sync(table_of(self.rule))
        elif self.open:
            self._go_on(action, draw)

    def _go_on(self, action: str, draw: st.DataObject) -> None:
        attempts, rule, state = self.open.pop(draw.draw(st.integers(0, len(self.open) - 1)))
        if action == "end":
            attempts.finished(self.now)
        elif action == "fail":
            attempts.failed(draw.draw(st.sampled_from(self.failures)), self.now)
            self._ask(attempts, rule, draw)
        elif attempts.answered(draw.draw(st.sampled_from(STATUSES)), self.now):
            self._ask(attempts, rule, draw)
        else:
            self.open.append((attempts, rule, state))

    def _ask(self, attempts: Attempts, rule: Rule, draw: st.DataObject) -> None:
        """Let a request go on by the rule that it took, which may be an older one than the table's."""
        ready = {state for backend in rule.backends for state in self.book.pool_of(backend).ready}
        others = ready - set(attempts.tried)
        trials = {state: state.tried_at for state in self.book.states()}
        step = attempts.next(self.now, draw.draw(st.floats(0, 1, exclude_max=True)))
        if not isinstance(step, Ask):
            return
        state = step.state
        assert state not in attempts.tried[:-1], "another endpoint each time"
        assert len(attempts.tried) <= POLICY.attempts
        assert step.first_byte_by > self.now
        if state.is_ejected and others:
            assert self.now >= state.health.retry_at, "its time is not over"
            assert trials[state] is None, "one at a time"
        self.open.append((attempts, rule, state))

    def check(self) -> None:
        in_flight = Counter(state for _, _, state in self.open)
        for state in self.book.states():
            assert state.in_flight == in_flight[state]
            assert 0 < state.share <= 1
            assert state.is_ejected == (state.health.ejected_at is not None)
        for backend in self.rule.backends:
            pool = self.book.pool_of(backend)
            assert {state for state in pool.endpoints if state.is_ejected} == set(pool.ejected)
            assert set(pool.ready) | set(pool.ejected) == set(pool.endpoints)
            assert set(pool.recovering) == {state for state in pool.ready if state.share < 1}


@given(st.data(), st.integers(1, 80))
def test_the_counts_are_right_whatever_happens(data: st.DataObject, steps: int) -> None:
    world = World(list(Failure))
    for _ in range(steps):
        world.step(data)
        world.check()
    for attempts, _, state in world.open:
        attempts.finished(world.now)
        attempts.finished(world.now)
        assert state.in_flight >= 0
    assert {state.in_flight for state in world.book.states()} <= {0}
    assert all(state.tried_at is None for state in world.book.states())


@given(st.data(), st.integers(1, 120))
def test_what_may_be_the_requests_doing_ejects_no_last_endpoint(data: st.DataObject, steps: int) -> None:
    world = World(SOFT)
    world.rule = rule_of([list(ENDPOINTS)])
    world.book.sync(table_of(world.rule))
    for _ in range(steps):
        before = world.rule
        world.step(data)
        if world.rule is not before:  # endpoints came and went
            world.rule = before
            world.book.sync(table_of(before))
        assert world.book.pool_of(world.rule.backends[0]).ready


CHANCES = st.floats(0, 1, exclude_max=True)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.0, 0.5, 0.25])), min_size=1, max_size=SCANNED), CHANCES)
def test_the_pick_is_a_least_loaded_one(endpoints: list[tuple[int, float]], chance: float) -> None:
    states = [
        EndpointState(endpoint=Endpoint(address="10.0.0.1", port=port), in_flight=in_flight, share=share)
        for port, (in_flight, share) in enumerate(endpoints, start=1)
    ]
    picked = states[LeastRequest().pick(REQUEST, states, (), chance)]
    assert load_of(picked) == min(map(load_of, states))


@given(
    st.lists(
        st.builds(
            Backend,
            service=st.just("ns/s"),
            weight=st.integers(0, 3),
            endpoints=st.lists(st.sampled_from(ENDPOINTS), max_size=3, unique=True).map(tuple),
        ),
        max_size=4,
    ),
    CHANCES,
)
def test_a_backend_with_weight_and_an_endpoint_is_asked_when_there_is_one(
    backends: list[Backend], chance: float
) -> None:
    rule = Rule(match=Match(path="/v1", headers={"model": "m"}), route="ns/m", rank=(0,), backends=tuple(backends))
    book = EndpointBook()
    book.sync(table_of(rule))
    able = {endpoint for backend in backends if backend.weight for endpoint in backend.endpoints}
    step = Attempts(rule, REQUEST, policy=POLICY, book=book, started=0.0).next(0.0, chance)
    assert step.state.endpoint in able if isinstance(step, Ask) else not able


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=300))
def test_retries_keep_to_their_part_of_every_window(events: list[tuple[float, bool]]) -> None:
    budget, now = RetryBudget(), 0.0
    begun: list[float] = []
    repeated: list[float] = []
    for seconds, is_retry in events:
        now += seconds
        since = float(int(now) - SLOTS + 1)  # whole seconds, the one that runs and those before it
        if is_retry:
            taken = budget.take(now)
            room = max(AT_LEAST, RATIO * sum(at >= since for at in begun))
            assert taken == (sum(at >= since for at in repeated) < room)
            if taken:
                repeated.append(now)
        else:
            budget.begin(now)
            begun.append(now)


def test_a_rule_without_backends_is_no_trouble() -> None:
    world = World(list(Failure))
    rule = replace(world.rule, backends=())
    step = Attempts(rule, REQUEST, policy=POLICY, book=world.book, started=0.0).next(0.0, 0.5)
    assert not isinstance(step, Ask)
