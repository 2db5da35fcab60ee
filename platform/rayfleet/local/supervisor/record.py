"""What the supervisor writes down, so that a later one can find what an earlier one left.

A process is identified by pid *and* start time (``/proc/PID/stat``, field 22): a pid alone may belong to somebody else
by then.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rayfleet.local.proc import start_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one; ``start_ticks`` is clock ticks since boot."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Whether exactly this process still runs (a zombie does not)."""
        return start_ticks(self.pid) == self.start_ticks


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """One supervised process; ``restarts`` counts unexpected ends, ``last_exit`` is the newest of them."""

    identity: ProcessIdentity
    restarts: int = 0
    last_exit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The supervisor itself, its processes by name, and the ports people were told."""

    supervisor: ProcessIdentity
    api_port: int
    gateway_host: str
    gateway_port: int
    processes: Mapping[str, ProcessRecord] = field(default_factory=dict)

    @property
    def gateway_url(self) -> str:
        """Where requests go."""
        return f"http://{self.gateway_host}:{self.gateway_port}"


def identity_of(pid: int) -> ProcessIdentity:
    """Return the identity of a process that was just started; start 0 (never alive) when it has ended already."""
    return ProcessIdentity(pid=pid, start_ticks=start_ticks(pid) or 0)


def write_record(path: Path, record: Record) -> None:
    """Replace the record in one step: a reader sees the old one or the new one, never half."""
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(asdict(record), indent=1), encoding="utf-8")
    temporary.replace(path)


def read_record(path: Path) -> Record | None:
    """Return the record, None when there is none (or one that this version cannot read)."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            supervisor=ProcessIdentity(**raw["supervisor"]),
            api_port=raw["api_port"],
            gateway_host=raw["gateway_host"],
            gateway_port=raw["gateway_port"],
            processes={
                name: ProcessRecord(
                    identity=ProcessIdentity(**entry["identity"]),
                    restarts=entry["restarts"],
                    last_exit=entry["last_exit"],
                )
                for name, entry in raw["processes"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def signal_process(identity: ProcessIdentity, number: int) -> bool:
    """Send a signal to exactly this process; whether it was alive to get it."""
    if not identity.is_alive():
        return False
    try:
        os.kill(identity.pid, number)
    except ProcessLookupError:
        return False
    return True
