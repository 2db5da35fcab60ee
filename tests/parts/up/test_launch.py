"""The ports that a cluster chooses for itself (rayfleet.local.up.launch)."""

import socket
from pathlib import Path

import pytest

from rayfleet.local.up.launch import any_port
from rayfleet.model.errors import EnvironmentProblem


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
