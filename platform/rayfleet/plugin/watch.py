"""An end for a plugin's call that has none: the call is interrupted where it stands, and whoever asked goes on. Edge.

A loop that serves everybody cannot wait for a plugin. A thread looks at the call that is under way; one that is overdue
gets a signal, whose handler raises ``Overdue`` in the main thread, out of a loop as out of a sleep or a lock (PEP
475). Nothing is done for a call that ends in time but to note when it must have ended, so it can be asked for every
request. The thread ends by itself when nobody calls.

Only calls of the main thread are watched, for signals are handled there alone. What cannot be interrupted: C code that
neither returns nor looks for signals, and a plugin that catches BaseException.

The signal is SIGURG: ignored where nobody handles it, and no use of sockets here asks for it (as Go's runtime does for
its own interruptions).
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from rayfleet.model.errors import Overdue

T = TypeVar("T")

LOOK_SECONDS = 0.02
_IDLE_LOOKS = 100
_SIGNAL = signal.SIGURG


class Watch:
    """Watches the calls of one process. ``look_seconds``: how often, and so how late a call may be interrupted."""

    def __init__(self, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._deadline = 0.0  # monotonic seconds of the call under way, 0 when there is none
        self._is_used = False
        self._listens = False
        self._thread: threading.Thread | None = None
        self._handler_before: Callable[[int, FrameType | None], object] | int | None = None

    def call(self, function: Callable[[], T], limit_seconds: float) -> T:
        """Return what ``function`` returns. Raises Overdue about ``limit_seconds`` after it began, and what it raises.

        A call within another one has no more time than that.
        """
        if threading.get_ident() != threading.main_thread().ident:
            return function()
        outer = self._deadline
        deadline = time.monotonic() + limit_seconds
        self._is_used = True
        if self._thread is None or not self._thread.is_alive():
            self._start()
        try:
            self._deadline = min(outer, deadline) if outer else deadline
            return function()
        finally:
            self._deadline = outer

    @contextmanager
    def within(self, limit_seconds: float) -> Iterator[None]:
        """Give what runs in the ``with`` no more time than that; see ``call``. Raises Overdue."""
        outer = self._deadline
        self.call(lambda: None, limit_seconds)
        try:
            self._deadline = time.monotonic() + limit_seconds
            yield
        finally:
            self._deadline = outer

    def _start(self) -> None:
        if not self._listens:  # once: two that take turns would call one another for ever
            self._listens = True
            self._handler_before = signal.signal(_SIGNAL, self._interrupt)
        self._thread = threading.Thread(target=self._look, name="plugin watch", daemon=True)
        self._thread.start()

    def _look(self) -> None:
        main = threading.main_thread().ident
        idle = 0
        while main is not None and idle < _IDLE_LOOKS:
            time.sleep(self._look_seconds)
            idle, self._is_used = (0, False) if self._is_used or self._deadline else (idle + 1, False)
            if self._is_overdue():
                signal.pthread_kill(main, _SIGNAL)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._is_overdue():
            self._deadline = 0.0
            raise Overdue
        if callable(self._handler_before):
            self._handler_before(number, frame)

    def _is_overdue(self) -> bool:
        deadline = self._deadline
        return deadline > 0 and time.monotonic() > deadline
