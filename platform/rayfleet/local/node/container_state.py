"""What a node must find again about a container after its own death: one small file, replaced in one step."""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rayfleet.local.proc import ProcessIdentity
from rayfleet.objects.times import encode_micro_time, read_time


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """A running container: its first process, which run it is, and when it began."""

    process: ProcessIdentity
    restart_count: int
    started_at: datetime


def write_state(folder: Path, state: ContainerState) -> None:
    """Write the state of a running container."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "pid": state.process.pid,
        "start_ticks": state.process.start_ticks,
        "restart_count": state.restart_count,
        "started_at": encode_micro_time(state.started_at),
    }
    temporary = folder / "state.new"
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(folder / "state.json")


def read_state(folder: Path) -> ContainerState | None:
    """Return the state, None when there is none."""
    try:
        raw = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return ContainerState(
            process=ProcessIdentity(pid=raw["pid"], start_ticks=raw["start_ticks"]),
            restart_count=raw["restart_count"],
            started_at=read_time(raw["started_at"]),
        )
    except (OSError, ValueError, KeyError):
        return None


def running_state(folder: Path) -> ContainerState | None:
    """Return the state of a container whose first process still runs, None when it does not."""
    state = read_state(folder)
    return state if state is not None and state.process.is_alive() else None


def forget_state(folder: Path) -> None:
    """Remove the state of a container that has ended."""
    (folder / "state.json").unlink(missing_ok=True)
