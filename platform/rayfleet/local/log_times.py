"""When the lines of a container's log came: the node notes how far a log had grown when, the API server reads that.

Containers write their logs themselves, so the lines carry no time. Beside ``N.log`` lies ``N.log.times``: a note for
each look at which the log had grown, of its size and of when it was last written to. A line came at the time of the
first note that has all of it; lines between two looks share one time, the last one's.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rayfleet.objects.times import decode_time, encode_micro_time, time_of_seconds


def times_file(log: Path) -> Path:
    """Return where a log's notes are. Pure."""
    return log.with_name(f"{log.name}.times")


def size_note(size: int, moment: datetime) -> str:
    """Return the note of a size, in bytes, and of when it was reached. Pure."""
    return f"{size} {encode_micro_time(moment)}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineTimes:
    """The notes, oldest first: sizes in bytes and their times; ``last`` is the time of what no note has yet."""

    sizes: Sequence[int]
    moments: Sequence[datetime]
    last: datetime

    def of(self, end: int) -> datetime:
        """Return when the line came that ends before byte ``end``."""
        position = bisect_left(self.sizes, end)
        return self.moments[position] if position < len(self.moments) else self.last


def line_times(notes: str, last: datetime) -> LineTimes:
    """Return the times that notes tell; a note that is not whole yet is none. Pure."""
    pairs = [line.split(" ") for line in notes.splitlines()]
    read = [(int(pair[0]), decode_time(pair[1])) for pair in pairs if len(pair) == 2 and pair[0].isdigit()]
    whole = [(size, moment) for size, moment in read if moment is not None]
    return LineTimes(sizes=[size for size, _ in whole], moments=[moment for _, moment in whole], last=last)


def read_line_times(log: Path) -> LineTimes:
    """Return the times of a log's lines. Blocking. Raises OSError for a log that is not there."""
    last = time_of_seconds(log.stat().st_mtime)
    try:
        notes = times_file(log).read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        notes = ""
    return line_times(notes, last)
