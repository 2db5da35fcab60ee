"""What is still to be told: notes about objects, put together until they are written. Pure.

Notes of one reason about one object become one Event: the same words count, different words stand beside one another
(five Ray clusters made at once are one Event that names five). Nothing is lost to load: what must wait, waits and grows
no longer than ``MOST_WORDS``; only a backlog of ``limit`` Events drops its oldest, a normal one before a warning. Each
object has a budget, as client-go's correlator does (25 at once, then one each five minutes); what is over it waits for
its turn. Times are seconds of the caller's clock.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from rayfleet.kube.throttle import TokenBucket
from rayfleet.model.events import EventType

MOST_WORDS = 20
_OBJECT_LIMIT = 4096
_BURST_PER_OBJECT = 25
_RATE_PER_OBJECT = 1 / 300
_MESSAGE_LIMIT = 1024  # of an Event's message, by the API

Reference = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom an Event is about, and why; ``reference`` as ``involvedObject`` has it."""

    reference: Reference
    type: EventType
    reason: str


@dataclass(slots=True, kw_only=True)
class Pending:
    """One Event to be: how often each of the words was said, in order; ``more`` further words have no room."""

    subject: Subject
    due_at: float
    words: dict[str, int] = field(default_factory=dict)
    more: int = 0
    tries: int = 0

    @property
    def message(self) -> str:
        """Return all words as one message."""
        rest = f"; and {self.more} more" if self.more else ""
        text = "; ".join(self.words)
        room = _MESSAGE_LIMIT - len(rest)
        return (text if len(text) <= room else f"{text[: room - 3]}...") + rest

    @property
    def count(self) -> int:
        """Return how often the same was said."""
        return max(self.words.values(), default=1)

    def say(self, message: str, times: int = 1) -> None:
        """Add words."""
        if message in self.words or len(self.words) < MOST_WORDS:
            self.words[message] = self.words.get(message, 0) + times
        else:
            self.more += times


class Backlog:
    """Events to be, oldest first. Not thread-safe."""

    def __init__(self, *, limit: int = 4096) -> None:
        self._limit = limit
        self._pending: OrderedDict[Subject, Pending] = OrderedDict()
        self._budgets: OrderedDict[Reference, TokenBucket] = OrderedDict()
        self._now = 0.0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._pending)

    def say(self, subject: Subject, message: str, due_at: float) -> None:
        """Note words; they are written when due, with what came meanwhile."""
        self._of(subject, due_at).say(message)

    def put_back(self, pending: Pending, due_at: float) -> None:
        """Note an Event that could not be written; its try counts, and what was said meanwhile joins it."""
        into = self._of(pending.subject, due_at)
        into.tries = pending.tries + 1
        into.due_at = max(into.due_at, due_at)
        for message, times in pending.words.items():
            into.say(message, times)
        into.more += pending.more

    def take(self, now: float) -> Pending | None:
        """Take the oldest Event that is due and within its object's budget; None when there is none."""
        self._now = now
        for pending in tuple(self._pending.values()):
            if pending.due_at > now:
                continue
            wait = self._budget(pending.subject.reference).try_take()
            if wait <= 0:
                return self._pending.pop(pending.subject)
            pending.due_at = now + wait
        return None

    def take_all(self) -> Iterator[Pending]:
        """Take whatever there is, due or not, oldest first."""
        while self._pending:
            yield self._pending.popitem(last=False)[1]

    def next_due(self) -> float | None:
        """Return when the next Event is due, None without any."""
        return min((pending.due_at for pending in self._pending.values()), default=None)

    def _of(self, subject: Subject, due_at: float) -> Pending:
        known = self._pending.get(subject)
        if known is not None:
            return known
        if len(self._pending) >= self._limit:
            self._drop_one()
        fresh = self._pending[subject] = Pending(subject=subject, due_at=due_at)
        return fresh

    def _drop_one(self) -> None:
        normal = (subject for subject in self._pending if subject.type is EventType.NORMAL)
        victim = self._pending.pop(next(normal, next(iter(self._pending))))
        self.dropped += sum(victim.words.values()) + victim.more

    def _budget(self, reference: Reference) -> TokenBucket:
        budget = self._budgets.get(reference)
        if budget is None:
            budget = self._budgets[reference] = TokenBucket(
                rate_per_second=_RATE_PER_OBJECT, burst=_BURST_PER_OBJECT, clock=lambda: self._now
            )
            if len(self._budgets) > _OBJECT_LIMIT:
                self._budgets.popitem(last=False)
        self._budgets.move_to_end(reference)
        return budget
