"""Run the script of a node as its container would, in a folder of small programs that stand for the image.

The script is the real one; ``ray``, the engine and whatever else it starts are bash texts of the test. Everything runs
in one process group, so that what a script leaves behind is seen, and ended.
"""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rayfleet.model.engine import NodeLaunch
from rayfleet.testing.waiting import wait_until

POD_IP = "127.79.9.9"
NO_HEAD = "127.0.0.1:1"
LIMIT_SECONDS = 45.0  # less than the minute for which the programs of tests stay

_GROUP_SECONDS = 30.0
# Bash, coreutils and sed, as far as scripts and the programs of tests use them.
_SYSTEM_PROGRAMS = ("bash", "cat", "mkdir", "rm", "sed", "seq", "sleep", "timeout", "touch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a script ended: its exit status, and all that it and its programs wrote."""

    status: int
    output: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A script that was started."""

    process: subprocess.Popen[bytes]
    output: Path
    limit_seconds: float

    def terminate(self) -> None:
        """Send SIGTERM to the script alone, as a kubelet does."""
        self.process.send_signal(signal.SIGTERM)

    def is_running(self) -> bool:
        """Return whether the script has not ended yet."""
        return self.process.poll() is None

    def ended(self) -> Ended:
        """Return how it ended. Raises AssertionError when it does not, or when a process of its group outlives it."""
        try:
            status = self.process.wait(self.limit_seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"the script did not end within {self.limit_seconds:.0f} s: {self._written()}"
            ) from None
        limit = min(_GROUP_SECONDS, self.limit_seconds)
        wait_until(
            lambda: group_lines(self.process.pid), "nothing outlives it", limit, holds=lambda left: not left, every=0.01
        )
        return Ended(status=status, output=self._written())

    def _written(self) -> str:
        return self.output.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A folder whose ``bin`` holds programs; scripts run in the folder and find those programs first.

    ``variables`` are the container's besides those of its launch, and ``limit_seconds`` bounds each wait of a test.
    """

    folder: Path
    limit_seconds: float = LIMIT_SECONDS
    variables: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        """Put a program into the image, instead of one of its name: bash text, run in the folder."""
        binaries = self.folder / "bin"
        binaries.mkdir(exist_ok=True)
        path = binaries / name
        path.write_text(f"#!{shutil.which('bash')}\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

    def take(self, name: str) -> None:
        """Take a program out of the image."""
        (self.folder / "bin" / name).unlink()

    @contextmanager
    def running(self, node: NodeLaunch, *, head: str = NO_HEAD, ray_start: str = "ray start") -> Iterator[Running]:
        """Start a node's script; at the end nothing of it is left.

        ``head`` is the address in ``$RAY_ADDRESS``, ``ray_start`` what KubeRay generated.
        """
        output = self.folder / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [shutil.which("bash") or "/bin/bash", "-c", node.script],
                env=self._environment(node, head, ray_start),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Running(process=process, output=output, limit_seconds=self.limit_seconds)
        finally:
            if group_lines(process.pid):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(self.limit_seconds)

    def wait_for(self, name: str) -> str:
        """Return the text of a file in the folder as soon as it is there. Raises AssertionError after the limit."""
        path = self.folder / name
        wait_until(path.exists, f"{name} appears", self.limit_seconds, every=0.01)
        return path.read_text(encoding="utf-8")

    def _environment(self, node: NodeLaunch, head: str, ray_start: str) -> dict[str, str]:
        """Return what the container has: the launch's own environment, expanded as the kubelet does it."""
        given = {
            "PATH": f"{self.folder}/bin:{self._system_programs()}",
            "POD_IP": POD_IP,
            "RAY_ADDRESS": head,
            "KUBERAY_GEN_RAY_START_CMD": ray_start,
            **self.variables,
        }
        for name, value in sorted(node.environment.items()):
            given[name] = re.sub(r"\$\(([^)]*)\)", lambda match: given.get(match[1], match[0]), value)
        return given

    def _system_programs(self) -> Path:
        """Return a folder with what every stock image has, and nothing of this machine's beside it."""
        folder = self.folder / "system"
        folder.mkdir(exist_ok=True)
        for name in _SYSTEM_PROGRAMS:
            if not (folder / name).exists():
                (folder / name).symlink_to(shutil.which(name) or name)
        return folder


def bash_problem(script: str) -> str:
    """Return what bash says of a script that it cannot read, empty when it can."""
    done = subprocess.run(["/bin/bash", "-n", "-c", script], capture_output=True, text=True, timeout=30, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"bash -n ended with {done.returncode}")


def real(program: str) -> str:
    """Return the path of a program of this machine, as a word of a shell, for images that have another of its name."""
    return shlex.quote(shutil.which(program) or program)


def group_lines(group: int) -> list[str]:
    """Return the status lines of a process group's processes, without the dead that nobody has reaped yet."""
    lines = []
    for entry in os.scandir("/proc"):  # a glob looks at each file, and raises for one that ends meanwhile
        if not entry.name.isdigit():
            continue
        try:
            line = Path(entry.path, "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        state, _, its_group = line.rpartition(")")[2].split()[:3]
        if int(its_group) == group and state != "Z":
            lines.append(line)
    return lines
