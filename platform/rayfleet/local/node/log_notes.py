"""Notes how logs grow, for who asks when a line came (``local/log_times``). Edge: files."""

import asyncio
import logging
from pathlib import Path

from rayfleet.local.log_times import read_line_times, size_note, times_file
from rayfleet.objects.times import time_of_seconds

log = logging.getLogger(__name__)

PERIOD_SECONDS = 1.0


async def note_log_growth(pods: Path) -> None:
    """Look at all logs every second until cancelled."""
    sizes: dict[Path, int] = {}
    while True:
        await asyncio.to_thread(note_growth, pods, sizes)
        await asyncio.sleep(PERIOD_SECONDS)


def note_growth(pods: Path, sizes: dict[Path, int]) -> None:
    """Write a note for every log that is not as ``sizes`` says, which is brought up to date. Blocking.

    A log that has shrunk was rotated, and its notes begin anew.
    """
    current: dict[Path, int] = {}
    for path in pods.glob("*/*/*.log"):
        try:
            facts = path.stat()
            noted = sizes[path] if path in sizes else _noted_size(path)
            current[path] = facts.st_size
            if facts.st_size != noted:
                note = size_note(facts.st_size, time_of_seconds(facts.st_mtime))
                with times_file(path).open("w" if facts.st_size < noted else "a", encoding="ascii") as file:
                    file.write(note)
        except OSError as error:
            log.warning("cannot note a log's growth", extra={"path": str(path), "reason": str(error)})
    sizes.clear()
    sizes.update(current)


def _noted_size(path: Path) -> int:
    """Return what an earlier node noted last."""
    return max(read_line_times(path).sizes, default=0)
