"""Processes of containers: started in a session of their own, found again by a mark, ended to the last one.

Ray's daemons start sessions of their own, so a process group does not hold a container together. What does:

- Every process inherits the mark ``RAYFLEET_CONTAINER_ID`` in its environment, which ``/proc/*/environ`` shows.
- A container's first process is a *child subreaper* (prctl(2)): as the first process of a pid namespace it becomes the
  parent of every orphan of the container, so all that runs descends from it while it lives.
- The node is a subreaper too: when a first process has died, what it leaves falls to the node (``end_orphans``).

Ends are noticed through pidfds (pidfd_open(2)), which work for processes of an earlier node too.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rayfleet.local.node.mounts import BindMount, enter_mounts
from rayfleet.local.node.users import User
from rayfleet.local.proc import ProcessIdentity, identity_of, parents, process_ids, start_ticks

MARK = "RAYFLEET_CONTAINER_ID"
STATE_MARK = "RAYFLEET_STATE"
KILL_LIMIT_SECONDS = 5.0
_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCommand:
    """What to start, and where its output goes (appended; /dev/null for one that nobody reads).

    ``user`` is whom it runs as; None: as this process. ``mounts`` are its own; ``message_path`` is emptied for it.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log_path: Path
    user: User | None = None
    mounts: tuple[BindMount, ...] = ()
    message_path: Path | None = None


class Children:
    """The first processes that this node has started, so that orphans of dead containers can be told from them.

    ``takes_orphans`` makes this process a subreaper: every other child of it is then such an orphan, and is ended.
    """

    def __init__(self, *, takes_orphans: bool = False) -> None:
        self._known: set[int] = set()
        self._takes_orphans = takes_orphans
        if takes_orphans:
            become_subreaper()

    def start(self, command: ContainerCommand) -> "ContainerProcess":
        """Start a process. Raises OSError: no such program, not executable, no such folder, a mount that fails."""
        command.log_path.parent.mkdir(parents=True, exist_ok=True)
        if command.message_path is not None:
            command.message_path.write_bytes(b"")
            command.message_path.chmod(0o666)
        user = None if command.mounts else command.user  # who mounts becomes somebody else after that
        with command.log_path.open("ab") as output:
            try:
                child = subprocess.Popen(
                    list(command.words),
                    env=dict(command.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    cwd=None if command.mounts else command.folder,
                    user=user.uid if user else None,
                    group=user.gid if user else None,
                    extra_groups=user.groups if user else None,
                    preexec_fn=lambda: _begin(command),  # noqa: PLW1509 - system calls, bound at import: no lock
                )
            except subprocess.SubprocessError as error:
                raise OSError(errno.EPERM, "it cannot be prepared, the end of its log says why") from error
        self._known.add(child.pid)
        return ContainerProcess(identity_of(child.pid), child, self._known)

    async def end_orphans(self) -> int:
        """Kill and reap what dead containers left to this node; return how many there were."""
        if not self._takes_orphans:
            return 0
        ended: set[int] = set()
        deadline = asyncio.get_running_loop().time() + KILL_LIMIT_SECONDS
        while orphans := {pid for pid, parent in parents().items() if parent == os.getpid()} - self._known:
            kill_all(orphans)
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - does not wait
            ended |= orphans
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(0.01)
        return len(ended)


class ContainerProcess:
    """The first process of a container; ``wait`` returns its exit code, or None when an earlier node started it."""

    def __init__(
        self, identity: ProcessIdentity, child: "subprocess.Popen[bytes] | None" = None, known: "set[int] | None" = None
    ) -> None:
        self.identity = identity
        self._child = child
        self._known = known

    @property
    def is_alive(self) -> bool:
        """Whether it runs; neither a zombie nor another process of the same number counts."""
        return self.identity.is_alive()

    async def wait(self) -> int | None:
        """Wait for the end; -N means signal N."""
        try:
            descriptor = os.pidfd_open(self.identity.pid)
        except ProcessLookupError:
            return self._code()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(descriptor, ended.set)
        try:
            if self.is_alive:
                await ended.wait()
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
        return self._code()

    async def terminate(self, deadline: float) -> None:
        """Send SIGTERM and wait until the loop's time ``deadline`` for the end.

        What is left then is the caller's to kill.

        A first process that handles SIGTERM gets it alone, as from a container runtime: its children are its business.
        One that does not (a shell without a trap) would die at once and take the engine with it, so the whole group
        gets it and is waited for.
        """
        if not self.is_alive:
            return
        is_alone = _catches(self.identity.pid, signal.SIGTERM)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            (os.kill if is_alone else os.killpg)(self.identity.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self.wait()
                while not is_alone and _has_group(self.identity.pid):
                    await asyncio.sleep(0.02)

    def kill_group(self) -> None:
        """Send SIGKILL to the process group of the first process."""
        if self.is_alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.identity.pid, signal.SIGKILL)

    def _code(self) -> int | None:
        if self._child is None:
            return None
        code = self._child.wait(timeout=KILL_LIMIT_SECONDS)
        if self._known is not None:
            self._known.discard(self.identity.pid)
        return code


def _begin(command: ContainerCommand) -> None:
    """Make this new process the container's: its mounts, then folder and user. Its standard error is the log."""
    become_subreaper()
    if not command.mounts:
        return
    try:
        enter_mounts(command.mounts)
        os.chdir(command.folder)
        if command.user is not None:
            os.setgroups(command.user.groups)
            os.setgid(command.user.gid)
            os.setuid(command.user.uid)
    except OSError as error:
        os.write(2, f"rayfleet: {error}\n".encode())
        raise


def become_subreaper() -> None:
    """Make this process the parent of all orphans among its descendants."""
    _LIBC.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def marked_processes(mark: str, name: str = MARK) -> list[int]:
    """Return the pids of living processes whose environment has ``name=mark``, and of all that descend from them.

    Descendants count because a program may overwrite its own environment (setproctitle does). This process is never
    among them.
    """
    entry = f"{name}={mark}".encode()
    return with_descendants(pid for pid in process_ids() if entry in process_environment(pid).split(b"\0"))


def with_descendants(pids: Iterable[int]) -> list[int]:
    """Return these and all that descend from them, the living ones, without this process."""
    family = set(pids)
    by_parent = parents()
    while children := {pid for pid, parent in by_parent.items() if parent in family} - family:
        family |= children
    return sorted(pid for pid in family - {os.getpid()} if start_ticks(pid) is not None)


async def end_marked(mark: str, name: str = MARK) -> int:
    """Kill every process with the mark, and return how many there were.

    New ones that appear meanwhile are killed too.
    """
    return await asyncio.to_thread(kill_marked, mark, name)


def kill_marked(mark: str, name: str = MARK) -> int:
    """As ``end_marked``, blocking, for some seconds at most."""
    ended: set[int] = set()
    deadline = time.monotonic() + KILL_LIMIT_SECONDS
    while (pids := marked_processes(mark, name)) and time.monotonic() < deadline:
        kill_all(pids)
        ended |= set(pids)
        time.sleep(0.01)
    return len(ended)


def kill_all(pids: Collection[int]) -> None:
    """Send SIGKILL to each; those that are gone are gone."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def process_environment(pid: int) -> bytes:
    """Return the environment that a process started with, entries ended by zero bytes; empty when it cannot be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal. Source: proc_pid_status(5), SigCgt."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    mask = next((line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(mask, 16) >> (number - 1) & 1)


def _has_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
