"""What ends a gateway: signals from outside, a parent's words to its workers, and the parent's own end.

Those are signals of their own. A terminal, systemd, and whoever else signals a group tell the workers too: if their
parent said the same, each first signal would be a second one to them, and cut what runs.

Signals are heard by Python's handlers, called once for each. The loop's are not: those of uvloop 0.23 are called twice
for a signal that comes while the loop looks at another one (``_invoke_signals``: its byte in the loop's pipe and
Python's handler both tell of it). Uvloop wakes at each signal, whoever hears it; asyncio's own loop would not.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

TOLD_TO_STOP = signal.SIGUSR1
TOLD_TO_HURRY = signal.SIGUSR2
_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGINT)
_ALL = (*_FROM_OUTSIDE, TOLD_TO_STOP, TOLD_TO_HURRY)
_LOOK_SECONDS = 1.0


def hear_signals(stop: Callable[[], object], hurry: Callable[[], object]) -> None:
    """Call ``stop`` for SIGTERM and SIGINT, and then ``hurry`` too when the same comes once more; each perhaps again.

    The same: for Ctrl-C in a terminal there may be a SIGINT, and the SIGTERM of who started this and heard it too.
    They are called in the loop that runs, which has to be uvloop's, in the main thread.
    """
    loop = asyncio.get_running_loop()
    heard = set[int]()

    def hear(number: int) -> None:
        is_again = number in heard
        if number in _FROM_OUTSIDE:
            heard.add(number)
        stop()
        if is_again or number == TOLD_TO_HURRY:
            hurry()

    def tell(number: int, _: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(hear, number)

    for number in _ALL:
        signal.signal(number, tell)


async def until_gone(parent: int) -> None:
    """Return when ``parent``, the process that started this one, has ended, however it did.

    Without it workers whose parent was killed would serve on for ever, and hold the ports of their successors. Where
    Linux tells of the end it returns at once, else within a second; never before the last thread has ended.
    (PR_SET_PDEATHSIG tells of the end of the thread that started this process.) Source: pidfd_open(2), prctl(2).
    """
    is_over = asyncio.Event()
    with _told_of_the_end(parent, is_over.set):
        while os.getppid() == parent and not is_over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await is_over.wait()


@contextmanager
def _told_of_the_end(parent: int, tell: Callable[[], object]) -> Iterator[None]:
    """Have ``tell`` called when that process ends; where the system cannot do that, or is not let, it never is."""
    loop = asyncio.get_running_loop()
    with ExitStack() as held:
        with suppress(AttributeError, OSError):
            process = os.pidfd_open(parent)
            held.callback(os.close, process)
            loop.add_reader(process, tell)
            held.callback(loop.remove_reader, process)
        yield


def ignore_signals() -> None:
    """From now on no signal ends the process in another way than it ends anyway."""
    for number in _ALL:
        signal.signal(number, signal.SIG_IGN)
