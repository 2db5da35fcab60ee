"""The tries of one request: whom to ask next, until when, and when to give up. Pure; time and chance come in.

Another endpoint is asked only before a byte of an answer went to the client, only when the first one had no part in
the request or was too busy for it, and only within the route's budget.
"""

from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import Protocol

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.attempt.budget import RetryBudget
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Failure, InferenceRequest, Result
from rayfleet_gateway.pick.backends import weighted_place
from rayfleet_gateway.pick.contracts import EndpointState
from rayfleet_gateway.pick.pickers import least_loaded
from rayfleet_gateway.pick.pools import Pool
from rayfleet_gateway.route.table import Backend, Rule

REPEATED = frozenset({Failure.NOT_CONNECTED, Failure.CONNECT_TIMEOUT, Failure.RESET, Failure.OVERLOADED})
OVERLOADED = frozenset({429, 503})


class Endpoints(Protocol):
    """What is known of endpoints; ``state/endpoints.py`` keeps it."""

    def pool_of(self, backend: Backend) -> Pool:
        """Return the endpoints behind a backend."""
        ...

    def budget_of(self, rule: Rule) -> RetryBudget:
        """Return the budget of the rule's route."""
        ...


@dataclass(slots=True)
class Ask:
    """Ask ``state``; the times are of the clock that ``now`` was read from, ``inf`` is no limit."""

    state: EndpointState
    connect_by: float
    first_byte_by: float


@dataclass(slots=True)
class GiveUp:
    """Tell the client this."""

    refusal: Refusal
    result: Result


class AttemptPolicy:
    """The settings of tries, in seconds."""

    __slots__ = ("attempts", "connect_seconds", "first_byte_seconds")

    def __init__(self, settings: GatewaySettings) -> None:
        self.attempts = settings.attempts
        self.connect_seconds = settings.connect_timeout.total_seconds()
        self.first_byte_seconds = settings.first_byte_timeout.total_seconds()


class Attempts:
    """One request's tries: ``next`` and then ``failed`` or ``answered``, again and again; ``finished`` at the very end.

    Keeps ``in_flight`` of the endpoints. All ``now`` are of one clock, in seconds.
    """

    __slots__ = ("_book", "_budget", "_failure", "_policy", "_request", "_rule", "_state", "_tried", "first_byte_by")

    def __init__(
        self, rule: Rule, request: InferenceRequest, *, policy: AttemptPolicy, book: Endpoints, started: float
    ) -> None:
        self._rule = rule
        self._request = request
        self._policy = policy
        self._book = book
        self._budget = book.budget_of(rule)
        self._budget.begin(started)
        self._state: EndpointState | None = None
        self._tried: tuple[EndpointState, ...] = ()
        self._failure: Failure | None = None
        self.first_byte_by = started + _seconds(rule.request_timeout, policy.first_byte_seconds)

    @property
    def count(self) -> int:
        """How many endpoints were asked."""
        return len(self._tried)

    def next(self, now: float, chance: float) -> Ask | GiveUp:
        """Return the endpoint to ask now, already counted as in flight there; ``chance`` in [0, 1)."""
        if self._failure is not None and not self._may_repeat(now):
            return self._given_up()
        state = self._picked(chance)
        if state is None or (self._tried and not self._budget.take(now)):
            return self._given_up()
        self._tried = (*self._tried, state)
        self._state = state
        state.in_flight += 1
        return Ask(state, now + self._policy.connect_seconds, self.first_byte_by)

    def failed(self, failure: Failure, now: float) -> None:  # noqa: ARG002 - for the endpoint's health
        """Note how the try failed; ``next`` tells what follows. After the answer began it is BROKEN_OFF."""
        self._failure = failure
        self._leave()

    def answered(self, status: int, now: float) -> bool:
        """Return whether this answer is to be dropped and ``next`` asked: the endpoint is busy and another is there."""
        if status not in OVERLOADED:
            return False
        self._failure = Failure.OVERLOADED
        if not (self._may_repeat(now) and self._budget.has_room(now) and self._picked(0.0) is not None):
            return False
        self._leave()
        return True

    def finished(self, now: float) -> None:  # noqa: ARG002 - for the endpoint's health
        """Note that nothing is in flight any more, however it ended; more than once does no harm."""
        self._leave()

    def _leave(self) -> None:
        if self._state is not None:
            self._state.in_flight -= 1
            self._state = None

    def _may_repeat(self, now: float) -> bool:
        return self._failure in REPEATED and self.count < self._policy.attempts and now < self.first_byte_by

    def _picked(self, chance: float) -> EndpointState | None:
        """Return an endpoint that was not asked yet."""
        left = [(backend.weight, self._left(backend)) for backend in self._rule.backends]
        weights = [weight if endpoints else 0 for weight, endpoints in left]
        if not any(weight > 0 for weight in weights):
            return None
        place, rest = weighted_place(weights, chance)
        return least_loaded(left[place][1], rest)

    def _left(self, backend: Backend) -> tuple[EndpointState, ...]:
        ready = self._book.pool_of(backend).ready
        return tuple(state for state in ready if state not in self._tried) if self._tried else ready

    def _given_up(self) -> GiveUp:
        model = self._request.model
        if self._failure is None:
            return GiveUp(refusals.model_not_ready(model), Result.REFUSED)
        if self._failure is Failure.FIRST_BYTE_TIMEOUT:
            return GiveUp(refusals.upstream_timeout(model, "no first byte in time"), Result.UPSTREAM_ERROR)
        return GiveUp(refusals.upstream_error(model, _WORDS[self._failure]), Result.UPSTREAM_ERROR)


_WORDS = {
    Failure.NOT_CONNECTED: "it takes no connection.",
    Failure.CONNECT_TIMEOUT: "it took no connection in time.",
    Failure.RESET: "it closed the connection without an answer.",
    Failure.NOT_HTTP: "its answer is not HTTP.",
    Failure.OVERLOADED: "it is overloaded.",
    Failure.ERROR_STATUS: "it answered with an error.",
    Failure.BROKEN_OFF: "it ended before its answer did.",
}


def _seconds(limit: timedelta | None, otherwise: float) -> float:
    """Return the seconds of a route's limit: none given is ``otherwise``, zero is no limit."""
    if limit is None:
        return otherwise
    return limit.total_seconds() or inf
