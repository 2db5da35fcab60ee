"""The ports that a cluster chooses for itself (rayfleet.local.up.launch)."""

import socket
from pathlib import Path

import pytest

from rayfleet.local.supervisor.settings import SupervisorSettings
from rayfleet.local.up.launch import any_port, with_ports
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


def test_ports_are_apart_from_one_another_and_from_those_of_another_cluster_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of one cluster were the same once in some thousand starts, and it never came up."""
    monkeypatch.setattr("rayfleet.local.up.launch._OWN_PORTS", range(64000, 64060))
    settings = SupervisorSettings(root=tmp_path, name="a", gateway_port=0)
    for _ in range(20):
        with with_ports(settings) as one, with_ports(settings) as other:
            ports = [number for each in (one, other) for number in _ports(each)]
            assert len(set(ports)) == 6
            for number in ports:
                with socket.create_server(("127.0.0.1", number)):  # as a child does, beside who holds it
                    pass


def _ports(settings: SupervisorSettings) -> tuple[int, ...]:
    return settings.api_port, settings.gateway_port, settings.gateway_admin_port
