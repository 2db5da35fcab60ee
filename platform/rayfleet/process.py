"""What every process of ours does alike: it works until a signal, and says its errors as sentences."""

import asyncio
import logging
import signal
import sys
from collections.abc import Awaitable, Callable

from rayfleet.model.errors import RayfleetError, leaves

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; they have no other effect from now on."""
    stop = asyncio.Event()
    heed_signals(stop)
    return stop


def heed_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and SIGINT set ``stop`` and do nothing else; again, when a library has put its own in their place."""
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def until_stopped(work: Awaitable[None]) -> None:
    """Run ``work`` until it ends or a signal comes; then it is cancelled, and that is no error."""
    task = asyncio.ensure_future(work)
    heard: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        if not heard:  # a second signal does not cut the clean-up that the first began
            task.cancel()
        heard.append(number)

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        await task
    except asyncio.CancelledError:
        if not heard:
            raise
        log.info("stopped by a signal", extra={"signal": heard[0].name})
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes uvloop's loops where it is installed, else None: asyncio's own; for processes that stay."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def exit_code(run: Callable[[], object]) -> int:
    """Run the work of a process; return 0, or 1 after our own errors, each said on standard error."""
    code = 0
    try:
        run()
    except* RayfleetError as group:
        code = 1
        for error in leaves(group):
            sys.stderr.write(f"error: {error}\n")
    return code
