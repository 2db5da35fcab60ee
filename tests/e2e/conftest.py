"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rayfleet.testing.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine without a cluster; whatever a test leaves is ended."""
    found = Machine(state_home=tmp_path / "state", name="e2e")
    yield found
    found.rayfleet("down")
