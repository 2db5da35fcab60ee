"""Folders that several processes may fill at once: one fills, the others wait, nobody sees half of it."""

import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from rayfleet.testing.realkube.errors import RealKubeError

Progress = Callable[[str], None]
"""Takes one line, without its end, that a person may read while waiting."""

_POLL_SECONDS = 0.2
_REPORT_SECONDS = 10.0


@contextmanager
def exclusive_lock(
    path: Path, *, what: str, progress: Progress, limit: timedelta = timedelta(minutes=45)
) -> Iterator[None]:
    """Hold the lock file ``path``; another process's hold is waited for, and reported every ten seconds.

    The kernel frees the lock of a process that dies, so no stale lock has to be recognised.
    Raises ``RealKubeError`` after ``limit`` and when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.open("a")
    except OSError as error:
        raise RealKubeError(
            f"cannot write to the cache folder {path.parent}: {error.strerror}",
            way_out="Set RAYFLEET_CACHE to a folder that you may write.",
        ) from error
    with lock:
        _take(lock.fileno(), what=what, progress=progress, limit=limit)
        yield  # closing the file frees the lock


@contextmanager
def told_while(what: str, progress: Progress, *, every_seconds: float = _REPORT_SECONDS) -> Iterator[None]:
    """Say that ``what`` begins, that it goes on as long as the block does, and how long it took if it ended well.

    The lines between come from a thread of their own.
    """
    started, ended = time.monotonic(), threading.Event()

    def tell() -> None:
        while not ended.wait(every_seconds):
            progress(f"{what}: {time.monotonic() - started:.0f} s so far")

    progress(what)
    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    try:
        yield
    finally:
        ended.set()
        telling.join()
    progress(f"{what}: done in {time.monotonic() - started:.0f} s")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends well, and vanishes when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        yield made
        made.chmod(0o755)
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def is_program(path: Path) -> bool:
    """Whether ``path`` is a file that may be executed."""
    return path.is_file() and os.access(path, os.X_OK)


def last_lines(path: Path, count: int = 20) -> str:
    """Return the last ``count`` lines of a log, indented for an error message; at most 64 KiB are read."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 65536))
            text = log.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        text = ""
    lines = text.splitlines()[-count:] or ["(no output)"]
    return "\n".join(f"    {line}" for line in lines)


def _take(descriptor: int, *, what: str, progress: Progress, limit: timedelta) -> None:
    started = time.monotonic()
    reported = -_REPORT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - started
        else:
            return
        if waited > limit.total_seconds():
            raise RealKubeError(
                f"another process has held the lock for {what} for {waited:.0f} s",
                way_out="End that process, then try again.",
            )
        if waited - reported >= _REPORT_SECONDS:
            progress(f"{what}: another process is at it, waiting ({waited:.0f} s)")
            reported = waited
        time.sleep(_POLL_SECONDS)
