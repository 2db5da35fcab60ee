"""A raylet of real Ray that a busy machine lets start slowly."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from tests.e2e.ray_nodes import HEAD, WORKER, ray_start, raylets_of

from rayfleet.local.node.processes import MARK, marked_processes
from rayfleet.plugin.frame import Frame, worker_launch
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(240)]

NODE = worker_launch(Frame(command="engine", programs=(), way_out=""), {})
OWN_LIMIT_SECONDS = 30  # of Ray 2.60, where nobody says otherwise
JOINED = "Ray runtime started."


@pytest.fixture
def temp() -> Iterator[str]:
    """Yield a folder with a short name, as Ray's sockets want it; at the end nothing of Ray is left."""
    with tempfile.TemporaryDirectory(prefix="rf", dir="/tmp", ignore_cleanup_errors=True) as folder:
        try:
            yield folder
        finally:
            wait_until(lambda: killed(folder), "nothing of Ray is left", holds=lambda left: not left)


def killed(folder: str) -> list[int]:
    """Kill what was started with that folder as its mark; return what that was."""
    found = marked_processes(folder)
    for pid in found:
        with suppress(ProcessLookupError):  # it ends with its parent
            os.kill(pid, signal.SIGKILL)
    return found


@contextmanager
def started(address: str, temp: str, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Ray's start command on a node, in the environment that its script has."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "disabled",
        MARK: temp,
        **NODE.environment,
    }
    command = ["/bin/bash", "-c", f"exec {ray_start(address, temp, {})}"]
    with log.open("wb") as file, subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process:
        try:
            yield process
        finally:
            killed(temp)  # while it lives: agents that lost their ancestors cannot be told any more
            process.kill()


def test_a_raylet_that_needs_more_than_rays_own_half_minute_joins(temp: str, tmp_path: Path) -> None:
    logs = {address: tmp_path / f"{address}.log" for address in (HEAD, WORKER)}
    with ExitStack() as nodes:
        nodes.enter_context(started(HEAD, temp, logs[HEAD]))
        wait_until(logs[HEAD].read_text, "the head stands", 60, holds=lambda text: JOINED in text)
        worker = nodes.enter_context(started(WORKER, temp, logs[WORKER]))
        (raylet,) = wait_until(lambda: raylets_of(WORKER, temp), "the raylet is there", 60, every=0.01)
        os.kill(raylet, signal.SIGSTOP)
        time.sleep(OWN_LIMIT_SECONDS + 5)
        assert worker.poll() is None, logs[WORKER].read_text()
        assert JOINED not in logs[WORKER].read_text()
        os.kill(raylet, signal.SIGCONT)
        wait_until(logs[WORKER].read_text, "the worker has joined", 60, holds=lambda text: JOINED in text)
