"""Layers of our images above the base: Python packages as a virtual environment, single files, the test's model.

Wheels are unpacked by ``uv`` for the base's Python, not by the base: no root file system is entered, nothing is
compiled. A layer says whose its files are (root's), and the same content has the same digest.
"""

import compileall
import py_compile
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rayfleet.testing.realkube import RealKubeError

HOME = Path("/opt/venv")
"""Where the images have their virtual environment."""

_LIMIT_SECONDS = 1200
_PROGRAM = 0o755
_NEVER_IMPORTED = re.compile(r"/kubernetes/(aio/)?client/(models|apis?)/")  # a thousand files that we never ask for


def write_environment_layer(target: Path, requirements: Sequence[str], *, python: str, options: Sequence[str]) -> None:
    """Write a layer with a virtual environment at ``HOME`` that holds ``requirements``.

    ``python`` is the base's version (``3.11``), ``options`` are more of uv's (``--no-deps``). Only wheels are taken.
    Raises ``RealKubeError``.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        root = Path(folder)
        packages = root / "lib" / f"python{python}" / "site-packages"
        _unpack(requirements, packages, python=python, options=options)
        _move_scripts(packages / "bin", root / "bin")
        _compile(packages, python)
        (root / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\n", encoding="ascii")
        for name in ("python", "python3"):
            (root / "bin" / name).symlink_to("/usr/bin/python3")
        write_layer(target, {HOME: root})


def write_layer(target: Path, places: Mapping[Path, Path]) -> None:
    """Write a layer that has each file or folder of ``places`` at its key; files belong to root and have no age."""
    partial = target.with_name(f".{target.name}.partial")
    with tarfile.open(partial, "w") as layer:
        for place, source in sorted(places.items()):
            for path in _below(source):
                name = place / path.relative_to(source) if path != source else place
                layer.add(path, str(name.relative_to("/")), recursive=False, filter=_owned_by_root)
    partial.rename(target)


def _below(source: Path) -> Iterable[Path]:
    return (source, *sorted(source.rglob("*"))) if source.is_dir() else (source,)


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    if entry.islnk():  # uv links what its cache holds twice
        raise AssertionError(entry.name)
    return entry


def _unpack(requirements: Sequence[str], packages: Path, *, python: str, options: Sequence[str]) -> None:
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--only-binary", ":all:", "--link-mode", "copy"]
    command += ["--python-version", python, "--python-platform", "linux", "--target", str(packages)]
    command += [*options, *requirements]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RealKubeError(f"uv failed: {error}") from error
    if done.returncode != 0:
        raise RealKubeError(f"uv cannot install {' '.join(requirements)}:\n{done.stderr.strip()[-2000:]}")


def _move_scripts(made: Path, target: Path) -> None:
    """Let the environment's scripts run by its own interpreter, not by the one that unpacked them."""
    target.mkdir(parents=True)
    for script in sorted(made.iterdir()) if made.is_dir() else ():
        first, _, rest = script.read_bytes().partition(b"\n")
        moved = target / script.name
        if first.startswith(b"#!") and b"python" in first:
            moved.write_bytes(f"#!{HOME}/bin/python\n".encode() + rest)
        else:
            moved.write_bytes(script.read_bytes())
        moved.chmod(_PROGRAM)
    shutil.rmtree(made, ignore_errors=True)


def _compile(packages: Path, python: str) -> None:
    """Compile the packages if this interpreter is of the base's version: a read-only container can never do it."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        never_stale = py_compile.PycInvalidationMode.UNCHECKED_HASH  # a layer's files have no age
        compileall.compile_dir(packages, quiet=2, invalidation_mode=never_stale, rx=_NEVER_IMPORTED)
