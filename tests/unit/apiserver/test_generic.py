"""What serves every kind alike names none: a kind brings its own way (``Rules``), nobody asks which kind it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.local import apiserver
from rayfleet.local.apiserver.kinds.builtin.catalogue import builtin_kinds
from rayfleet.local.apiserver.kinds.schemas import load_schemas

ROOT = Path(apiserver.__file__).parent
GENERIC = sorted(
    path.relative_to(ROOT)
    for pattern in ("storage/*.py", "reads/*.py", "writes/*.py", "serving/*.py", "wire/*.py", "verbs/objects.py")
    for path in ROOT.glob(pattern)
    # The one keeps the definitions, the other reads the five kinds that kubectl sends as protobuf.
    if path.name not in {"establishing.py", "protobuf.py"}
)
NAMES = frozenset(
    name for kind in builtin_kinds(load_schemas(), list) for name in (kind.kind, kind.plural, kind.storage_name)
)
# Every object of a namespaced kind lies in a namespace: its path says so, and who writes looks whether there is one.
ALLOWED = {
    ("wire/paths.py", "namespaces"),
    ("writes/writing.py", "namespaces"),
    ("writes/writing.py", "/namespaces"),
}


@pytest.mark.parametrize("path", GENERIC, ids=str)
def test_a_generic_module_names_no_kind(path: Path) -> None:
    named = {(str(path), name) for name in _texts(ROOT / path) if name in NAMES}
    assert named - ALLOWED == set()


def test_the_generic_modules_are_looked_at() -> None:
    assert {str(path) for path in GENERIC} >= {"writes/deletion.py", "writes/metadata.py", "reads/selection.py"}
    assert {"Pod", "pods", "/namespaces", "apiextensions.k8s.io/customresourcedefinitions"} <= NAMES


def _texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
