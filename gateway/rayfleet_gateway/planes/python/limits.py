"""What the machine gives this process: memory for bodies, files for connections. Reads /proc, /sys and its own limits.

Inside a container its own cgroup is at the root of /sys/fs/cgroup; a limit that is not there, or larger than the
machine (version 1 writes a number near 2^63 for none), is none. Source: cgroup v2, ``memory.max``; cgroup v1,
``memory/memory.limit_in_bytes``; getrlimit(2), RLIMIT_NOFILE.
"""

import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
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


def cgroup_limits(folder: Path) -> Iterator[int]:
    """Yield the limits on memory, in bytes, that the cgroups below ``folder`` have, of either version; none may be."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # the other version, or no limit ("max")
            yield int((folder / name).read_text(encoding="ascii"))


def _memory_bytes() -> int:
    return min((resource.getpagesize() * _pages(), *cgroup_limits(_CGROUPS)))


def _pages() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "MemTotal":
            return int(value.split()[0]) * 1024 // resource.getpagesize()
    return 0
