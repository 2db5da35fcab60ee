"""``python -m tests.mutants``: plant each bug in a copy of the tree and see that the tests catch it.

The named tests must pass without a bug, and fail with it. ``--only 7`` tries one. Exit code 1 when one lives.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.table import MUTANTS, Mutant

_ROOT = Path(__file__).parents[2]
_SOURCE_ROOTS = ("platform", "gateway", "runtime_sidecar", "plugins")
_COPIED = (*_SOURCE_ROOTS, "tests", "pyproject.toml", "README.md", "examples")
_LIMIT_SECONDS = 300
_PASSED, _FAILED = 0, 1  # of pytest


def main(chosen: Sequence[Mutant]) -> int:
    """Try the mutants; return the exit code."""
    with tempfile.TemporaryDirectory(prefix="rayfleet-mutants-") as folder:
        tree = Path(folder)
        _copy(tree)
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        if _run(tree, tests) != _PASSED:
            _say("the tests fail without a bug")
            return 1
        caught = sum(_is_caught(tree, mutant) for mutant in chosen)
    _say(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


def _copy(tree: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", ".*cache")
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)


def _is_caught(tree: Path, mutant: Mutant) -> bool:
    file = tree / mutant.file
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    started = time.monotonic()
    code = _run(tree, mutant.tests)
    file.write_text(text, encoding="utf-8")
    verdict = "caught" if code == _FAILED else f"LIVES (pytest: {code})"
    _say(f"  B{mutant.number:<3}{verdict:8} {time.monotonic() - started:5.1f} s  {mutant.bug}")
    return code == _FAILED


def _run(tree: Path, tests: Sequence[str]) -> int:
    """Return pytest's exit code; a run that does not end is stopped and counts as a failed test."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(tree / root) for root in _SOURCE_ROOTS),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    try:
        return subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=_LIMIT_SECONDS, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return _FAILED


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", type=int, action="append", help="the number of a mutant; may be given again")
    only = parser.parse_args().only
    sys.exit(main([mutant for mutant in MUTANTS if not only or mutant.number in only]))
