"""What is checked before a cluster starts (rayfleet.local.up.launch)."""

import socket
from pathlib import Path

import pytest

from rayfleet.local.up.launch import any_port, check_space
from rayfleet.model.errors import EnvironmentProblem


def test_a_full_disk_is_told_before_anything_starts_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"MiB free; at least \d+ MiB are needed") as caught:
        check_space(tmp_path / "not" / "there" / "yet", least_bytes=1 << 62)
    assert str(tmp_path) in caught.value.message
    assert "XDG_STATE_HOME" in caught.value.way_out


def test_enough_space_is_enough(tmp_path: Path) -> None:
    check_space(tmp_path, least_bytes=1)


def test_a_port_of_any_number_is_none_that_the_kernel_gives_to_connections() -> None:
    _, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split())
    assert all(any_port("127.0.0.1") > last for _ in range(20))


def test_a_port_of_any_number_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        monkeypatch.setattr("rayfleet.local.up.launch._OWN_PORTS", [number] * 60)
        with pytest.raises(EnvironmentProblem, match="can be used"):
            any_port("127.0.0.1")
