"""Attacks on the gateway's own process, as ``make attack`` runs them, small; the rest of them is in tests/e2e."""

from pathlib import Path

import pytest
from tests.attack.plans import QUICK, RUNS
from tests.attack.scene import SMALL


@pytest.mark.parametrize("name", QUICK)
async def test_a_stranger_hurts_nobody(name: str, tmp_path: Path) -> None:
    verdict = await RUNS[name](SMALL, tmp_path)
    assert verdict.faults == []
