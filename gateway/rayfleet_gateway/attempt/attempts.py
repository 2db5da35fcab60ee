"""The tries of one request: whom to ask next, until when, and when to give up. Pure; time and chance come in.

Another endpoint is asked only before a byte of an answer went to the client, only when the first one had no part in
the request or was too busy for it, and only within the route's budget. An endpoint that is ejected is asked by one
request at a time, when its time is over; whatever becomes of that try, another endpoint may be asked then, and half of
the time is kept for it.
"""

from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from math import ceil, inf

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.attempt.choices import Endpoints, choices_of
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Failure, InferenceRequest, Result
from rayfleet_gateway.pick.backends import weighted_place
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.health import WELL, failure_of_status, soonest_try
from rayfleet_gateway.pick.pickers import LeastRequest
from rayfleet_gateway.pick.pipeline import Pipeline, plain
from rayfleet_gateway.route.table import Rule

REPEATED = frozenset({Failure.NOT_CONNECTED, Failure.CONNECT_TIMEOUT, Failure.RESET, Failure.OVERLOADED})
LEAST_REQUEST = plain(LeastRequest())


@dataclass(slots=True)
class Ask:
    """Ask ``state``; ``first_byte_by`` is of the clock that ``now`` was read from, ``inf`` is no limit."""

    state: EndpointState
    first_byte_by: float


@dataclass(slots=True)
class GiveUp:
    """Tell the client this."""

    refusal: Refusal
    result: Result


class AttemptPolicy:
    """The settings of tries, in seconds."""

    __slots__ = ("attempts", "first_byte_seconds")

    def __init__(self, settings: GatewaySettings) -> None:
        self.attempts = settings.attempts
        self.first_byte_seconds = settings.first_byte_timeout.total_seconds()


class Attempts:
    """One request's tries: ``next`` and then ``failed`` or ``answered``, again and again; ``finished`` at the very end.

    Keeps ``in_flight`` of the endpoints. All ``now`` are of one clock, in seconds. ``tried`` are the endpoints asked,
    in order; ``is_out_of_budget``: another one was there, but too many requests of the route were asked again.
    """

    __slots__ = (
        "_answer_by",
        "_book",
        "_budget",
        "_failure",
        "_is_misrouted",
        "_pipeline",
        "_policy",
        "_request",
        "_rule",
        "_state",
        "_trial_began",
        "_was_trial",
        "is_out_of_budget",
        "tried",
    )

    def __init__(
        self,
        rule: Rule,
        request: InferenceRequest,
        *,
        policy: AttemptPolicy,
        book: Endpoints,
        started: float,
        pipeline: Pipeline = LEAST_REQUEST,
    ) -> None:
        self._rule = rule
        self._request = request
        self._policy = policy
        self._book = book
        self._pipeline = pipeline
        self._budget = book.budget_of(rule)
        self._budget.begin(started)
        self._state: EndpointState | None = None
        self._trial_began: float | None = None
        self._failure: Failure | None = None
        self._is_misrouted = False
        self._was_trial = False
        self._answer_by = started + _seconds(rule.request_timeout, policy.first_byte_seconds)
        self.tried: tuple[EndpointState, ...] = ()
        self.is_out_of_budget = False

    @property
    def count(self) -> int:
        """How many endpoints were asked."""
        return len(self.tried)

    def next(self, now: float, chance: float) -> Ask | GiveUp:
        """Return the endpoint to ask now, already counted as in flight there; ``chance`` in [0, 1)."""
        if self._failure is not None and not self._may_repeat(now):
            return self._given_up(now)
        state = self._picked(now, chance)
        self.is_out_of_budget = state is not None and bool(self.tried) and not self._budget.take(now)
        if state is None or self.is_out_of_budget:
            return self._given_up(now)
        self.tried = (*self.tried, state)
        self._state = state
        state.in_flight += 1
        by = self._answer_by
        if self._rule.backend_timeout is not None:
            by = min(by, now + _seconds(self._rule.backend_timeout, inf))
        if state.is_ejected:
            state.tried_at = self._trial_began = now
            if self._has_another(now):
                by = now + (by - now) / 2
        return Ask(state, by)

    def failed(self, failure: Failure, now: float) -> None:
        """Note how the try failed; ``next`` tells what follows. After the answer began it is BROKEN_OFF."""
        self._failure = failure
        if self._state is None:
            return
        self._note(self._state, failure, now)
        self._leave()

    def answered(self, status: int, now: float) -> bool:
        """Return whether this answer is to be dropped and ``next`` asked: the endpoint is busy and another is there.

        So is an error of an endpoint that was ejected: the request was a trial. Call it at the first byte of the
        answer's body, or at its end.
        """
        state = self._state
        if state is None:
            return False
        failure = failure_of_status(status)
        if failure is None and state.health is WELL and self._trial_began is None:
            return False
        is_trial = self._trial_began is not None
        if failure is not None or is_trial or status < HTTPStatus.BAD_REQUEST:
            self._note(state, failure, now)
        if failure is not Failure.OVERLOADED and not (failure is not None and is_trial):
            return False
        self._failure = failure
        if not (self._may_repeat(now) and self._budget.has_room(now) and self._has_another(now)):
            return False
        self._leave()
        return True

    def finished(self, now: float) -> None:  # noqa: ARG002 - as the others; what ends may come to count
        """Note that nothing is in flight any more, however it ended; more than once does no harm."""
        self._leave()

    def _note(self, state: EndpointState, failure: Failure | None, now: float) -> None:
        """Tell the book; an endpoint that is overloaded is well, only busy."""
        self._was_trial = self._trial_began is not None
        self._end_trial(state)
        if failure is not Failure.OVERLOADED:
            self._book.note(state, failure, now, is_trial=self._was_trial)
            return
        if self._was_trial:
            self._book.note(state, None, now, is_trial=True)
        self._book.lower(state, now)

    def _leave(self) -> None:
        if self._state is not None:
            self._state.in_flight -= 1
            self._end_trial(self._state)
            self._state = None

    def _end_trial(self, state: EndpointState) -> None:
        if self._trial_began is not None and state.tried_at == self._trial_began:
            state.tried_at = None
        self._trial_began = None

    def _may_repeat(self, now: float) -> bool:
        is_repeated = self._failure in REPEATED or (self._was_trial and self._failure is not Failure.BROKEN_OFF)
        return is_repeated and self.count < self._policy.attempts and now < self._answer_by

    def _picked(self, now: float, chance: float) -> EndpointState | None:
        """Return an endpoint that was not asked yet, None when there is none or the backend drawn is no valid one."""
        backends = self._rule.backends
        if len(backends) == 1 and not self.tried:
            pool = self._book.pool_of(backends[0])
            if not pool.ejected and not pool.recovering and backends[0].weight > 0:
                return self._pipeline.pick(self._request, pool.endpoints, chance)
        return self._drawn(now, chance)

    def _drawn(self, now: float, chance: float) -> EndpointState | None:
        """Draw a backend by weight among those that can be asked, then an endpoint of it."""
        choices = choices_of(self._rule, self._book, self.tried, now)
        weights = [choice.weight(is_first=not self.tried) for choice in choices]
        if not any(weights):
            return None
        place, rest = weighted_place(weights, chance)
        choice = choices[place]
        self._is_misrouted = not choice.can_be_asked
        return choice.trial or self._pipeline.pick(self._request, choice.ready, rest)

    def _has_another(self, now: float) -> bool:
        return any(choice.weight(is_first=False) for choice in choices_of(self._rule, self._book, self.tried, now))

    def _given_up(self, now: float) -> GiveUp:
        model = self._request.model
        if self._failure is Failure.FIRST_BYTE_TIMEOUT:
            return GiveUp(refusals.upstream_timeout(model, "no first byte in time"), Result.UPSTREAM_ERROR)
        if self._failure is not None:
            return GiveUp(refusals.upstream_error(model, _WORDS[self._failure]), Result.UPSTREAM_ERROR)
        if self._is_misrouted or self._rule.failure_status == HTTPStatus.INTERNAL_SERVER_ERROR:
            return GiveUp(refusals.no_backend(model), Result.REFUSED)
        pools = [self._book.pool_of(backend) for backend in self._rule.backends if backend.weight > 0]
        tries = [soonest_try(state.health) for pool in pools for state in pool.ejected]
        if tries and not any(pool.ready for pool in pools):
            return GiveUp(refusals.all_ejected(model, max(1, ceil(min(tries) - now))), Result.REFUSED)
        return GiveUp(refusals.model_not_ready(model), Result.REFUSED)


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
