"""The traps of the layout: top-level folders are source roots, not packages."""

import ast
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("platform", "gateway", "runtime_sidecar", "plugins")


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_source_root_holds_no_module_of_its_own(root: str) -> None:
    assert [path.name for path in (ROOT / root).glob("*.py")] == []


def test_the_standard_library_keeps_its_platform_module() -> None:
    code = "import platform; print(platform.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    assert Path(found.stdout.strip()).name == "platform.py"
    assert platform.python_version()


def test_nothing_is_imported_by_the_name_of_a_source_root() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _python_files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in _imported(node)
        if name.split(".")[0] in {"gateway", "runtime_sidecar", "plugins"} or name.startswith("platform.")
    ]
    assert wrong == []


def test_files_keep_to_their_size() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in _python_files()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert too_long == []


def _python_files() -> list[Path]:
    folders = (*SOURCE_ROOTS, "tests", "examples")
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def _imported(node: ast.Import | ast.ImportFrom) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0):
            return [module]
        case _:
            return []
