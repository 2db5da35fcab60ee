"""Which backend of a rule takes a request: by weight, among those that can. Pure.

Gateway API would answer 503 for the share of a backend without endpoints; a replica set that is just going away is no
reason to fail requests that another can answer.
"""

from collections.abc import Sequence


def weighted_place(weights: Sequence[int], chance: float) -> tuple[int, float]:
    """Return the place that ``chance`` in [0, 1) falls on, and a new chance in [0, 1) that is independent of the place.

    At least one weight is above 0. With weights 90 and 10, a chance of 0.95 is place 1 and the new chance 0.5.
    """
    point = chance * sum(weights)
    last = 0
    for place, weight in enumerate(weights):
        if weight <= 0:
            continue
        if point < weight:
            return place, point / weight
        point -= weight
        last = place
    return last, 0.0
