"""What is known of each endpoint in the table, from table to table, and who is ejected.

An endpoint keeps its state as long as some backend has it; an address that left the table and comes again is a new
one, and what is still in flight at the old one counts there. When an endpoint is ejected and comes back is
``pick/health.py``'s to say; times come in, of one clock that never goes back.

A table of a thousand new models is taken in by parts: what is new of it ahead, while the last one still serves, and
what is old let go of afterwards.
"""

import logging
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rayfleet_gateway.attempt.budget import RetryBudget
from rayfleet_gateway.model.values import Endpoint, Failure
from rayfleet_gateway.pick import health
from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.health import WELL
from rayfleet_gateway.pick.pools import Pool
from rayfleet_gateway.pick.shares import RETURNING, lowered, recovered
from rayfleet_gateway.route.table import Backend, RouteTable, Rule

log = logging.getLogger(__name__)

_LET_GO_AT_ONCE = 100  # rules: some 2 ms


@dataclass(slots=True)
class _Known:
    """``uses`` counts the rules that have the backend; holding it keeps its id from being given to another."""

    backend: Backend
    pool: Pool
    uses: int = 0


@dataclass(slots=True)
class _Entry:
    """An endpoint and the pools that have it."""

    state: EndpointState
    pools: list[Pool]


@dataclass(slots=True)
class _Route:
    budget: RetryBudget
    uses: int = 0


class EndpointBook:
    """Pools by backend, states by endpoint, budgets by route.

    ``seed`` keeps gateways from trying an ejected endpoint all at once. ``on_ejected`` hears why, in a word, each time
    an endpoint is taken out.
    """

    def __init__(self, seed: str = "", on_ejected: Callable[[str], None] = lambda _: None) -> None:
        self._seed = seed
        self._on_ejected = on_ejected
        self._rules: Mapping[str | None, tuple[Rule, ...]] = {}
        self._ahead: dict[str | None, tuple[Rule, ...]] = {}  # added, but of no table yet that was taken
        self._leaving: deque[Rule] = deque()
        self._known: dict[int, _Known] = {}
        self._entries: dict[Endpoint, _Entry] = {}
        self._routes: dict[str, _Route] = {}

    def sync(self, table: RouteTable) -> None:
        """Take a new table: new endpoints get a state, those that are gone lose theirs.

        Looks only at models whose rules are others than before: what did not change is the very same object.
        """
        rules = _rules_of(table)
        before, ahead = self._rules, self._ahead
        self._rules, self._ahead = rules, {}
        for model in _unlike(rules, before):
            if ahead.get(model) is rules[model]:
                del ahead[model]
            else:
                self._add(rules[model])
        for model in _unlike(before, rules):
            self._leaving.extend(before[model])
        for of_model in ahead.values():
            self._leaving.extend(of_model)
        self.let_go()

    def prepare(self, part: RouteTable) -> None:
        """Take in what is new in a part of a table that is to come; what there was stays as it is.

        A part has what a table before it had of the models that nobody has looked at yet.
        """
        rules = _rules_of(part)
        for model in _unlike(rules, self._rules):
            before = self._ahead.get(model)
            if before is not rules[model]:
                self._add(rules[model])
                self._leaving.extend(before or ())
                self._ahead[model] = rules[model]

    def let_go(self) -> bool:
        """Forget some of the rules that are in no table any more; return whether there are others."""
        for _ in range(min(_LET_GO_AT_ONCE, len(self._leaving))):
            self._remove(self._leaving.popleft())
        return bool(self._leaving)

    def states(self) -> tuple[EndpointState, ...]:
        """Return all states, in no order."""
        return tuple(entry.state for entry in self._entries.values())

    def pool_of(self, backend: Backend) -> Pool:
        """Return the endpoints behind a backend; of one of an older table, those that are still in the newest."""
        known = self._known.get(id(backend))
        if known is not None:
            return known.pool
        entries = (self._entries.get(endpoint) for endpoint in backend.endpoints)
        return Pool([entry.state for entry in entries if entry is not None])

    def budget_of(self, rule: Rule) -> RetryBudget:
        """Return the budget of the rule's route; one of its own for a route that is gone."""
        route = self._routes.get(rule.route)
        return RetryBudget() if route is None else route.budget

    def recover(self, pool: Pool, now: float) -> None:
        """Bring the shares of the pool's endpoints up to date."""
        for state in pool.recover(now):
            self._part(state)

    def lower(self, state: EndpointState, now: float) -> None:
        """Let the endpoint take half of what it took, for a while."""
        share = recovered(state.share_before, now - state.share_since)
        self._set_share(state, lowered(share), now)

    def note(self, state: EndpointState, failure: Failure | None, now: float, *, is_trial: bool) -> None:
        """Note how a try at the endpoint went, None: well. While it is ejected only a trial counts."""
        if state.is_ejected:
            if is_trial and failure is None:
                self._bring_back(state, now)
            elif is_trial and failure is not None:
                self._eject(state, failure, now)
            return
        if failure is None:
            if state.health is not WELL:
                state.health = health.after_success(state.health, now)
            return
        state.health = health.after_failure(state.health)
        self.lower(state, now)
        if health.should_eject(state.health, failure, lambda: self._is_another_well(state)):
            self._eject(state, failure, now)

    def _is_another_well(self, state: EndpointState) -> bool:
        return any(other is not state and other.health.is_well for pool in self._pools(state) for other in pool.ready)

    def _eject(self, state: EndpointState, failure: Failure, now: float) -> None:
        """Take the endpoint out, or leave it out for longer."""
        drawn = zlib.crc32(f"{self._seed} {state.name} {state.health.ejections}".encode())
        is_last_resort = not any(other is not state for pool in self._pools(state) for other in pool.ready)
        state.health = health.ejected(state.health, now, drawn / 2**32, is_last_resort=is_last_resort)
        if state.is_ejected:
            return
        cause = failure.name.lower()
        self._on_ejected(cause)
        state.is_ejected = True
        self._part(state)
        seconds = round(state.health.retry_at - now, 1)
        log.warning("endpoint is ejected", extra={"endpoint": state.name, "failure": cause, "seconds": seconds})

    def _bring_back(self, state: EndpointState, now: float) -> None:
        """Take the endpoint in again; where all were out the others may be tried at once."""
        for pool in self._pools(state):
            if not pool.ready:
                for other in pool.ejected:
                    other.health = health.due_at_once(other.health, now)
        state.health = health.returned(state.health, now)
        state.is_ejected = False
        self._set_share(state, RETURNING, now)
        self._part(state)
        log.info("endpoint is back", extra={"endpoint": state.name})

    def _set_share(self, state: EndpointState, share: float, now: float) -> None:
        was_whole = state.share >= 1
        state.share = state.share_before = share
        state.share_since = now
        if was_whole:
            self._part(state)

    def _part(self, state: EndpointState) -> None:
        for pool in self._pools(state):
            pool.part()

    def _pools(self, state: EndpointState) -> Sequence[Pool]:
        """Return the pools that have the state: none where it has left the table."""
        entry = self._entries.get(state.endpoint)
        return entry.pools if entry is not None and entry.state is state else ()

    def _add(self, rules: Sequence[Rule]) -> None:
        for rule in rules:
            self._routes.setdefault(rule.route, _Route(RetryBudget())).uses += 1
            for backend in rule.backends:
                known = self._known.get(id(backend))
                if known is None:
                    known = self._known[id(backend)] = self._new(backend)
                known.uses += 1

    def _new(self, backend: Backend) -> _Known:
        entries = [self._entry(endpoint) for endpoint in dict.fromkeys(backend.endpoints)]
        pool = Pool([entry.state for entry in entries])
        for entry in entries:
            entry.pools.append(pool)
        return _Known(backend, pool)

    def _entry(self, endpoint: Endpoint) -> _Entry:
        entry = self._entries.get(endpoint)
        if entry is None:
            entry = self._entries[endpoint] = _Entry(EndpointState(endpoint=endpoint), [])
        return entry

    def _remove(self, rule: Rule) -> None:
        route = self._routes[rule.route]
        route.uses -= 1
        if not route.uses:
            del self._routes[rule.route]
        for backend in rule.backends:
            known = self._known[id(backend)]
            known.uses -= 1
            if not known.uses:
                del self._known[id(backend)]
                self._forget(known.pool)

    def _forget(self, pool: Pool) -> None:
        for state in pool.endpoints:
            pools = self._entries[state.endpoint].pools
            pools.remove(pool)
            if not pools:
                del self._entries[state.endpoint]


def _rules_of(table: RouteTable) -> dict[str | None, tuple[Rule, ...]]:
    rules: dict[str | None, tuple[Rule, ...]] = {None: table.for_any}
    rules.update(table.by_model)
    return rules


def _unlike(
    rules: Mapping[str | None, tuple[Rule, ...]], others: Mapping[str | None, tuple[Rule, ...]]
) -> Iterator[str | None]:
    """Yield each model whose rules ``others`` does not have as the very same object."""
    for model, of_model in rules.items():
        if others.get(model) is not of_model:
            yield model
