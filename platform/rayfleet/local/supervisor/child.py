"""One supervised process: started, watched, started again when it dies, stopped within a limit."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rayfleet.local.proc import ProcessIdentity, identity_of
from rayfleet.local.supervisor.record import ProcessRecord
from rayfleet.local.supervisor.settings import child_environment
from rayfleet.objects.backoff import Backoff

log = logging.getLogger(__name__)

# A process that ran this long was well: its next death starts the back-off anew.
STEADY_SECONDS = 30.0
# The pause before the next start, by deaths in a row: 0.2 s, 0.4 s, 0.8 s ... at most 10 s.
RESTART_BACKOFF = Backoff(first=timedelta(seconds=0.2), longest=timedelta(seconds=10))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How a process is started; ``stop_seconds`` is what it gets between SIGTERM and SIGKILL."""

    name: str
    command: Sequence[str]
    log_path: Path
    stop_seconds: float = 10.0


class Child:
    """Runs one ChildSpec for ever, until ``stop``."""

    def __init__(self, spec: ChildSpec, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.restarts = 0
        self.last_exit = ""
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._identity = ProcessIdentity(pid=0, start_ticks=0)
        self._stopping = asyncio.Event()

    @property
    def record(self) -> ProcessRecord:
        """What is written down about this process now."""
        return ProcessRecord(identity=self._identity, restarts=self.restarts, last_exit=self.last_exit)

    async def run(self) -> None:
        """Start the process and start it again whenever it ends, until ``stop`` was called."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while not self._stopping.is_set():
            started = loop.time()
            process = await self._start()
            code = await process.wait()
            if self._stopping.is_set():
                return
            self.restarts += 1
            self.last_exit = f"signal {-code}" if code < 0 else f"exit code {code}"
            deaths = 1 if loop.time() - started > STEADY_SECONDS else deaths + 1
            log.warning("process ended; starting it again", extra={"child": self.spec.name, "end": self.last_exit})
            self._on_change()
            await asyncio.sleep(RESTART_BACKOFF.delay(deaths).total_seconds())

    async def stop(self) -> None:
        """End the process: SIGTERM, then SIGKILL when its time is up."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        _send(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(self.spec.stop_seconds):
                await process.wait()
        except TimeoutError:
            log.warning("process did not end in time; killing it", extra={"child": self.spec.name})
            _send(process, signal.SIGKILL)
            await process.wait()

    async def _start(self) -> asyncio.subprocess.Process:
        with self.spec.log_path.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *self.spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is the supervisor's to handle, in its order
                env=child_environment(),
            )
        self._process = process
        self._identity = identity_of(process.pid)
        self._on_change()
        return process


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return
