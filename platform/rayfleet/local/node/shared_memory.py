"""Removes what killed processes leave in /dev/shm.

Only segments that belong to this user, were made during the pod's life, carry a name that Ray, Python, PyTorch or vLLM
give, and that no living process has mapped or open (measured: vLLM on a CPU leaves ``*cpushm*``, killed OpenMP programs
``__KMP_REGISTERED_LIB_PID_UID``).
"""

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from stat import S_ISREG

FOLDER = Path("/dev/shm")  # noqa: S108 - POSIX shared memory has this name
_NAMES = re.compile(r"(.*cpushm.*|psm_.*|sem\.mp-.*|plasma.*|torch_.*|__KMP_REGISTERED_LIB_\d+_\d+|sem\.loky-.*)")


def remove_orphaned_segments(folder: Path = FOLDER, *, since: datetime) -> tuple[str, ...]:
    """Remove orphaned segments made after ``since`` (the start of the pod that has ended) and return their names."""
    candidates = {path for path in _candidates(folder, since) if _NAMES.fullmatch(path.name)}
    if not candidates:
        return ()
    in_use = _in_use(folder)
    removed = []
    for path in sorted(candidates):
        if str(path) not in in_use:
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path.name)
    return tuple(removed)


def _candidates(folder: Path, since: datetime) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                facts = path.stat()
                # No time of birth in tmpfs; a change is never earlier than it.
                if S_ISREG(facts.st_mode) and facts.st_uid == os.getuid() and facts.st_ctime >= since.timestamp() - 1:
                    yield path


def _in_use(folder: Path) -> set[str]:
    paths: set[str] = set()
    prefix = f"{folder}/"
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{entry.name}/maps").read_text(errors="replace").splitlines():
                at = line.find(prefix)
                if at >= 0:
                    paths.add(line[at:])
        with contextlib.suppress(OSError):
            for descriptor in os.scandir(f"/proc/{entry.name}/fd"):
                with contextlib.suppress(OSError):
                    target = str(Path(descriptor.path).readlink())
                    if target.startswith(prefix):
                        paths.add(target)
    return paths
