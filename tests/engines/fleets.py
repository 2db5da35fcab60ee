"""A fleet of a manifest on a cluster of this machine, from ``rayfleet up`` to its end; all by the fleet machinery."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from rayfleet.model.json import Json
from rayfleet.testing.machine import Machine
from rayfleet.testing.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
CLUSTER = "engines-test"
UP_SECONDS = 500
END_SECONDS = 120  # all processes are asked to end, and the last are killed


def example(name: str) -> Json:
    """Return the manifest of an example."""
    return dict(yaml.safe_load((EXAMPLES / name / "fleet.yaml").read_text(encoding="utf-8")))


def written(manifest: Json, folder: Path) -> Path:
    """Return the file of a manifest."""
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    return path


def answered_once(manifest: Path, state_home: Path) -> str:
    """Return what ``rayfleet up --once`` prints: the gateway's answer. Raises AssertionError with the ends of logs."""
    environment = {**os.environ, "XDG_STATE_HOME": str(state_home), "NO_COLOR": "1"}
    command = [sys.executable, "-m", "rayfleet.cli.main", "up", "-f", str(manifest), "--once"]
    flags = ["--gateway-port", "0", "--name", CLUSTER, "--timeout", str(UP_SECONDS)]
    process = subprocess.Popen(
        [*command, *flags], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, words = process.communicate(timeout=UP_SECONDS + END_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        output, words = process.communicate(timeout=END_SECONDS)
    finally:
        Machine(state_home=state_home, name=CLUSTER).rayfleet("down", limit=END_SECONDS)
    assert process.returncode == 0, f"{output}\n{words}\n{logs(state_home)}"
    return output


@contextlib.contextmanager
def serving(manifest: Path, state_home: Path, replicas: int) -> Iterator[Machine]:
    """Have a fleet serve with so many available replicas; nothing is left of it, whatever happened."""
    machine = Machine(state_home=state_home, name=CLUSTER)
    fleet = yaml.safe_load(manifest.read_text(encoding="utf-8"))["metadata"]["name"]
    words = ("--detach", "-f", str(manifest), "--gateway-port", "0", "--timeout", str(UP_SECONDS))
    try:
        done = machine.rayfleet("up", *words, limit=UP_SECONDS)
        assert done.returncode == 0, f"{done.stderr}\n{logs(state_home)}"
        wait_until(
            lambda: machine.get(f"rcf/{fleet}")["status"].get("availableReplicas"),
            f"{replicas} replicas are available",
            UP_SECONDS,
            holds=lambda available: available == replicas,
            every=1,
        )
        yield machine
    except AssertionError as error:
        error.add_note(logs(state_home))
        raise
    finally:
        machine.rayfleet("down", limit=END_SECONDS)
    assert machine.leftovers() == {"processes": [], "slots": [], "notes": []}


def logs(state: Path) -> str:
    """Return the ends of all logs, for the message of a failure."""
    parts = []
    for path in sorted(state.rglob("*.log")):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
        parts.append("\n".join((f"== {path.relative_to(state)}", *lines)))
    return "\n".join(parts)
