"""What keeps a plugin's fault from becoming a request's: errors are counted, slowness is measured. Pure.

A contribution that raised is left out of that request. After ``MOST_FAULTS`` in a row, an error or a call of more than
``SLOW_SECONDS`` each, it is switched off for a minute, and then at its next fault for twice as long. A call of more
than ``STALL_SECONDS`` counts for three, since every stream waits for it; one alone may be the machine's fault. One that
does not end within ``HANG_SECONDS`` is interrupted and switched off at once. The clock comes in, and so does what
interrupts.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from rayfleet.model.errors import Overdue
from rayfleet.plugin.contracts import Bounded, unbounded

T = TypeVar("T")

SLOW_SECONDS = 0.005
STALL_SECONDS = 0.02
STALL_FAULTS = 3
MOST_FAULTS = 5
HANG_SECONDS = 0.25
OFF_SECONDS = 60.0
MOST_OFF_SECONDS = 3600.0


class Guard:
    """Watches one contribution. ``clock`` gives seconds and never goes back; ``report`` hears when it is switched off.

    ``bounded`` ends a call that has no end; without it such a call is waited for.
    ``faults`` and ``slow_calls`` count from the start of the process.
    """

    def __init__(
        self,
        title: str,
        *,
        clock: Callable[[], float],
        report: Callable[[str, str], None],
        bounded: Bounded = unbounded,
    ) -> None:
        self.title: Final = title
        self.faults = 0
        self.slow_calls = 0
        self._clock = clock
        self._report = report
        self._bounded = bounded
        self._in_a_row = 0
        self._times_off = 0
        self._off_until = 0.0

    @property
    def is_off(self) -> bool:
        """Whether the contribution is not to be called now."""
        return self._off_until > 0 and self._clock() < self._off_until

    def call(self, function: Callable[[], T], otherwise: T) -> T:
        """Return what the contribution returns, ``otherwise`` when it is switched off or raises."""
        if self.is_off:
            return otherwise
        began = self._clock()
        try:
            result: T = self._bounded(function, HANG_SECONDS)
        except Overdue:
            self.faults += 1
            self._strike(f"it did not end within {HANG_SECONDS * 1000:.0f} ms", faults=MOST_FAULTS)
            return otherwise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin's fault, whatever it is; it is counted
            self.faults += 1
            self._strike(f"it raised {type(error).__name__}: {error}", faults=1)
            return otherwise
        seconds = self._clock() - began
        if seconds > SLOW_SECONDS:
            self.slow_calls += 1
            self._strike(f"it took {seconds * 1000:.0f} ms", faults=STALL_FAULTS if seconds > STALL_SECONDS else 1)
        elif self._in_a_row or self._times_off:
            self._in_a_row = self._times_off = 0
        return result

    def forget(self) -> None:
        """Begin anew: what was learnt so far was a rehearsal."""
        self.faults = self.slow_calls = self._in_a_row = self._times_off = 0
        self._off_until = 0.0

    def _strike(self, why: str, faults: int) -> None:
        self._in_a_row += faults
        if self._in_a_row < MOST_FAULTS and not self._times_off:
            return
        seconds = min(OFF_SECONDS * 2.0 ** min(self._times_off, 16), MOST_OFF_SECONDS)
        self._off_until = self._clock() + seconds
        self._times_off += 1
        self._in_a_row = 0
        self._report(self.title, f"{why}; it is switched off for {seconds:.0f} s")
