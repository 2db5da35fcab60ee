"""Removes what pods have on this machine.

After a pod's end, after a crash of the node, and as the last step of ``rayfleet down``.

A pod's traces are its processes (marks and state files), its slot, its volumes, the temporary folder of its Ray cluster
(shared by the cluster's pods), and shared memory segments. Its logs stay for a while. Everything here blocks, and is
safe to repeat.
"""

import shutil
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from rayfleet.local.node.container_state import forget_state, running_state
from rayfleet.local.node.folders import NodeFolders
from rayfleet.local.node.pod_note import forget_note, read_note
from rayfleet.local.node.processes import (
    MARK,
    STATE_MARK,
    kill_all,
    marked_processes,
    process_environment,
    with_descendants,
)
from rayfleet.local.node.settings import node_folders
from rayfleet.local.node.shared_memory import remove_orphaned_segments
from rayfleet.local.node.slots import Slots
from rayfleet.local.node.volume_files import remove_volumes

LIMIT_SECONDS = 10.0
# Logs of pods that are gone stay readable, this many pods of them.
KEPT_POD_FOLDERS = 50


def cleanup(state: Path, environment: Mapping[str, str] | None = None) -> int:
    """Kill every container process of this state folder and remove all traces of its pods.

    Return how many were killed.
    """
    return end_strangers(node_folders(state, environment), frozenset())


def end_strangers(folders: NodeFolders, living: Collection[str]) -> int:
    """End and remove everything of pods whose uid is not among ``living``; return the number of processes killed."""
    killed: set[int] = set()
    deadline = time.monotonic() + LIMIT_SECONDS
    while (pids := _strangers(folders, living)) and time.monotonic() < deadline:
        kill_all(pids)
        killed |= set(pids)
        time.sleep(0.02)
    for folder in _pod_folders(folders):
        if _uid(folder) not in living:
            release(folders, folder.name)
    Slots(folders).give_back_all(besides=living)
    prune_pod_folders(folders, living)
    return len(killed)


def release(folders: NodeFolders, folder_name: str) -> None:
    """Remove what a pod without processes has besides its slot.

    Ray's temporary folder when it was the last there, and segments.
    """
    folder = folders.pods / folder_name
    remove_volumes(folder)
    note = read_note(folder)
    for container in folder.glob("*/state.json"):
        forget_state(container.parent)
    if note is None:
        return
    forget_note(folder)
    if note.ray_cluster and note.ray_cluster not in {
        other.ray_cluster for each in _pod_folders(folders) if (other := read_note(each)) is not None
    }:
        shutil.rmtree(folders.ray_temp(note.ray_cluster), ignore_errors=True)
    remove_orphaned_segments(since=note.started_at)


def prune_pod_folders(folders: NodeFolders, living: Collection[str], kept: int = KEPT_POD_FOLDERS) -> int:
    """Remove the folders of the longest gone pods beyond ``kept``, and return how many."""
    gone = [folder for folder in _pod_folders(folders) if _uid(folder) not in living and read_note(folder) is None]
    gone.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in gone[kept:]:
        shutil.rmtree(folder, ignore_errors=True)
    return max(0, len(gone) - kept)


def _strangers(folders: NodeFolders, living: Collection[str]) -> list[int]:
    """Return the processes of pods that are not ``living``: by mark, and by state file where a mark was overwritten."""
    strangers = set()
    for pid in marked_processes(str(folders.state), STATE_MARK):
        uid = _marked_uid(pid)
        if uid and uid not in living:
            strangers.add(pid)
    for folder in _pod_folders(folders):
        if _uid(folder) not in living:
            for state_file in folder.glob("*/state.json"):
                state = running_state(state_file.parent)
                if state is not None:
                    strangers.add(state.process.pid)
    return with_descendants(strangers)


def _marked_uid(pid: int) -> str:
    prefix = f"{MARK}=".encode()
    for entry in process_environment(pid).split(b"\0"):
        if entry.startswith(prefix):
            return entry.removeprefix(prefix).decode("utf-8", "replace").partition("/")[0]
    return ""


def _pod_folders(folders: NodeFolders) -> list[Path]:
    return [folder for folder in folders.pods.glob("*_*_*") if folder.is_dir()]


def _uid(folder: Path) -> str:
    return folder.name.rpartition("_")[2]
