"""Server processes of a test: each a process group with a log, ended for sure.

A group is ended by its id, SIGTERM first. Should this process be killed before it can do so, the ``Keeper`` does it.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Self

from rayfleet.testing.realkube.errors import ServerStartError
from rayfleet.testing.realkube.files import last_lines


class Daemon:
    """One server process, the leader of its own group, writing to a log."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.name = name
        self.log = log
        self._process = process

    @classmethod
    def start(cls, command: list[str], *, folder: Path, name: str = "") -> Self:
        """Start ``command`` in ``folder``; its output is appended to ``folder/NAME.log``, by default the program's.

        Raises ``ServerStartError``.
        """
        name = name or Path(command[0]).name
        log = folder / f"{name}.log"
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            raise ServerStartError(f"{command[0]} cannot be started: {error}") from error
        return cls(name, process, log)

    @property
    def process_id(self) -> int:
        """The process's id, which is its group's too."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.poll()

    def describe(self) -> str:
        """Return the end of the log and where the rest is, for an error message."""
        return f"{last_lines(self.log)}\n  the whole log of {self.name}: {self.log}"

    def end(self, *, grace: timedelta = timedelta(seconds=5)) -> None:
        """End the whole group, politely first; on return the process is gone and reaped."""
        with suppress(ProcessLookupError):
            os.killpg(self.process_id, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace.total_seconds())
        with suppress(ProcessLookupError):
            os.killpg(self.process_id, signal.SIGKILL)
        self._process.wait()


class Keeper:
    """A helper process that ends the daemons it was shown if this process dies without having done so."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))],
            stdin=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C or a closed terminal ends its starter, not it
            text=True,
        )

    def watch(self, daemon: Daemon) -> None:
        """Show it one more daemon."""
        assert self._process.stdin is not None
        print(daemon.process_id, file=self._process.stdin, flush=True)

    def dismiss(self) -> None:
        """Say that the daemons are ended, and wait for the helper's end."""
        self._process.communicate("done\n", timeout=30)
