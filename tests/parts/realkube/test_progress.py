"""Who waits for a build is told that it goes on."""

import re

import pytest

from rayfleet.testing.realkube.files import told_while
from rayfleet.testing.waiting import wait_until


def test_what_takes_long_is_told_until_it_is_done() -> None:
    lines: list[str] = []
    with told_while("making a base", lines.append, every_seconds=0.01):
        wait_until(lambda: len(lines) > 2, "it is told that it goes on")
    assert lines[0] == "making a base"
    assert re.fullmatch(r"making a base: \d+ s so far", lines[1])
    assert re.fullmatch(r"making a base: done in \d+ s", lines[-1])


def test_what_fails_is_not_told_to_be_done() -> None:
    lines: list[str] = []
    with pytest.raises(ValueError, match="broken"), told_while("making a base", lines.append):
        raise ValueError("broken")
    assert lines == ["making a base"]
