"""Ends the servers of a test run that was killed: a program of its own, started by ``processes.Keeper``.

Its standard input has the id of a process group a line, each as it is started, and at the end ``done``: its starter has
ended them itself. An end without ``done`` means that the starter is gone, however it went: the groups are ended here.
Only the standard library, so that it starts in 20 ms.
"""

import os
import signal
import sys
import time
from contextlib import suppress

_GRACE_SECONDS = 3.0


def main() -> None:
    """Note the groups until standard input ends; end them if nobody said that it was done."""
    lines = [line.strip() for line in sys.stdin]
    if "done" in lines:
        return
    groups = [int(line) for line in lines]
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and _signal(groups, 0):
        time.sleep(0.05)
    _signal(groups, signal.SIGKILL)


def _signal(groups: list[int], number: int) -> bool:
    """Send a signal to each group that there still is; return whether there was one."""
    reached = False
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)
            reached = True
    return reached


if __name__ == "__main__":
    main()
