"""Which processes listen on a port, and their descendants, as far as ``/proc`` shows them.

In a pod that does not share its process namespace a sidecar sees none of the engine's.

Source: Linux, proc(5): ``/proc/net/tcp`` (state 0A is LISTEN), ``/proc/PID/fd``, ``/proc/PID/task/TID/children``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

_LISTEN = "0A"
_PROC = Path("/proc")


def listening_processes(port: int) -> list[int]:
    """Return the processes that listen on ``port``, each followed by its descendants; every one once."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    roots = [number for number in _numbers() if sockets and sockets & set(_links(number))]
    return list(dict.fromkeys(each for root in roots for each in _tree(root)))


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        for line in _text(_PROC / "net" / table).splitlines()[1:]:
            words = line.split()
            if len(words) > 9 and words[3] == _LISTEN and int(words[1].rpartition(":")[2], 16) == port:
                yield words[9]


def _numbers() -> Iterable[int]:
    return sorted(int(each.name) for each in _PROC.iterdir() if each.name.isdecimal())


def _links(number: int) -> Iterator[str]:
    try:
        for each in (_PROC / str(number) / "fd").iterdir():
            yield str(each.readlink())
    except OSError:
        return


def _tree(number: int) -> Iterator[int]:
    yield number
    try:
        threads = list((_PROC / str(number) / "task").iterdir())
    except OSError:  # it has ended
        return
    for thread in threads:
        for child in _text(thread / "children").split():
            yield from _tree(int(child))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
