"""A bounded queue and the thread that works it off: how the data path hands something to what may be slow.

``put`` never blocks and wakes nobody; the thread looks ten times a second, since waking it for each request would cost
more than the request. What does not fit is dropped and counted, by both sides in numbers of their own.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rayfleet_gateway.telemetry.counts import Deliveries

T = TypeVar("T")

_LOOK_SECONDS = 0.1
_BATCH = 500  # after each the interpreter is offered to the loop: two or three milliseconds of work


class Behind(Generic[T]):
    """Hands what is put, oldest first, to ``take`` in batches, in a thread of its own.

    ``take`` may block; it raises OSError when a batch is lost. Counts in ``deliveries``.
    """

    def __init__(
        self, name: str, take: Callable[[Sequence[T]], None], deliveries: Deliveries, *, most_waiting: int = 10_000
    ) -> None:
        self._take = take
        self._deliveries = deliveries
        self._most_waiting = most_waiting
        self._queue: deque[T] = deque()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)  # a stuck sink does not hold the exit

    def start(self) -> None:
        """Begin to work the queue off."""
        self._thread.start()

    def put(self, item: T) -> None:
        """Add one, or drop it when too many wait."""
        if len(self._queue) >= self._most_waiting:
            self._deliveries.refused += 1
            return
        self._deliveries.accepted += 1
        self._queue.append(item)

    def close(self, limit_seconds: float) -> None:
        """Work off what waits and end; whatever is left at the limit is lost. Blocks: not for the loop."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(limit_seconds)

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_SECONDS):
            self._work_off()
        self._work_off()

    def _work_off(self) -> None:
        while batch := self._batch():
            try:
                self._take(batch)
            except OSError:
                self._deliveries.lost += len(batch)
            time.sleep(0)

    def _batch(self) -> list[T]:
        queue = self._queue
        return [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
