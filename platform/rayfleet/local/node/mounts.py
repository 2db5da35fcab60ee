"""Bind mounts for one process: a mount namespace of its own, entered between fork and exec. Edge: system calls.

The process sees this machine's files, with its volumes where it wants them. A mount point that is not there is made,
empty, and stays. Source: mount_namespaces(7), mount(2).
"""

import ctypes
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rayfleet.objects.volumes import DEFAULT_MESSAGE_PATH

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS = 0x00020000  # linux/sched.h
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_SLAVE = 1, 1 << 5, 1 << 12, 1 << 14, 1 << 19  # linux/mount.h


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A folder or file of this machine, seen at another path too."""

    source: Path
    target: Path
    is_read_only: bool = False


def enter_mounts(mounts: Sequence[BindMount]) -> None:
    """Give this process a mount namespace of its own with these mounts, made in order. Raises OSError.

    What the machine mounts later is seen too, what the process mounts stays its own.
    """
    _call("unshare", _LIBC.unshare(_CLONE_NEWNS))
    _mount("none", "/", _MS_REC | _MS_SLAVE)
    for each in mounts:
        _make_point(each)
        _mount(str(each.source), str(each.target), _MS_BIND | _MS_REC)
    for each in mounts:
        if each.is_read_only:
            _mount("none", str(each.target), _MS_REMOUNT | _MS_BIND | _MS_RDONLY)


def can_mount() -> bool:
    """Whether this process may give others such namespaces, and each a termination log: it tries. Blocking, briefly."""
    mounts = [BindMount(source=Path(os.devnull), target=Path(DEFAULT_MESSAGE_PATH))]
    try:
        done = subprocess.run(
            ["true"],
            check=False,
            preexec_fn=lambda: enter_mounts(mounts),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _make_point(mount: BindMount) -> None:
    if mount.target.exists():
        return
    if mount.source.is_dir():
        mount.target.mkdir(parents=True)
    else:
        mount.target.parent.mkdir(parents=True, exist_ok=True)
        mount.target.touch()


def _mount(source: str, target: str, flags: int) -> None:
    _call(target, _LIBC.mount(source.encode(), target.encode(), None, ctypes.c_ulong(flags), None))


def _call(about: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), about)
