"""Memory that an attack or large bodies took goes back to the machine when they end.

glibc keeps what is freed in its arenas, one for each thread, and raises the size from which it maps blocks with each
such block that is freed, up to 32 MiB: what was taken once would be held for ever. A fixed size ends the raising, and
what lies free in the arenas is given back when much has become free. Sources: mallopt(3), M_MMAP_THRESHOLD;
malloc_trim(3), which gives whole free pages back since glibc 2.8; mallinfo(3).
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

_MMAP_THRESHOLD = -3
# Mapping costs a page fault for each 4 KiB: a prompt of a megabyte should not pay it, what an attack is made of may.
_THRESHOLD_BYTES = 8 << 20
_PERIOD_SECONDS = 10.0
_GROWTH_BYTES = 8 << 20  # less is not worth the pages that would be faulted in again
_STATM = Path("/proc/self/statm")


def give_back_large_blocks() -> bool:
    """Let blocks of 8 MiB and more be mapped one by one; return whether this C library can."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _THRESHOLD_BYTES))
    except (AttributeError, OSError):  # another C library: it has rules of its own
        return False


class Trimmer:
    """Gives back what lies free, in a thread of its own, while it runs.

    ``free_bytes`` is what lies free in the arenas, given back or not; ``held_bytes`` what the process holds of the
    machine's memory.
    """

    def __init__(
        self, trim: Callable[[], object], free_bytes: Callable[[], int], held_bytes: Callable[[], int]
    ) -> None:
        self._trim = trim
        self._free_bytes = free_bytes
        self._held_bytes = held_bytes
        self._free = 0  # the least since it was done last
        self._held = 0  # just after it was done last

    def run(self) -> None:
        """Do it now and then, for ever."""
        while True:
            time.sleep(_PERIOD_SECONDS)
            self.step()

    def step(self) -> bool:
        """Give back what lies free, if much has become free or has been taken anew; return whether it was done."""
        free, held = self._free_bytes(), self._held_bytes()
        self._free = min(self._free, free)
        has_grown = held > self._held + _GROWTH_BYTES and free > _GROWTH_BYTES
        if free <= self._free + _GROWTH_BYTES and not has_grown:
            return False
        self._trim()
        self._free, self._held = self._free_bytes(), self._held_bytes()
        return True


def start_trimmer() -> bool:
    """Give back what lies free from now on, to the end of the process; return whether this C library can."""
    library = ctypes.CDLL(None)
    try:
        trim, state = library.malloc_trim, library.mallinfo2
    except AttributeError:  # another C library, or glibc before 2.33
        return False
    state.restype = _MallocState
    trimmer = Trimmer(lambda: trim(0), lambda: int(state().fordblks), _resident_bytes)
    threading.Thread(target=trimmer.run, name="trimmer", daemon=True).start()
    return True


class _MallocState(ctypes.Structure):
    """``struct mallinfo2``: see mallinfo(3)."""

    _fields_: ClassVar = [
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")),
        *((name, ctypes.c_size_t) for name in ("uordblks", "fordblks", "keepcost")),
    ]


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no /proc
        return 0
