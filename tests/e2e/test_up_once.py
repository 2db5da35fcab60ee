"""`rayfleet up --once`: from nothing to an answer and back to nothing. What ends before Ray starts: without_ray."""

import os
import re

import pytest

from rayfleet.testing.machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_once_answers_sensibly_and_leaves_nothing(machine: Machine) -> None:
    segments = set(os.listdir("/dev/shm"))  # noqa: PTH208 - what is there, by name
    done = machine.rayfleet("up", "--once", "--gateway-port", "0", limit=200)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert "2/2 nodes" in done.stderr
    for phase in ("environment", "model", "Ray cluster", "engine", "first token", "shutdown"):
        assert re.search(rf"{phase}\s+\d+\.\d s", done.stderr), f"no seconds for {phase}:\n{done.stderr}"
    assert machine.leftovers() == {"processes": [], "slots": [], "notes": []}
    assert set(os.listdir("/dev/shm")) <= segments  # noqa: PTH208 - as above
