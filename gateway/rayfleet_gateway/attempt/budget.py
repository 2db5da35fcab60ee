"""How many requests may be asked again: a part of all within a window, so that an outage is not made worse. Pure.

Source: Finagle and Linkerd, "retry budgets"; Google SRE book, "Handling Overload" (per-client retry budget).
"""

SLOTS = 10
SLOT_SECONDS = 1.0
RATIO = 0.2
AT_LEAST = 3  # in a window, so that an idle model's one request may be asked again


class RetryBudget:
    """Counts of the last ``SLOTS`` seconds; one for each route."""

    __slots__ = ("_begun", "_begun_in_all", "_repeated", "_repeated_in_all", "_slot")

    def __init__(self) -> None:
        self._begun = [0] * SLOTS
        self._repeated = [0] * SLOTS
        self._begun_in_all = 0
        self._repeated_in_all = 0
        self._slot = 0

    def begin(self, now: float) -> None:
        """Note a request; ``now`` in seconds of any clock that never goes back."""
        slot = int(now / SLOT_SECONDS)
        if slot != self._slot:
            self._turn(slot)
        self._begun[slot % SLOTS] += 1
        self._begun_in_all += 1

    def has_room(self, now: float) -> bool:
        """Whether one more request may be asked again now."""
        slot = int(now / SLOT_SECONDS)
        if slot != self._slot:
            self._turn(slot)
        return self._repeated_in_all < max(AT_LEAST, RATIO * self._begun_in_all)

    def take(self, now: float) -> bool:
        """Return whether a request may be asked again, and note that it is."""
        if not self.has_room(now):
            return False
        self._repeated[self._slot % SLOTS] += 1
        self._repeated_in_all += 1
        return True

    def _turn(self, slot: int) -> None:
        """Forget what is out of the window."""
        for passed in range(max(self._slot + 1, slot - SLOTS + 1), slot + 1):
            place = passed % SLOTS
            self._begun_in_all -= self._begun[place]
            self._repeated_in_all -= self._repeated[place]
            self._begun[place] = self._repeated[place] = 0
        self._slot = slot
