"""A machine whose starter is killed in the midst: the next start ends it by its id and finds the place clean.

The first file of its folder: one machine runs at a time, and later tests share one.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.local.proc import identity_of
from rayfleet.testing.realkube import default_cache
from rayfleet.testing.realnode.machine import CGROUP_ROOT, FOLDER, NAME, running_machine
from rayfleet.testing.realnode.programs import ensure_pause

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(3000)]

_STARTER = """
import sys, time
from pathlib import Path
from rayfleet.testing.realnode.machine import running_machine
with running_machine(Path(sys.argv[1]), progress=lambda line: None) as machine:
    print(machine.start("sleeper", ["sleep", "600"]).process_id, machine.holder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def pause(able_machine: None) -> Path:
    return ensure_pause(default_cache(), progress=print)


@pytest.fixture
def starter(pause: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that runs a machine with a process in it."""
    command = [sys.executable, "-c", _STARTER, str(pause)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_a_machine_goes_with_its_killed_starter(starter: "subprocess.Popen[str]", pause: Path) -> None:
    assert starter.stdout is not None
    inside = [identity_of(int(word)) for word in starter.stdout.readline().split()]
    assert len(inside) == 2
    assert all(each.is_alive() for each in inside)
    starter.send_signal(signal.SIGKILL)
    starter.wait(timeout=30)
    with running_machine(pause, progress=print) as machine:
        assert not any(each.is_alive() for each in inside)
        assert machine.run(["hostname"])
        assert not (FOLDER / "sleeper.log").exists()
    assert not FOLDER.exists()
    assert not [path for path in (CGROUP_ROOT, *CGROUP_ROOT.iterdir()) if (path / NAME).exists()]
    assert not (Path("/sys/class/net") / NAME).exists()
