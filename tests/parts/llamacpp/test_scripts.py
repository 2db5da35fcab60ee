"""The launch scripts end when they must.

`ray` and the driver are small shell commands here, the scripts are the real ones.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from rayfleet_llamacpp.scripts import head_script, worker_script

LONG = "sleep 60"


def start(script: str, ray: str, folder: Path, address: str = "127.0.0.1:1") -> subprocess.Popen[str]:
    environment = {"PATH": os.environ["PATH"], "KUBERAY_GEN_RAY_START_CMD": ray, "RAY_ADDRESS": address}
    return subprocess.Popen(
        ["/bin/bash", "-c", script],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], limit_seconds: float = 20) -> tuple[int, str]:
    """Return (exit status, output); the process's whole group must be gone then."""
    output, _ = process.communicate(timeout=limit_seconds)
    deadline = time.monotonic() + 5
    while living(process.pid):
        assert time.monotonic() < deadline, living(process.pid)
        os.sched_yield()
    return process.returncode, output


def living(group: int) -> list[str]:
    """Return the status lines of the group's processes, without the dead that nobody has reaped yet."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            line = path.read_text()
        except OSError:
            continue
        state, _, its_group = line.rpartition(")")[2].split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(line)
    return found


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        os.sched_yield()


def test_a_head_ends_with_the_drivers_status(tmp_path: Path) -> None:
    assert ended(start(head_script("bash -c 'exit 3'"), LONG, tmp_path))[0] == 3


def test_a_head_ends_when_ray_ends(tmp_path: Path) -> None:
    status, output = ended(start(head_script(LONG), "bash -c 'exit 0'", tmp_path))
    assert status == 1
    assert "ray ended; ending the engine" in output


def test_a_head_passes_sigterm_to_the_driver_and_waits_for_it(tmp_path: Path) -> None:
    driver = "bash -c 'trap \"touch drained; exit 0\" TERM; touch ready; while :; do sleep 0.05; done'"
    process = start(head_script(driver), LONG, tmp_path)
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0
    assert (tmp_path / "drained").exists()


def test_a_worker_ends_when_ray_ends(tmp_path: Path) -> None:
    assert ended(start(worker_script(), "bash -c 'exit 0'", tmp_path))[0] == 1


def test_a_worker_leaves_at_sigterm(tmp_path: Path) -> None:
    process = start(worker_script(), f"bash -c 'touch ready; exec {LONG}'", tmp_path)
    wait_for(tmp_path / "ready")
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 0


def test_a_worker_gives_up_a_dead_head(tmp_path: Path) -> None:
    script = worker_script(head_limit_seconds=2)
    status, output = ended(start(script, LONG, tmp_path, address="127.0.0.1:1"))
    assert status == 1
    assert "no Ray head at 127.0.0.1:1 for 2 s" in output


def test_daemons_of_ray_do_not_outlive_it(tmp_path: Path) -> None:
    ray = f"bash -c 'trap \"\" TERM; {LONG} & touch ready; wait'"
    process = start(head_script("bash -c 'while [ ! -e ready ]; do sleep 0.05; done'"), ray, tmp_path)
    assert ended(process)[0] == 0
