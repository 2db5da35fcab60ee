"""Rollouts as transcripts: every write of every round, who makes it, and how the fleet then stands.

``rollouts/NAME.txt`` holds commands (``rayfleet.testing.transcripts.commands``), each block followed by what came of
it; ``make golden`` writes that anew.
"""

import os
from pathlib import Path

import pytest

from rayfleet.testing.transcripts import replayed

FOLDER = Path(__file__).parent / "rollouts"
REWRITES = os.environ.get("RAYFLEET_GOLDEN") == "rewrite"
NAMES = sorted(path.stem for path in FOLDER.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_rollout_goes_as_written_down(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    before = path.read_text(encoding="utf-8")
    after = replayed(before, path.name)
    if REWRITES:
        path.write_text(after, encoding="utf-8")
    else:
        assert after == before


def test_there_are_rollouts() -> None:
    """An empty folder would test nothing and look well."""
    assert len(NAMES) >= 13
