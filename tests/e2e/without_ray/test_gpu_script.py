"""`make gpu` where there is no GPU: what it says then, and all of it but the device."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.gpu", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)


def stub(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo; exit 0", "sees no CUDA device"),
        ("echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1", "No module named 'torch'"),
    ],
)
def test_what_is_missing_is_said_with_an_exit_code_of_its_own(tmp_path: Path, text: str, words: str) -> None:
    done = run("--python", stub(tmp_path, text))
    assert done.returncode == 69
    assert "nothing was run on a GPU: " in done.stderr
    assert words in done.stderr
    assert "make " in done.stderr or "GPU and its driver" in done.stderr, "the way out"


def test_a_python_that_is_not_there_is_said_too(tmp_path: Path) -> None:
    done = run("--python", str(tmp_path / "nowhere"))
    assert (done.returncode, "cannot be asked for torch" in done.stderr) == (69, True)


def test_without_the_device_the_run_sees_readiness_memory_and_the_stall() -> None:
    done = run("--device", "host")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    assert steps == ["device:", "ready", "memory", "a", "ready"]
    assert "EngineStalled" in done.stdout
