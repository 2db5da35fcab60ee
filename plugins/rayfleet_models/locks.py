"""A lock file between processes of one machine. The kernel drops it when its holder dies, so none is ever stale."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem

_POLL_SECONDS = 0.1


@contextmanager
def locked(path: Path, limit_seconds: float, progress: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of ``path``; say so once when somebody else has it; EnvironmentProblem after the limit."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, path, limit_seconds, progress)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, limit_seconds: float, progress: Callable[[str], None]) -> None:
    deadline = time.monotonic() + limit_seconds
    is_told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not is_told:
                progress("another process is preparing this model; waiting for it")
                is_told = True
            if time.monotonic() > deadline:
                raise EnvironmentProblem(
                    f"the lock {path} was held by another process for {limit_seconds:.0f} s",
                    way_out=f"See who holds it with `fuser {path}`; end that process if it hangs.",
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
