"""What tests of real engines share."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def state() -> Iterator[Path]:
    """Yield a folder for a cluster's state; Ray's sockets want a short name."""
    with tempfile.TemporaryDirectory(prefix="rf-engines-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)
