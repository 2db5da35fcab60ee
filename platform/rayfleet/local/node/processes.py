"""Processes of containers: started in a session of their own, found again by a mark, ended to the last one.

Ray's daemons start sessions of their own, so a process group does not hold a container together. Every process inherits the mark
``RAYFLEET_CONTAINER_ID`` in its environment; ``/proc/*/environ`` finds them all. Ends are noticed through pidfds (pidfd_open(2)), which
work for processes of an earlier node too.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayfleet.local.proc import parents, process_ids, start_ticks

MARK = "RAYFLEET_CONTAINER_ID"
STATE_MARK = "RAYFLEET_STATE"
KILL_LIMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A container's first process. ``start_ticks`` with the pid cannot be mistaken for another process."""

    pid: int
    start_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCommand:
    """What to start, and where its output goes (appended)."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log_path: Path


class ContainerProcess:
    """The first process of a container; ``wait`` returns its exit code, or None when an earlier node started it."""

    def __init__(self, started: Started, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.started = started
        self._child = child

    @classmethod
    def start(cls, command: ContainerCommand) -> "ContainerProcess":
        """Start a container. Raises OSError: no such program, not executable, no such folder."""
        command.log_path.parent.mkdir(parents=True, exist_ok=True)
        with command.log_path.open("ab") as output:
            child = subprocess.Popen(
                list(command.words),
                env=dict(command.environment),
                cwd=command.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return cls(Started(pid=child.pid, start_ticks=start_ticks(child.pid) or 0), child)

    async def wait(self) -> int | None:
        """Wait for the end; -N means signal N."""
        try:
            descriptor = os.pidfd_open(self.started.pid)
        except ProcessLookupError:
            return self._code()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            if (
                start_ticks(self.started.pid) == self.started.start_ticks
            ):  # else the pid is another's, or a zombie by now
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._code()

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group of the first process."""
        if start_ticks(self.started.pid) == self.started.start_ticks:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.started.pid, number)

    def _code(self) -> int | None:
        return None if self._child is None else self._child.wait(timeout=KILL_LIMIT_SECONDS)


def marked_processes(mark: str, name: str = MARK) -> list[int]:
    """Return the pids of living processes whose environment has ``name=mark``, and of all that descend from them.

    Descendants count because a program may overwrite its own environment (setproctitle does). This process is never among them.
    """
    wanted = f"{name}={mark}".encode()
    found = {pid for pid in process_ids() if wanted in _environment(pid).split(b"\0")}
    by_parent = parents()
    grown = True
    while grown:
        more = {pid for pid, parent in by_parent.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return sorted(pid for pid in found - {os.getpid()} if start_ticks(pid) is not None)


async def end_marked(mark: str, name: str = MARK) -> int:
    """Kill every process with the mark, and return how many there were; new ones that appear meanwhile are killed too."""
    ended: set[int] = set()
    deadline = asyncio.get_running_loop().time() + KILL_LIMIT_SECONDS
    while pids := await asyncio.to_thread(marked_processes, mark, name):
        kill_all(pids)
        ended |= set(pids)
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.02)
    return len(ended)


def kill_all(pids: Collection[int]) -> None:
    """Send SIGKILL to each; those that are gone are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
