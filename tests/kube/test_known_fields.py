"""The names that misspelt fields are held against are those of KubeRay's own definition."""

from pathlib import Path

import pytest

from rayfleet.preflight import known_names
from rayfleet.testing.known_fields import known_fields
from rayfleet.testing.realkube import default_cache


@pytest.mark.realkube
def test_the_known_fields_are_those_of_kuberays_definition() -> None:
    assert Path(known_names.__file__).read_text(encoding="utf-8") == known_fields(default_cache())
