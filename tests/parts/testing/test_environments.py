"""The commands that make engines' environments (rayfleet.testing.environments): what they print, and their codes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rayfleet.testing import llamacpp_rpc
from rayfleet.testing.llamacpp_rpc.recipe import RECIPE


def made(cache: Path, *words: str, path: str) -> "subprocess.CompletedProcess[str]":
    """Return what came of the command for llama.cpp, with that ``PATH``."""
    command = [sys.executable, "-m", "rayfleet.testing.llamacpp_rpc", "--cache", str(cache), *words]
    return subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False)


def test_what_is_there_is_not_made_again_and_its_folder_alone_is_printed(tmp_path: Path) -> None:
    folder = llamacpp_rpc.environment_folder(tmp_path)
    (folder / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (folder / "rayfleet-recipe.txt").write_text(RECIPE)
    done = made(tmp_path, "build", path="")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{folder}\n", "")


def test_what_cannot_be_made_is_said_with_the_way_out(tmp_path: Path) -> None:
    done = made(tmp_path, "build", path=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: llama.cpp with RPC cannot be built: there is no cc and no c++ on the PATH")
    assert "apt-get install" in done.stderr


@pytest.mark.parametrize("words", [(), ("make",)])
def test_a_command_that_is_none_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    done = made(tmp_path, *words, path=str(Path(shutil.which("sh") or "").parent))
    assert done.returncode == 2
    assert "build" in done.stderr
