"""What is missing for npm's packages is an error that says so (rayfleet.testing.npm)."""

from pathlib import Path

import pytest

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.npm import OPENAI, ensure_package


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def binaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.mark.parametrize(
    ("programs", "words"),
    [
        ({}, "node is not on the PATH"),
        ({"node": "echo v18.1.0"}, "v18.1.0"),
        ({"node": "echo v20.1.0"}, "npm is not on the PATH"),
        ({"node": "echo v20.1.0", "npm": "echo no registry >&2; exit 1"}, "no registry"),
    ],
)
def test_what_is_missing_is_named(binaries: Path, tmp_path: Path, programs: dict[str, str], words: str) -> None:
    for name, text in programs.items():
        program(binaries, name, text)
    with pytest.raises(EnvironmentProblem) as caught:
        ensure_package(tmp_path, progress=print)
    assert words in str(caught.value)
    assert caught.value.way_out
    assert not (tmp_path / "npm" / OPENAI).exists()


def test_a_package_is_installed_once(binaries: Path, tmp_path: Path) -> None:
    program(binaries, "node", "echo v22.0.0")
    program(binaries, "npm", f"echo once >>{tmp_path}/installed")
    folders = {ensure_package(tmp_path, progress=print) for _ in range(2)}
    assert folders == {tmp_path / "npm" / OPENAI}
    assert (tmp_path / "installed").read_text() == "once\n"
