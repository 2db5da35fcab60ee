"""How much of its part an endpoint takes: halved at each sign of trouble, doubled each second after. Pure.

A busy endpoint refuses at once and so has nothing in flight: without a share, least request would send it everything.
"""

from math import pow  # noqa: A004 - of floats, which never is complex

FLOOR = 1 / 256  # of its part: below the load that one gateway process can put on the others
DOUBLING_SECONDS = 1.0
RETURNING = 1 / 8  # of one that comes back


def lowered(share: float) -> float:
    """Return the share after one more refusal or failure."""
    return max(FLOOR, share / 2)


def recovered(share: float, seconds: float) -> float:
    """Return the share so many seconds later: 1/4 is 1/2 after a second, and 1 after two."""
    return min(1.0, share * pow(2.0, min(max(seconds, 0.0), 60.0) / DOUBLING_SECONDS))
