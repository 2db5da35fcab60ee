"""Environments of engines, made once in the cache: under another name first, moved into place when complete.

What takes minutes says so every ten seconds, ends after a limit with all that it started, and leaves its output in a
file beside the environment.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from rayfleet.model.errors import EnvironmentProblem, RayfleetError
from rayfleet.plugin.settings import read_plugin_settings
from rayfleet.testing.realkube.files import last_lines

Progress = Callable[[str], None]

_MARKER = "rayfleet-recipe.txt"
_STEP_LIMIT = timedelta(minutes=45)
_REPORT_SECONDS = 10.0
# What `python -m rayfleet_models` needs; sources go in as files, so that no checkout has to stay where it is.
_OWN_PACKAGES = ("rayfleet", "rayfleet_models")
_UNUSED_THERE = shutil.ignore_patterns("__pycache__", "testing", "local", "cli", "controllers", "kube", "deploy")


class Maker(Protocol):
    """What makes an environment once; blocking."""

    def __call__(self, cache: Path, *, progress: Progress) -> Path:
        """Return the environment's folder in ``cache``. Raises RayfleetError when it cannot be made."""
        ...


def run_maker(module: str, verb: str, what: str | None, ensure: Maker) -> int:
    """Carry out ``python -m MODULE VERB``, which prints the folder; return the exit code. ``what`` is its help."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=what)
    parser.add_argument("--cache", type=Path, default=read_plugin_settings().cache, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(verb, help="make it unless it is there, and print where it is")
    arguments = parser.parse_args()
    try:
        folder = ensure(arguments.cache, progress=_tell)
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{folder}\n")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where an environment is made; ``what`` names it in messages (``vLLM's environment``)."""

    what: str
    needed_bytes: int
    log: Path
    progress: Progress

    @contextmanager
    def staged(self, folder: Path, recipe: str) -> Iterator[Path]:
        """Yield a folder that becomes ``folder`` when the block ends well. The caller holds a lock.

        Raises EnvironmentProblem when there is not the space for it.
        """
        staged = folder.parent / f".{folder.name}.partial"
        shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed
        shutil.rmtree(folder, ignore_errors=True)  # of an older recipe
        self.require_space(folder.parent)
        yield staged
        (staged / _MARKER).write_text(f"{recipe}\n", encoding="utf-8")
        staged.rename(folder)

    def require_space(self, folder: Path) -> None:
        """Raise EnvironmentProblem when the disk of ``folder`` has less room than needed."""
        free = shutil.disk_usage(folder).free
        if free < self.needed_bytes:
            raise self._no_space(f"{folder} has {free / 1e9:.1f} GB free")

    def make_venv(self, uv: Sequence[str], folder: Path) -> None:
        """Make a virtual environment of this interpreter that finds itself after a move."""
        self.run([*uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(folder)], "venv")

    def run(self, command: Sequence[str], title: str) -> None:
        """Run a command in its own process group, its output going to the log; none of it outlives this call.

        Raises EnvironmentProblem with the last lines when it fails.
        """
        began = time.monotonic()
        process = self._started(command)
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=_REPORT_SECONDS)
                    break
                seconds = time.monotonic() - began
                if seconds > _STEP_LIMIT.total_seconds():
                    raise EnvironmentProblem(f"{title} did not end in {_STEP_LIMIT}:\n{last_lines(self.log)}")
                self.progress(f"{title}: {seconds:.0f} s so far")
        finally:
            with suppress(ProcessLookupError):  # it ended well; else the limit or Ctrl-C came first
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            raise self._failure(title, process.returncode)

    def _started(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _failure(self, title: str, code: int) -> EnvironmentProblem:
        lines = last_lines(self.log)
        if "no space left on device" in lines.lower():
            return self._no_space(f"{title} failed:\n{lines}")
        return EnvironmentProblem(
            f"{self.what} cannot be made: {title} failed (exit code {code}):\n{lines}",
            way_out=f"The whole output is in {self.log}. "
            "Packages come from the index that uv is set to; try again when it answers.",
        )

    def _no_space(self, problem: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            f"no space for {self.what}: {problem}",
            way_out=f"It takes up to {self.needed_bytes / 1e9:.0f} GB while it is made; "
            "RAYFLEET_CACHE and UV_CACHE_DIR say where.",
        )


def is_complete(folder: Path, recipe: str) -> bool:
    """Return whether the environment is there, made by this recipe."""
    with suppress(OSError):
        return (folder / _MARKER).read_text(encoding="utf-8").strip() == recipe
    return False


def uv_command() -> tuple[str, ...]:
    """Return how uv is run. Raises EnvironmentProblem when it is nowhere."""
    if find_spec("uv"):
        return (sys.executable, "-m", "uv")
    uv = shutil.which("uv")
    if uv is None:
        raise EnvironmentProblem(
            f"uv is neither in the environment of {sys.executable} nor on the PATH",
            way_out=f"Install it: {sys.executable} -m pip install uv",
        )
    return (uv,)


def renew_own_packages(folder: Path) -> None:
    """Copy our model sources in, so that the environment is never older than the code that asks for it."""
    target = next(folder.glob("lib/python*/site-packages"))
    for name in _OWN_PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise EnvironmentProblem(
                f"{name} is not installed here", way_out="Install rayfleet itself: pip install rayfleet"
            )
        shutil.rmtree(target / name, ignore_errors=True)
        shutil.copytree(Path(spec.origin).parent, target / name, ignore=_UNUSED_THERE)


def _tell(line: str) -> None:
    """Print progress, which is not the result, on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
