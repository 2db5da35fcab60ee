"""The processes behind a port (rayfleet_sidecar.processes), while others come and go."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet_sidecar import processes


def test_a_port_is_its_listeners_and_their_children() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = subprocess.Popen(["sleep", "60"])
        try:
            found = processes.listening_processes(server.getsockname()[1])
        finally:
            child.kill()
            child.wait()
    assert {os.getpid(), child.pid} <= set(found)


def test_a_process_that_ends_while_it_is_looked_at_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its folder is there when it is opened, and then the kernel answers ESRCH."""
    listed = Path.iterdir

    def gone(path: Path) -> Iterator[Path]:
        if path.name == "task":
            raise ProcessLookupError(3, "No such process")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", gone)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert processes.listening_processes(server.getsockname()[1]) == [os.getpid()]
