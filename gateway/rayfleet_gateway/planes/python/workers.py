"""Several processes on one port: a parent that starts them, starts again one that died, and hands signals down.

Each worker is this command with ``--workers 1``, a port of operators of its own and its part of the budget for bodies;
the kernel spreads connections over them (``SO_REUSEPORT``). Nothing is shared, so that every worker's metrics are right
by themselves: a scraper asks each of the ports, from ``--admin-port`` upwards.

A worker whose first run ends soon with an error of its own (a port, a file that cannot be used) would end so again and
again: then all of it ends.
"""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence

from rayfleet.model.errors import EnvironmentProblem
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.planes.python.signals import TOLD_TO_HURRY, TOLD_TO_STOP, hear_signals

log = logging.getLogger(__name__)

_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 30.0
_WELL_SECONDS = 60.0  # a worker that lived so long is started again at once


def worker_arguments(arguments: Sequence[str], settings: GatewaySettings, place: int, parent: int) -> list[str]:
    """Return the command line of the worker at ``place``, from 0. Pure: the last of equal options counts.

    ``parent`` is the process that starts it.
    """
    return [
        *arguments,
        *("--workers", "1"),
        *("--_parent", str(parent)),
        *("--admin-port", str(settings.admin_port + place)),
        *("--body-limit", str(settings.body_limit_bytes)),
        *("--body-budget", str(settings.body_budget_bytes // settings.workers)),
    ]


async def run_workers(arguments: Sequence[str], settings: GatewaySettings) -> None:
    """Run workers until SIGTERM or SIGINT, and until each has drained; the same signal once more lets them hurry.

    Raises EnvironmentProblem when one of them cannot start.
    """
    parent = _Parent(arguments, settings)
    hear_signals(parent.stop, parent.hurry)
    async with asyncio.TaskGroup() as group:
        for place in range(settings.workers):
            group.create_task(parent.keep(place))
    if parent.is_failed:
        raise EnvironmentProblem("the gateway cannot run: a worker ended at its start", way_out="See what it said.")


class _Parent:
    def __init__(self, arguments: Sequence[str], settings: GatewaySettings) -> None:
        self._arguments = arguments
        self._settings = settings
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self.is_failed = False

    def stop(self) -> None:
        """Let every worker drain."""
        self._stopping.set()
        for process in self._processes.values():
            _tell(process, TOLD_TO_STOP)

    def hurry(self) -> None:
        """Let every worker end at once."""
        for process in self._processes.values():
            _tell(process, TOLD_TO_HURRY)

    async def keep(self, place: int) -> None:
        """Run one worker, again and again, until ``stop``."""
        clock = asyncio.get_running_loop().time
        wait_seconds = _FIRST_WAIT_SECONDS
        is_first = True
        while not self._stopping.is_set():
            started = clock()
            command = worker_arguments(self._arguments, self._settings, place, os.getpid())
            process = await asyncio.create_subprocess_exec(sys.executable, "-m", "rayfleet_gateway", *command)
            self._processes[place] = process
            if self._stopping.is_set():
                _tell(process, TOLD_TO_STOP)
            code = await process.wait()
            if self._stopping.is_set():
                return
            log.error("a worker ended", extra={"worker": place, "code": code})
            is_well = clock() - started >= _WELL_SECONDS
            if is_first and code > 0 and not is_well:
                self.is_failed = True
                self.stop()
                return
            is_first = False
            if is_well:
                wait_seconds = _FIRST_WAIT_SECONDS
            try:
                async with asyncio.timeout(wait_seconds):
                    await self._stopping.wait()
            except TimeoutError:
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)


def _tell(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
