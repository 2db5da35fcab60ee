"""The pickers and the scorer that are built in, by the contracts of plugins. Pure; chance comes in as a number.

The load of an endpoint is ``(in_flight + 1) / share``: with all shares 1 the fewest requests in flight win. Several
gateways share the engines without knowing of one another, so equals are drawn for.

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996); Envoy's least request balancer.
"""

from collections.abc import Sequence
from math import inf

from rayfleet.plugin.contracts import EndpointView, Picker, RequestView, Scorer

SCANNED = 16  # up to so many endpoints all are compared; of more, two


def load_of(endpoint: EndpointView) -> float:
    """Return how loaded an endpoint is with one more request: above 0, the fewer the better."""
    return (endpoint.in_flight + 1) / endpoint.share


class LeastRequest:
    """Picks the endpoint with the least load; of more than ``SCANNED``, the better of two random ones."""

    name = "least-request"

    def pick(
        self, request: RequestView, endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float
    ) -> int:
        """Return its place; the cost does not grow with a large number of endpoints. Scores are not looked at."""
        if len(endpoints) > SCANNED:
            return _better_of_two(endpoints, (), chance)
        least, equals, best = inf, 0, 0
        for place, state in enumerate(endpoints):
            load = (state.in_flight + 1) / state.share
            if load < least:
                least, equals, best = load, 1, place
            elif load == least:
                equals += 1
        return best if equals == 1 else _nth_of_load(endpoints, least, int(chance * equals))


class PowerOfTwo:
    """Picks the better of two random endpoints: by the scores, or else the less loaded one."""

    name = "power-of-two"

    def pick(
        self, request: RequestView, endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float
    ) -> int:
        """Return its place."""
        return _better_of_two(endpoints, scores, chance)


class Random:
    """Picks any endpoint, each as often as its share says."""

    name = "random"

    def pick(
        self, request: RequestView, endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float
    ) -> int:
        """Return its place."""
        place = int(chance * len(endpoints))
        return _willing_from(endpoints, place, chance * len(endpoints) - place)


class RoundRobin:
    """Picks one endpoint after the other, each model by itself; those with a small share are passed over at times."""

    name = "round-robin"

    def __init__(self) -> None:
        self._turns: dict[str, int] = {}

    def pick(
        self, request: RequestView, endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float
    ) -> int:
        """Return the place of the next one."""
        turn = self._turns.pop(request.model, 0)
        self._turns[request.model] = turn + 1
        if len(self._turns) > _TURNS:
            del self._turns[next(iter(self._turns))]
        return _willing_from(endpoints, turn % len(endpoints), chance)


class HighestScore:
    """Picks the endpoint with the highest score, a random one among equals."""

    name = "highest-score"

    def pick(
        self, request: RequestView, endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float
    ) -> int:
        """Return its place; without scores that of any, as ``random`` does."""
        if not scores:
            place = int(chance * len(endpoints))
            return _willing_from(endpoints, place, chance * len(endpoints) - place)
        best = max(scores)
        places = [place for place, score in enumerate(scores) if score == best]
        return places[int(chance * len(places))]


class LeastRequestScorer:
    """Rates endpoints by their load: 1 for the least loaded, 0.5 for one with twice as much."""

    name = "least-request"

    def score(self, request: RequestView, endpoints: Sequence[EndpointView]) -> Sequence[float]:
        """Return the least load divided by each one's."""
        loads = [load_of(endpoint) for endpoint in endpoints]
        least = min(loads)
        return [least / load for load in loads]


def own_pickers() -> tuple[Picker, ...]:
    """Return new ones of all."""
    return LeastRequest(), PowerOfTwo(), Random(), RoundRobin(), HighestScore()


def own_scorers() -> tuple[Scorer, ...]:
    """Return new ones of all."""
    return (LeastRequestScorer(),)


_TURNS = 10_000  # models that are remembered: those asked for last


def _nth_of_load(endpoints: Sequence[EndpointView], load: float, left: int) -> int:
    """Return the place of the endpoint with this load that has ``left`` others with it before it."""
    for place, state in enumerate(endpoints):
        if (state.in_flight + 1) / state.share == load:
            if not left:
                return place
            left -= 1
    return 0


def _better_of_two(endpoints: Sequence[EndpointView], scores: Sequence[float], chance: float) -> int:
    count = len(endpoints)
    if count == 1:
        return 0
    first, second = divmod(int(chance * (count * (count - 1))), count - 1)
    if second >= first:
        second += 1
    if scores:
        return first if scores[first] >= scores[second] else second
    one, other = endpoints[first], endpoints[second]
    return first if (one.in_flight + 1) / one.share <= (other.in_flight + 1) / other.share else second


def _willing_from(endpoints: Sequence[EndpointView], start: int, chance: float) -> int:
    """Return the first place from ``start`` on, and round, whose share is above ``chance``; ``start`` if none is."""
    count = len(endpoints)
    for step in range(count):
        place = (start + step) % count
        if chance < endpoints[place].share:
            return place
    return start
