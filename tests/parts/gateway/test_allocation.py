"""What large bodies took goes back (rayfleet_gateway.allocation)."""

import subprocess
import sys

# The first block is freed and raises the size from which glibc maps, so that the second would lie in the heap below the
# block that stays.
_HELD = """
import ctypes
from pathlib import Path
from rayfleet_gateway.allocation import give_back_large_blocks

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

give_back = {choice}
if give_back:
    assert give_back_large_blocks()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
size = 30 << 20
libc.free(libc.malloc(size))
before = resident()
blocks = [libc.malloc(size - (4 << 20)) for _ in range(4)]
for block in blocks:
    ctypes.memset(block, 1, size - (4 << 20))
pin = libc.malloc(1 << 19)
for block in blocks:
    libc.free(block)
print((resident() - before) >> 20)
"""


def _held_mib(*, choice: bool) -> int:
    program = _HELD.format(choice=choice)
    done = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True, timeout=60)
    return int(done.stdout)


def test_large_blocks_are_given_back_though_something_small_lies_above_them() -> None:
    assert _held_mib(choice=True) < 10 < _held_mib(choice=False)
