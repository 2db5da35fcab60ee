"""The names that misspelt fields are held against are those of KubeRay's own definition."""

from importlib.resources import files

import pytest

from rayfleet.preflight.known_fields import FILE_NAME
from rayfleet.testing.known_fields import known_fields
from rayfleet.testing.realkube import default_cache


@pytest.mark.realkube
def test_the_known_fields_are_those_of_kuberays_definition() -> None:
    written = files("rayfleet.preflight").joinpath(FILE_NAME).read_text(encoding="utf-8")
    assert written == known_fields(default_cache())
