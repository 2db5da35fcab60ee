"""Every attack on the gateway's own process, small (tests/attack); the long ones are ``make attack``.

Not here are ``steps``: a busy machine lengthens them.
"""

from pathlib import Path

import pytest
from tests.attack.plans import RUNS
from tests.attack.scene import SMALL

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("name", [name for name in RUNS if name != "steps"])
async def test_a_stranger_hurts_nobody(name: str, tmp_path: Path) -> None:
    verdict = await RUNS[name](SMALL, tmp_path)
    assert verdict.faults == []
