"""What the machine gives this process: memory for bodies, files for connections. Reads /proc, /sys and its own limits.

Source: cgroup v2, ``memory.max``; getrlimit(2), RLIMIT_NOFILE.
"""

import resource
from pathlib import Path

_BODIES = 4  # one part of so many of the memory
_OTHER_FILES = 64  # listeners, watches, logs, libraries
_LEAST_CONNECTIONS = 8


def body_budget_bytes() -> int:
    """Return a quarter of the memory that this process may use."""
    return _memory_bytes() // _BODIES


def connection_limit() -> int:
    """Return how many clients may be connected: each may need a connection to an engine too."""
    return max(_LEAST_CONNECTIONS, (raised_file_limit() - _OTHER_FILES) // 2)


def raised_file_limit() -> int:
    """Return the number of files that may be open, raised to what the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def _memory_bytes() -> int:
    total = resource.getpagesize() * _pages()
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no cgroup v2, or no limit
        return total


def _pages() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024 // resource.getpagesize()
    return 0
