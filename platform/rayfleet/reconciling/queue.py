"""A work queue of keys: each key at most once in line and at most once at work; failures come back later and later.

client-go's workqueue with its rate limiter: ``dirty`` holds what must be worked on, ``processing`` what is; a key added
while at work is put back in line when that work is done, so that no two passes for one key ever overlap and no wish is
lost.
"""

import asyncio
from collections import deque
from datetime import timedelta

from rayfleet.model.meta import ObjectKey
from rayfleet.objects.backoff import Backoff


class QueueClosed(Exception):
    """The queue was closed and is empty."""


class WorkQueue:
    """FIFO among keys; lives on one event loop."""

    def __init__(
        self,
        *,
        first_backoff: timedelta = timedelta(milliseconds=5),
        longest_backoff: timedelta = timedelta(seconds=60),
    ) -> None:
        self._backoff = Backoff(first=first_backoff, longest=longest_backoff)
        self._line: deque[ObjectKey] = deque()
        self._dirty: set[ObjectKey] = set()
        self._processing: set[ObjectKey] = set()
        self._timers: dict[ObjectKey, asyncio.TimerHandle] = {}
        self._failures: dict[ObjectKey, int] = {}
        self._wakeup = asyncio.Event()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._line)

    @property
    def is_idle(self) -> bool:
        """Nothing in line and nothing at work; keys that wait for their time do not count."""
        return not self._dirty and not self._processing

    def add(self, key: ObjectKey) -> None:
        """Put ``key`` in line, unless it is there already; it also needs no more waiting."""
        if self._is_closed:
            return
        self._cancel_timer(key)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._line.append(key)
            self._wakeup.set()

    def add_after(self, key: ObjectKey, delay: timedelta) -> None:
        """Put ``key`` in line after ``delay``; of several delays the earliest counts."""
        if self._is_closed:
            return
        seconds = delay.total_seconds()
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        known = self._timers.get(key)
        if known is not None and known.when() <= due:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_at(due, self._ripen, key)

    def add_failed(self, key: ObjectKey) -> timedelta:
        """Put ``key`` in line after its back-off, which doubles with each failure; return the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = self._backoff.delay(failures + 1)
        self.add_after(key, delay)
        return delay

    def forget(self, key: ObjectKey) -> None:
        """The work for ``key`` went well: its next failure starts at the first back-off."""
        self._failures.pop(key, None)

    def failures(self, key: ObjectKey) -> int:
        """Return how often in a row ``key`` failed."""
        return self._failures.get(key, 0)

    async def get(self) -> ObjectKey:
        """Return the next key and hold it as at work until ``done``. Raises QueueClosed."""
        while not self._line:
            if self._is_closed:
                raise QueueClosed
            self._wakeup.clear()
            await self._wakeup.wait()
        key = self._line.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: ObjectKey) -> None:
        """The work on ``key`` is over; it goes back in line when it was added meanwhile."""
        self._processing.discard(key)
        if key in self._dirty:
            self._line.append(key)
            self._wakeup.set()

    def close(self) -> None:
        """Take nothing more; ``get`` gives out what is in line, then raises."""
        self._is_closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._wakeup.set()

    def _ripen(self, key: ObjectKey) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: ObjectKey) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
