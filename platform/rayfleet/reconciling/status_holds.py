"""How long a status that may wait has waited: one write tells of all changes of a moment.

A hold begins when a pass first wants to write a status of which its plan says that it may wait, and ends with a write
that may not, with none, or after its time: then the newest status is written, so the last one always is. An object that
goes on changing is written less and less often, up to a fourth as often; one that was quiet for a while begins anew.
Nothing is kept here but times: each pass decides anew what the status is. (A busy controller's holds were longer once:
that saved one write in twenty, and told of replicas that serve ten seconds late.)
"""

from collections.abc import Callable
from datetime import timedelta

from rayfleet.model.meta import ObjectKey
from rayfleet.planning.writes import Action, writes_status

Seconds = Callable[[], float]
_MOST_FACTOR = 4
_TICK_SECONDS = 0.001  # a timer may be early by its rounding; nobody is woken for less


class StatusHolds:
    """The holds of one controller, by key; ``first`` is the shortest, 0: none waits.

    ``seconds``: a monotonic clock.
    """

    def __init__(self, first: timedelta, seconds: Seconds) -> None:
        self._first = first.total_seconds()
        self._seconds = seconds
        self._since: dict[ObjectKey, float] = {}
        self._last: dict[ObjectKey, tuple[float, float]] = {}  # when a hold ended by its time, and how long it was

    def split(self, key: ObjectKey, actions: tuple[Action, ...]) -> tuple[tuple[Action, ...], timedelta | None]:
        """Return the actions to carry out now, and when to look again for a status that waits; None when none does."""
        last = actions[-1] if actions else None
        if last is None or not writes_status(last) or not last.may_wait:
            self._since.pop(key, None)
            return actions, None
        now = self._seconds()
        since = self._since.setdefault(key, now)
        hold = self._hold(key, since)
        left = since + hold - now
        if left < _TICK_SECONDS:
            del self._since[key]
            self._last[key] = (now, hold)
            return actions, None
        return actions[:-1], timedelta(seconds=left)

    def forget(self, key: ObjectKey) -> None:
        """The object is gone."""
        self._since.pop(key, None)
        self._last.pop(key, None)

    def _hold(self, key: ObjectKey, since: float) -> float:
        """Return how long a hold that began at ``since`` lasts: twice the last one when that has just ended."""
        ended_at, hold = self._last.get(key, (since, 0.0))
        if not hold or since - ended_at > hold:
            return self._first
        return min(2 * hold, _MOST_FACTOR * self._first)
