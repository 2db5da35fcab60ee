"""Keeps container logs small: beyond 10 MiB a log is copied to ``N.log.1`` and emptied in place.

Containers write to the file themselves, so that a log survives the node's death and costs nothing to pass on; what is
written between copy and emptying (microseconds) is lost.
"""

import asyncio
import logging
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

LIMIT_BYTES = 10 << 20
KEPT = 2
KEPT_RUNS = 10  # of a container that restarts and restarts
PERIOD_SECONDS = 10.0


async def rotate_logs(pods: Path) -> None:
    """Look at all logs every few seconds until cancelled."""
    while True:
        await asyncio.sleep(PERIOD_SECONDS)
        await asyncio.to_thread(rotate_large_logs, pods)
        await asyncio.to_thread(remove_old_runs, pods)


def remove_old_runs(pods: Path, kept: int = KEPT_RUNS) -> int:
    """Remove logs of all but a container's last runs, and return how many runs. Blocking."""
    removed = 0
    for container in pods.glob("*/*"):
        runs = sorted((int(path.stem) for path in container.glob("*.log") if path.stem.isdigit()), reverse=True)
        for run in runs[kept:]:
            for path in container.glob(f"{run}.log*"):
                path.unlink(missing_ok=True)
            removed += 1
    return removed


def rotate_large_logs(pods: Path, limit_bytes: int = LIMIT_BYTES) -> int:
    """Rotate every log over the limit, and return how many there were. Blocking."""
    rotated = 0
    for path in pods.glob("*/*/*.log"):
        try:
            if path.stat().st_size <= limit_bytes:
                continue
            for number in range(KEPT, 1, -1):
                older = path.with_name(f"{path.name}.{number - 1}")
                if older.exists():
                    older.replace(path.with_name(f"{path.name}.{number}"))
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            with path.open("r+b") as file:
                file.truncate(0)
        except OSError as error:
            log.warning("cannot rotate a log", extra={"path": str(path), "reason": str(error)})
        else:
            rotated += 1
    return rotated
