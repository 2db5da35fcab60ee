"""Ends everything that a node left: used after a crash, and as the last step of ``rayfleet down``."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from rayfleet.local.node.folders import node_folders
from rayfleet.local.node.processes import STATE_MARK, kill_all, marked_processes
from rayfleet.local.node.shared_memory import remove_orphaned_segments
from rayfleet.local.node.slots import Slots

LIMIT_SECONDS = 10.0


def cleanup(state: Path, environment: Mapping[str, str] | None = None) -> int:
    """Kill every container process of this state folder, free its slots, remove Ray's temporary folders and orphaned shared memory.

    Return the number of processes that had to be killed. Blocking; safe to repeat.
    """
    folders = node_folders(state, environment)
    killed: set[int] = set()
    deadline = time.monotonic() + LIMIT_SECONDS
    while (pids := marked_processes(str(folders.state), STATE_MARK)) and time.monotonic() < deadline:
        kill_all(pids)
        killed |= set(pids)
        time.sleep(0.02)
    Slots(folders).give_back_all()
    for record in folders.pods.glob("*/ray-temp"):
        shutil.rmtree(folders.ray_temp(record.read_text(encoding="utf-8").strip()), ignore_errors=True)
        record.unlink(missing_ok=True)
    for container_state in folders.pods.glob("*/*/state.json"):
        container_state.unlink(missing_ok=True)
    remove_orphaned_segments()
    return len(killed)
