"""The images that manifests name are the ones that are built, each with its version."""

import re
from pathlib import Path

import pytest

import rayfleet
from rayfleet.deploy.values import CONTROLLER_IMAGE
from rayfleet.planning.sidecar import SIDECAR_IMAGE
from rayfleet_llamacpp.images import IMAGE as LLAMACPP_IMAGE
from rayfleet_vllm.images import IMAGE as VLLM_IMAGE

ROOT = Path(__file__).parents[3]
FOLDER = Path(rayfleet.__file__).parent / "deploy" / "images"
FILES = sorted(FOLDER.glob("*.Containerfile"))


@pytest.mark.parametrize("image", [CONTROLLER_IMAGE, SIDECAR_IMAGE, LLAMACPP_IMAGE])
def test_an_image_of_ours_has_a_file_that_make_builds_and_our_version(image: str) -> None:
    name, _, tag = image.partition(":")
    assert tag == rayfleet.__version__
    assert (FOLDER / f"{name.removeprefix('rayfleet/')}.Containerfile").is_file()
    built = re.search(r"^IMAGES := (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert built is not None
    assert name.removeprefix("rayfleet/") in built[1].split()


def test_the_version_of_the_package_is_the_one_that_make_reads() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert re.findall(r'^version = "(.*)"$', text, re.MULTILINE) == [rayfleet.__version__]


@pytest.mark.parametrize(
    "file", [each for each in FILES if each.name != "vllm.Containerfile"], ids=lambda path: path.stem
)
def test_an_image_of_ours_is_not_root_and_has_no_compiler(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    user = re.findall(r"^USER (\d+):(\d+)$", text, re.MULTILINE)
    assert user == [("65532", "65532")]
    assert "ARG BASE=" in text
    assert not re.search(r"gcc|build-essential|:latest", text)


def test_the_image_of_vllm_is_the_one_that_the_plugin_names() -> None:
    text = (FOLDER / "vllm.Containerfile").read_text(encoding="utf-8")
    assert f"ARG VLLM={VLLM_IMAGE.partition(':')[2]}" in text
    from rayfleet.plugin.frame import RAY_VERSION

    assert f"ARG RAY={RAY_VERSION}" in text
