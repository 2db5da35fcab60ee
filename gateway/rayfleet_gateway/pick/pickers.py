"""The pickers that are built in. Pure; chance comes in as a number, so that several gateways do not choose the same.

The load of an endpoint is ``(in_flight + 1) / share``: with all shares 1 the fewest requests in flight win.

Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996); Envoy's least request balancer.
"""

from collections.abc import Sequence

from rayfleet_gateway.model.values import InferenceRequest
from rayfleet_gateway.pick.contracts import EndpointState

SCANNED = 16  # up to so many endpoints all are compared; of more, two


def least_loaded(endpoints: Sequence[EndpointState], chance: float) -> EndpointState | None:
    """Return the endpoint with the least load, a random one among equals, None when there is none.

    Of more than ``SCANNED`` the better of two random ones: the cost does not grow with their number.
    """
    count = len(endpoints)
    if count > SCANNED:
        return better_of_two(endpoints, chance)
    if not count:
        return None
    least, equals, best = float("inf"), 0, endpoints[0]
    for state in endpoints:
        load = (state.in_flight + 1) / state.share
        if load < least:
            least, equals, best = load, 1, state
        elif load == least:
            equals += 1
    if equals == 1:
        return best
    place = int(chance * equals)
    for state in endpoints:
        if (state.in_flight + 1) / state.share == least:
            if not place:
                return state
            place -= 1
    return best


def better_of_two(endpoints: Sequence[EndpointState], chance: float) -> EndpointState | None:
    """Return the less loaded one of two random endpoints, None when there is none."""
    count = len(endpoints)
    if count < 2:
        return endpoints[0] if count else None
    first, second = divmod(int(chance * count * (count - 1)), count - 1)
    if second >= first:
        second += 1
    one, other = endpoints[first], endpoints[second]
    return one if (one.in_flight + 1) / one.share <= (other.in_flight + 1) / other.share else other


class LeastRequest:
    """The endpoint with the fewest requests in flight."""

    name = "least-request"

    def pick(
        self,
        request: InferenceRequest,  # noqa: ARG002 - the contract of pickers
        endpoints: Sequence[EndpointState],
        scores: Sequence[float],  # noqa: ARG002 - the contract of pickers
        chance: float,
    ) -> EndpointState | None:
        """Return it."""
        return least_loaded(endpoints, chance)
