"""The base of our images: Debian of this machine's release with Python, made by ``mmdebstrap`` from its own mirror.

Kept in the cache by what it was asked for, so security updates come when the cache is emptied. What the machine's apt
was told about its mirror is given to the making and taken out of what was made.
"""

import hashlib
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rayfleet.testing.realkube import RealKubeError
from rayfleet.testing.realkube.files import Progress, exclusive_lock, told_while

PACKAGES = ("python3", "ca-certificates")

_LIMIT_SECONDS = 1200
_REMOVED = ("etc/apt/apt.conf.d/99mmdebstrap", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info")


def images_folder(cache: Path) -> Path:
    """Return where layers and archives are kept."""
    return cache.absolute() / "node" / "images"


def ensure_base(cache: Path, *, progress: Progress, packages: Sequence[str] = PACKAGES) -> Path:
    """Return the layer of the base image, a tar of a root file system. Raises ``RealKubeError``."""
    suite = debian_suite(Path("/etc/os-release").read_text(encoding="utf-8"))
    key = hashlib.sha256(" ".join((*packages, *_REMOVED)).encode()).hexdigest()[:12]
    folder = images_folder(cache)
    base = folder / f"base-{suite}-{key}.tar"
    if base.is_file():
        return base
    with exclusive_lock(folder / ".base.lock", what="the base image", progress=progress):
        if not base.is_file():
            with told_while(f"making the base image from Debian {suite}, once", progress):
                _make(base, suite, packages)
            progress(f"base image: {base.stat().st_size / 1e6:.0f} MB")
    return base


def debian_suite(os_release: str) -> str:
    """Return the release's code name out of ``/etc/os-release``. Raises ``RealKubeError`` on what is no Debian."""
    fields = dict(line.split("=", 1) for line in os_release.splitlines() if "=" in line)
    suite = fields.get("VERSION_CODENAME", "").strip('"')
    if fields.get("ID", "").strip('"') != "debian" or not suite:
        raise RealKubeError("the base image is made from this machine's own Debian, and this machine has none")
    return suite


def python_of(base: Path) -> str:
    """Return the version of the base's Python: ``3.11``. Raises ``RealKubeError`` when it has none."""
    with tarfile.open(base) as content:
        for entry in content:
            match = re.fullmatch(r"(?:\./)?usr/bin/python(3\.\d+)", entry.name)
            if match:
                return match[1]
    raise RealKubeError(f"{base} has no /usr/bin/python3")


def unpack_package(name: str, folder: Path) -> None:
    """Unpack one package of this machine's Debian, which is the base's too, into ``folder``: for a layer of its own.

    Raises ``RealKubeError``.
    """
    with tempfile.TemporaryDirectory() as download:
        _output(["apt-get", "download", "--quiet", "-o", "APT::Sandbox::User=root", name], folder=download)
        _output(["dpkg-deb", "--extract", str(next(Path(download).glob("*.deb"))), str(folder)])


def _make(base: Path, suite: str, packages: Sequence[str]) -> None:
    partial = base.with_suffix(".partial.tar")
    with tempfile.TemporaryDirectory() as folder:
        options = Path(folder) / "apt.conf"
        options.write_text(_output(["apt-config", "dump", "Acquire"]), encoding="utf-8")
        command = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", f"--aptopt={options}"]
        removed = " ".join(f'"$1/{path}"' for path in _REMOVED)
        command += [f"--customize-hook=rm -r {removed}", suite, str(partial), "-"]
        _output(command, text=_own_sources())
    partial.rename(base)


def _own_sources() -> str:
    """Return this machine's apt sources of Debian, in the one form or the other."""
    folder = Path("/etc/apt")
    for path in (folder / "sources.list.d" / "debian.sources", folder / "sources.list"):
        if path.is_file() and path.read_text(encoding="utf-8").strip():
            return path.read_text(encoding="utf-8")
    raise RealKubeError("this machine names no apt source of Debian", way_out="See /etc/apt/sources.list.")


def _output(command: list[str], *, text: str = "", folder: str = "/") -> str:
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False, cwd=folder
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RealKubeError(f"{command[0]} failed: {error}") from error
    if done.returncode != 0:
        lines = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-10:])
        raise RealKubeError(f"{command[0]} failed (exit code {done.returncode}):\n{lines}")
    return done.stdout
