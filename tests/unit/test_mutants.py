"""The table of seeded bugs keeps up with the code: each still has its place, and its tests are there."""

from pathlib import Path

import pytest
from tests.mutants.table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
SUITES = ROOT / "platform/rayfleet/testing/suites"
each = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"B{mutant.number}")


@each
def test_a_seeded_bug_has_its_place(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert mutant.old != mutant.new


@each
def test_the_tests_that_must_catch_it_are_there(mutant: Mutant) -> None:
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).exists()
        inherited = "".join(path.read_text(encoding="utf-8") for path in SUITES.rglob("*.py")) if "::" in name else ""
        if name:
            assert f"def {name.rpartition('::')[2]}(" in inherited + (ROOT / file).read_text(encoding="utf-8")


def test_they_are_numbered_from_one() -> None:
    assert [mutant.number for mutant in MUTANTS] == list(range(1, len(MUTANTS) + 1))
