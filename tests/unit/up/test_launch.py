"""What is checked before a cluster starts (rayfleet.local.up.launch)."""

from pathlib import Path

import pytest

from rayfleet.local.up.launch import check_space
from rayfleet.model.errors import EnvironmentProblem


def test_a_full_disk_is_told_before_anything_starts_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"MiB free; at least \d+ MiB are needed") as caught:
        check_space(tmp_path / "not" / "there" / "yet", least_bytes=1 << 62)
    assert str(tmp_path) in caught.value.message
    assert "XDG_STATE_HOME" in caught.value.way_out


def test_enough_space_is_enough(tmp_path: Path) -> None:
    check_space(tmp_path, least_bytes=1)
