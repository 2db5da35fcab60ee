"""What is known of each endpoint in the table, from table to table. Pure.

An endpoint keeps its state as long as some backend has it; an address that left the table and comes again is a new
one, and what is still in flight at the old one counts there.
"""

from collections.abc import Iterator

from rayfleet_gateway.attempt.budget import RetryBudget
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.pick.contracts import EndpointState
from rayfleet_gateway.pick.pools import Pool
from rayfleet_gateway.route.table import Backend, RouteTable, Rule


class EndpointBook:
    """Pools by backend (the object itself: an unchanged one costs nothing at ``sync``), states by endpoint."""

    def __init__(self) -> None:
        self._pools: dict[int, tuple[Backend, Pool]] = {}
        self._states: dict[Endpoint, EndpointState] = {}
        self._pools_of: dict[Endpoint, list[Pool]] = {}
        self._budgets: dict[str, RetryBudget] = {}

    def sync(self, table: RouteTable) -> None:
        """Take a new table: new endpoints get a state, those that are gone lose theirs."""
        rules = tuple(_rules(table))
        backends = {id(backend): backend for rule in rules for backend in rule.backends}
        for key, backend in backends.items():
            if key not in self._pools:
                self._add(key, backend)
        for key in self._pools.keys() - backends.keys():
            self._remove(key)
        routes = {rule.route for rule in rules}
        for route in self._budgets.keys() - routes:
            del self._budgets[route]

    def states(self) -> tuple[EndpointState, ...]:
        """Return all states, in no order."""
        return tuple(self._states.values())

    def pool_of(self, backend: Backend) -> Pool:
        """Return the endpoints behind a backend; of one of an older table, those that are still in the newest."""
        known = self._pools.get(id(backend))
        if known is not None:
            return known[1]
        return Pool([state for endpoint in backend.endpoints if (state := self._states.get(endpoint)) is not None])

    def budget_of(self, rule: Rule) -> RetryBudget:
        """Return the budget of the rule's route."""
        budget = self._budgets.get(rule.route)
        if budget is None:
            budget = self._budgets[rule.route] = RetryBudget()
        return budget

    def _add(self, key: int, backend: Backend) -> None:
        states = [self._state(endpoint) for endpoint in backend.endpoints]
        pool = Pool(states)
        self._pools[key] = (backend, pool)
        for state in states:
            self._pools_of.setdefault(state.endpoint, []).append(pool)

    def _state(self, endpoint: Endpoint) -> EndpointState:
        state = self._states.get(endpoint)
        if state is None:
            state = self._states[endpoint] = EndpointState(endpoint=endpoint)
        return state

    def _remove(self, key: int) -> None:
        _, pool = self._pools.pop(key)
        for state in pool.endpoints:
            pools = self._pools_of[state.endpoint]
            pools.remove(pool)
            if not pools:
                del self._pools_of[state.endpoint], self._states[state.endpoint]


def _rules(table: RouteTable) -> Iterator[Rule]:
    yield from table.for_any
    for rules in table.by_model.values():
        yield from rules
