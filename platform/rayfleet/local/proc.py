"""Facts about processes from ``/proc``, and a signal to exactly one of them. Source: proc_pid_stat(5).

A process is identified by pid *and* start time (``/proc/PID/stat``, field 22): a pid alone may belong to somebody else
by then.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one; ``start_ticks`` is clock ticks since boot."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return start_ticks(self.pid) == self.start_ticks


def identity_of(pid: int) -> ProcessIdentity:
    """Return the identity of a process that was just started; start 0 (never alive) when it has ended already."""
    return ProcessIdentity(pid=pid, start_ticks=start_ticks(pid) or 0)


def signal_process(identity: ProcessIdentity, number: int) -> bool:
    """Send a signal to exactly this process; whether it was alive to get it."""
    if not identity.is_alive():
        return False
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    return True


def start_ticks(pid: int) -> int | None:
    """Return when ``pid`` started, in clock ticks since boot; None when it is gone or a zombie."""
    fields = _stat_fields(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def parents() -> dict[int, int]:
    """Return the parent of every process now."""
    parent_of = {}
    for pid in process_ids():
        fields = _stat_fields(pid)
        if fields is not None:
            parent_of[pid] = int(fields[1])
    return parent_of


def process_ids() -> Iterator[int]:
    """Yield the ids of all processes now."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            yield int(entry.name)


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields after the command name (which may hold spaces and brackets): state is 0, parent 1, start 19."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
