"""When an endpoint is taken out for failing, and how it comes back. Pure; the time comes in, in seconds.

Outlier ejection with a half-open return. A *hard* failure (no connection, a reset, no HTTP) tells of the endpoint
alone; a *soft* one (5xx, no first token in time, an answer that broke off) may be the request's doing. Hard ones eject
whatever the others do: with all of them gone clients get a fast 503. Soft ones eject only while another endpoint of
the same backends is well, or a stranger's poisonous requests would take a model out of service for everybody, and the
last engine would be cut off for errors that its clients can read.

An ejected endpoint is tried with one request at a time once its time is over; each ejection is twice as long as the
one before, until it has been well for a while. Where no other is left the tries come each second.

Source: Envoy, "Outlier detection" (v1.40); Nygard, "Release It!", circuit breakers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from rayfleet_gateway.model.values import Failure

IN_A_ROW = 3
RATE = 0.4  # of failures, as a moving average, above which an endpoint is ill
WELL_RATE = 0.1  # at most so much and an endpoint is well
WEIGHT = 1 / 16  # of one request in the moving average
FIRST_SECONDS = 5.0
MOST_SECONDS = 60.0
JITTER = 0.2  # gateways do not all try at once
LAST_RESORT_SECONDS = 1.0  # between tries where no endpoint is left
FORGIVEN_SECONDS = 60.0  # after its return, without another ejection

HARD = frozenset({Failure.NOT_CONNECTED, Failure.CONNECT_TIMEOUT, Failure.RESET, Failure.NOT_HTTP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """``failures`` in a row, their ``rate`` in [0, 1], and how often it was ejected without a good time since.

    ``ejected_at`` None: it is in. ``retry_at``: when an ejected one may be tried.
    """

    failures: int = 0
    rate: float = 0.0
    ejections: int = 0
    ejected_at: float | None = None
    retry_at: float = 0.0
    returned_at: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether it can take over the part of one that is ill."""
        return self.ejected_at is None and self.rate <= WELL_RATE


WELL = Health()


def failure_of_status(status: int) -> Failure | None:
    """Return what an answer says of the endpoint: 5xx is a failure, but 4xx and 501 tell of the request.

    429 and 503 tell of the load.
    """
    if status in {429, 503}:
        return Failure.OVERLOADED
    return Failure.ERROR_STATUS if status >= 500 and status not in {501, 505} else None


def after_success(health: Health, now: float) -> Health:
    """Return the health of an endpoint that is in, after a try that went well; WELL itself when all is forgiven."""
    rate = health.rate * (1 - WEIGHT)
    ejections = 0 if now - health.returned_at >= FORGIVEN_SECONDS else health.ejections
    if not ejections and rate < WELL_RATE * WEIGHT:
        return WELL
    return replace(health, failures=0, rate=rate, ejections=ejections)


def after_failure(health: Health) -> Health:
    """Return the health of an endpoint that is in, after a try that failed; ``should_eject`` says what follows."""
    return replace(health, failures=health.failures + 1, rate=health.rate + (1 - health.rate) * WEIGHT)


def should_eject(health: Health, failure: Failure, is_another_well: Callable[[], bool]) -> bool:
    """Whether an endpoint with this health is to be ejected, after a try that ended in ``failure``.

    ``is_another_well`` is asked only where it matters.
    """
    if failure in HARD:
        return health.failures >= IN_A_ROW
    return (health.failures >= IN_A_ROW or health.rate >= RATE) and is_another_well()


def ejected(health: Health, now: float, jitter: float, *, is_last_resort: bool) -> Health:
    """Return the health of an endpoint that is taken out now, or stays out; ``jitter`` in [0, 1).

    For 5 s the first time, then 10, 20, 40, at most 60; each up to a fifth shorter or longer. One that was tried for
    want of another stays out no longer for that: it may have been all the others' fault, as a network's.
    """
    if is_last_resort and health.ejected_at is not None:
        return replace(health, ejected_at=now, retry_at=max(health.retry_at, now + LAST_RESORT_SECONDS))
    seconds = min(FIRST_SECONDS * 2.0 ** min(health.ejections, 16), MOST_SECONDS)
    seconds *= 1 + JITTER * (2 * jitter - 1)
    return replace(health, ejections=health.ejections + 1, ejected_at=now, retry_at=now + seconds)


def returned(health: Health, now: float) -> Health:
    """Return the health of an endpoint whose try went well: the next failure takes it out again."""
    return Health(
        failures=IN_A_ROW - 1,
        rate=min(health.rate, RATE * 3 / 4),
        ejections=health.ejections,
        returned_at=now,
    )


def due_at_once(health: Health, now: float) -> Health:
    """Return the health of an ejected endpoint that may be tried now: all were ejected, and another is back."""
    return replace(health, retry_at=min(health.retry_at, now))


def may_be_tried(health: Health, now: float, *, is_last_resort: bool) -> bool:
    """Whether an ejected endpoint may be asked now; ``is_last_resort``: the request has no other."""
    if health.ejected_at is None:
        return False
    return now >= health.retry_at or (is_last_resort and now >= health.ejected_at + LAST_RESORT_SECONDS)


def soonest_try(health: Health) -> float:
    """Return when an ejected endpoint may be asked at the soonest, by a request that has no other."""
    return min(health.retry_at, (health.ejected_at or 0.0) + LAST_RESORT_SECONDS)
