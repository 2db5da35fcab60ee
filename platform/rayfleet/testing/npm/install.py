"""Install one package of npm into the cache: under another name first, moved into place when it is complete.

Its scripts are not run, and what it needs is installed beside it.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.realkube.files import exclusive_lock, new_folder

OPENAI = "openai@7.59.0"
_LIMIT_SECONDS = 300
_NODE_MAJOR = 20
_SHOWN_LETTERS = 2000


def ensure_package(cache: Path, package: str = OPENAI, *, progress: Callable[[str], None]) -> Path:
    """Return the folder whose ``node_modules`` hold ``package`` (NAME@VERSION); blocking, seconds the first time.

    Safe to repeat and to run twice at once. Raises EnvironmentProblem: no Node, no npm, no answer of the registry.
    """
    folder = cache.absolute() / "npm" / package
    node_program()
    with exclusive_lock(folder.parent / f"{package}.lock", what=package, progress=progress):
        if not folder.is_dir():
            progress(f"installing {package} from npm's registry")
            with new_folder(folder) as made:
                _install(made, package)
    return folder


def node_program() -> str:
    """Return the path of Node. Raises EnvironmentProblem: there is none, or it is too old."""
    node = _program("node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    major = version.strip().removeprefix("v").partition(".")[0]
    if not major.isdecimal() or int(major) < _NODE_MAJOR:
        raise EnvironmentProblem(
            f"{node} is Node {version.strip() or '?'}; {_NODE_MAJOR} or newer is needed",
            way_out=f"Install Node {_NODE_MAJOR} or newer and put it first on the PATH.",
        )
    return node


def _install(folder: Path, package: str) -> None:
    command = [
        _program("npm"),
        "install",
        "--prefix",
        str(folder),
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
        package,
    ]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_LIMIT_SECONDS, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise _failure(package, f"npm did not end within {_LIMIT_SECONDS} s") from error
    if ended.returncode != 0:
        raise _failure(package, f"npm ended with {ended.returncode}:\n{ended.stderr[-_SHOWN_LETTERS:].strip()}")


def _failure(package: str, problem: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"{package} cannot be installed: {problem}",
        way_out="It comes from the registry that npm is set to; try again when it answers.",
    )


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise EnvironmentProblem(
            f"{name} is not on the PATH", way_out=f"Install Node {_NODE_MAJOR} or newer, with npm (https://nodejs.org)."
        )
    return path
