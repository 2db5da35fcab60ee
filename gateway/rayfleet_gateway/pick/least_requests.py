"""Filter, score, choose: which endpoint gets a request. Pure.

Least requests: of the endpoints not excluded, the ones with the fewest requests in flight, and among equals a random
one, so that several gateways do not all choose the same. Randomness comes in as a number.
"""

from collections.abc import Collection, Mapping, Sequence

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.table import Backend


def picked_endpoint(
    endpoints: Sequence[Endpoint], in_flight: Mapping[Endpoint, int], excluded: Collection[Endpoint], chance: float
) -> Endpoint | None:
    """Return the endpoint with the fewest requests in flight, None when none is left.

    ``chance`` in [0, 1) chooses among equals; ``excluded`` are those that this request has failed on.
    """
    left = [endpoint for endpoint in endpoints if endpoint not in excluded]
    if not left:
        return None
    fewest = min(in_flight.get(endpoint, 0) for endpoint in left)
    equals = [endpoint for endpoint in left if in_flight.get(endpoint, 0) == fewest]
    return equals[int(chance * len(equals))]


def picked_backend(backends: Sequence[Backend], excluded: Collection[Endpoint], chance: float) -> Backend | None:
    """Return a backend by weight among those with an endpoint left, None when there is none.

    Gateway API would answer 503 for the share of a backend without endpoints; a replica set that is just going away is
    no reason to fail requests that another can answer.
    """
    able = [
        backend
        for backend in backends
        if backend.weight > 0 and any(endpoint not in excluded for endpoint in backend.endpoints)
    ]
    total = sum(backend.weight for backend in able)
    point = chance * total
    for backend in able:
        point -= backend.weight
        if point < 0:
            return backend
    return able[-1] if able else None
