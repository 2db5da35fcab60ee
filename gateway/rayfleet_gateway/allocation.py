"""Memory of large bodies goes back to the machine when they end.

glibc raises the size from which it maps blocks with each such block that is freed, up to 32 MiB; smaller ones stay in
its arenas, one for each thread, and what an attack took would be held for ever. A fixed size ends the raising. Source:
mallopt(3), M_MMAP_THRESHOLD.
"""

import ctypes

_MMAP_THRESHOLD = -3
# Mapping costs a page fault for each 4 KiB: a prompt of a megabyte should not pay it, what an attack is made of may.
_THRESHOLD_BYTES = 8 << 20


def give_back_large_blocks() -> bool:
    """Let blocks of 8 MiB and more be mapped one by one; return whether this C library can."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, _THRESHOLD_BYTES))
    except (AttributeError, OSError):  # another C library: it has rules of its own
        return False
