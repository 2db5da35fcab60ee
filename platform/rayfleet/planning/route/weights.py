"""How the requests for a model are shared among its fleets. Pure.

``spec.route.weight`` is a share of 100 while some fleet of the model names none: those share the rest by their
available Ray clusters (a canary of weight 10 beside a fleet without: 10 and 90). When all name one, the weights stand
as written. Nobody gets requests that it cannot answer: without an available Ray cluster a fleet's weight is 0, and its
share goes to the others, unless none has any; then the shares stay, for whoever comes first. A fleet of weight 0 never
gets any.

Weights by available Ray clusters change often. So they are written as the smallest numbers of the same proportion, a
fleet alone has 1 whatever it has, and a change in proportion alone waits until the last one is ``CALM`` ago.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from math import gcd

from rayfleet.planning.route.users import RouteUser

CALM = timedelta(seconds=10)
_WHOLE = 100
_FINE = 1000
"""Unnamed fleets share the rest of 100 in thousandths: 2 of 3 Ray clusters of 90 are 60, of 91 they are 60.667."""

Weights = tuple[int, ...]


def weights_of(users: Sequence[RouteUser]) -> Weights:
    """Return the weight of each fleet, in their order."""
    if len(users) == 1:
        return (1,) if users[0].route.weight is None else (min(1, users[0].route.weight),)
    shares = _shares(users, [user.available > 0 for user in users])
    # Without any share, none that may get requests could answer them.
    return shares if any(shares) else _shares(users, [True] * len(users))


def is_urgent(before: Mapping[str, int], after: Mapping[str, int]) -> bool:
    """Whether a change of weights, by backend, is more than one of proportion: somebody comes or goes."""
    return {name for name, weight in before.items() if weight} != {name for name, weight in after.items() if weight}


def until_calm(weighed_at: datetime | None, now: datetime) -> timedelta:
    """Return how long a change of proportion has to wait; zero: it may be written."""
    if weighed_at is None or weighed_at > now:
        return timedelta(0)
    return max(timedelta(0), weighed_at + CALM - now)


def _shares(users: Sequence[RouteUser], able: Sequence[bool]) -> Weights:
    """Return the shares when only those ``able`` may have one."""
    named = [(user.route.weight or 0) if may else 0 for user, may in zip(users, able, strict=True)]
    if all(user.route.weight is not None for user in users):
        return tuple(named)
    counts = [
        max(1, user.available) if user.route.weight is None and may else 0
        for user, may in zip(users, able, strict=True)
    ]
    if not any(named):
        return _divided(counts, gcd(*counts))
    rest, total = max(0, _WHOLE - sum(named)) * _FINE, sum(counts)
    fine = [share * _FINE + round(rest * count / max(1, total)) for share, count in zip(named, counts, strict=True)]
    return _divided(fine, gcd(*fine, _FINE))


def _divided(shares: Sequence[int], divisor: int) -> Weights:
    return tuple(share // max(1, divisor) for share in shares)
