"""The attacks on the gateway's own process that take longer than those in tests/parts, small too.

The long ones are ``make attack``. Not here are ``steps``: a busy machine lengthens them.
"""

from pathlib import Path

import pytest
from tests.attack.plans import QUICK, RUNS
from tests.attack.scene import SMALL

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("name", sorted(RUNS.keys() - {*QUICK, "steps"}))
async def test_a_stranger_hurts_nobody(name: str, tmp_path: Path) -> None:
    verdict = await RUNS[name](SMALL, tmp_path)
    assert verdict.faults == []
