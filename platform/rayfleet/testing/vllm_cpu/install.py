"""Make the environment: under another name first, moved into place when it is complete.

Others that ask meanwhile wait.
"""

import time
from collections.abc import Sequence
from importlib.metadata import Distribution
from pathlib import Path

from rayfleet.testing.environments import Progress, Workshop, is_complete, renew_own_packages, uv_command
from rayfleet.testing.realkube.files import exclusive_lock
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

_HERE = Path(__file__).parent


def ensure_environment(cache: Path, *, progress: Progress) -> Path:
    """Return the environment's folder, complete and with the test model in ``cache``; blocking, minutes the first time.

    Safe to repeat, to interrupt and to run twice at once. Our own model sources in it are renewed each time.
    Raises EnvironmentProblem with the last lines of what failed: no client, no space, no package.
    """
    folder = environment_folder(cache)
    with exclusive_lock(folder.parent / f"{folder.name}.lock", what="vLLM's environment", progress=progress):
        if not is_complete(folder, RECIPE):
            _make(folder, progress)
        renew_own_packages(folder)
        _convert_model(folder, cache, progress)
    return folder


def _workshop(log: Path, progress: Progress) -> Workshop:
    log.unlink(missing_ok=True)
    return Workshop(what="vLLM's environment", needed_bytes=NEEDED_BYTES, log=log, progress=progress)


def _make(folder: Path, progress: Progress) -> None:
    uv = uv_command()
    workshop = _workshop(folder.parent / f"{folder.name}.install.txt", progress)
    began = time.monotonic()
    with workshop.staged(folder, RECIPE) as staged:
        workshop.make_venv(uv, staged)
        for step in first_steps():
            _carry_out(step, uv, staged, workshop)
        for step in remaining_steps(_requirements(staged), (_HERE / "shim", _HERE / "vllm_name")):
            _carry_out(step, uv, staged, workshop)
    progress(f"vLLM {VLLM_VERSION} is in {folder}, {time.monotonic() - began:.0f} s in all")


def _carry_out(step: Step, uv: Sequence[str], staged: Path, workshop: Workshop) -> None:
    action, *words = step.arguments
    began = time.monotonic()
    workshop.progress(f"installing {step.title}")
    workshop.run([*uv, "pip", action, "--python", str(staged / "bin" / "python"), *words], step.title)
    workshop.progress(f"installed {step.title} in {time.monotonic() - began:.0f} s")


def _requirements(staged: Path) -> list[str]:
    """Return what the engine's metadata asks for."""
    metadata = next(staged.glob(f"lib/python*/site-packages/vllm_cpu-{VLLM_VERSION}.dist-info"))
    return Distribution.at(metadata).requires or []


def _convert_model(folder: Path, cache: Path, progress: Progress) -> None:
    workshop = _workshop(folder.parent / f"{folder.name}.model.txt", progress)
    python = str(folder / "bin" / "python")
    words = ("fetch", MODEL, "--format", "huggingface", "--cache", str(cache.absolute()))
    progress(f"model {MODEL}: making sure that its Hugging Face form is in the cache")
    workshop.run([python, "-m", "rayfleet_models", *words], f"model {MODEL}")
    progress(f"model {MODEL} is at {workshop.log.read_text(encoding='utf-8').splitlines()[-1]}")
