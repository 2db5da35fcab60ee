"""What a request may choose from: of each backend of its rule the endpoints that are left. Pure; the time comes in.

A backend whose endpoints are all gone leaves its share to the others. Gateway API would answer 503 for it; a replica
set that is just going away is no reason to fail requests that another can answer.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from rayfleet_gateway.attempt.budget import RetryBudget
from rayfleet_gateway.model.values import Failure
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.pools import Pool
from rayfleet_gateway.route.table import Backend, Rule


class Endpoints(Protocol):
    """What is known of endpoints, and what is learnt of them; ``state/endpoints.py`` keeps it."""

    def pool_of(self, backend: Backend) -> Pool:
        """Return the endpoints behind a backend."""
        ...

    def budget_of(self, rule: Rule) -> RetryBudget:
        """Return the budget of the rule's route."""
        ...

    def recover(self, pool: Pool, now: float) -> None:
        """Bring the shares of the pool's endpoints up to date."""
        ...

    def lower(self, state: EndpointState, now: float) -> None:
        """Note that the endpoint is to take less for a while."""
        ...

    def note(self, state: EndpointState, failure: Failure | None, now: float, *, is_trial: bool) -> None:
        """Note how a try went, None: well; ``is_trial``: it was to bring the endpoint back."""
        ...


@dataclass(slots=True)
class Choice:
    """A backend, its ready endpoints that were not asked yet, and the ejected one that may be tried instead of them."""

    backend: Backend
    ready: tuple[EndpointState, ...]
    trial: EndpointState | None

    @property
    def can_be_asked(self) -> bool:
        """Whether there is an endpoint."""
        return bool(self.ready) or self.trial is not None

    def weight(self, *, is_first: bool) -> int:
        """Return the weight by which the backend is drawn, 0: not at all.

        At a request's first try one that is not valid is drawn too: its share is answered with an error, as Gateway API
        has it.
        """
        is_drawn = self.can_be_asked or (is_first and not self.backend.is_valid)
        return max(0, self.backend.weight) if is_drawn else 0


def choices_of(rule: Rule, book: Endpoints, tried: Collection[EndpointState], now: float) -> list[Choice]:
    """Return what each of the rule's backends offers now, in their order, without the endpoints ``tried``."""
    choices = []
    is_last_resort, has_ejected = True, False
    for backend in rule.backends:
        pool = book.pool_of(backend)
        if pool.recovering:
            book.recover(pool, now)
        ready = tuple(state for state in pool.ready if state not in tried) if tried else pool.ready
        is_last_resort = is_last_resort and not (ready and backend.weight > 0)
        has_ejected = has_ejected or bool(pool.ejected)
        choices.append(Choice(backend, ready, None))
    if has_ejected:
        for choice in choices:
            choice.trial = _trial(book.pool_of(choice.backend), tried, now, is_last_resort=is_last_resort)
    return choices


def _trial(pool: Pool, tried: Collection[EndpointState], now: float, *, is_last_resort: bool) -> EndpointState | None:
    state = pool.due(now, is_last_resort=is_last_resort)
    return None if state in tried else state
