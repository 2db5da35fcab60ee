"""Facts about processes from ``/proc``. Source: proc_pid_stat(5)."""

import os
from collections.abc import Iterator
from pathlib import Path


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
