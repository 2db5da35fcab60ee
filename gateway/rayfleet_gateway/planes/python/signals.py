"""What ends a gateway: signals from outside, and a parent's words to its workers.

Those are signals of their own. A terminal, systemd, and whoever else signals a group tell the workers too: if their
parent said the same, each first signal would be a second one to them, and cut what runs.
"""

import asyncio
import signal
from collections.abc import Callable

from rayfleet.process import hear_each

TOLD_TO_STOP = signal.SIGUSR1
TOLD_TO_HURRY = signal.SIGUSR2
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT)
_ALL = (*_FROM_OUTSIDE, TOLD_TO_STOP, TOLD_TO_HURRY)


def hear_signals(stop: Callable[[], object], hurry: Callable[[], object]) -> None:
    """Call ``stop`` for SIGTERM and SIGINT, and ``hurry`` when the same of them comes once more; both perhaps again.

    The same: for Ctrl-C in a terminal there may be a SIGINT, and the SIGTERM of who started this and heard it too.
    """
    heard = set[signal.Signals]()

    def hear(number: signal.Signals) -> None:
        is_again = number in heard
        if number in _FROM_OUTSIDE:
            heard.add(number)
        (hurry if is_again or number is TOLD_TO_HURRY else stop)()

    hear_each(_ALL, hear)


def ignore_signals() -> None:
    """From now on no signal ends the process in another way than it ends anyway.

    The loop, when it is closed, gives the signals back that it still has, and each would be the end of the process.
    """
    for number in _ALL:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)
