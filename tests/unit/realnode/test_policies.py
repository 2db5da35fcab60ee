"""NetworkPolicies as rules of nftables (tests.kubernetes.policies)."""

from typing import Any

import pytest
from tests.kubernetes.policies import policy_table

from rayfleet.deploy.install import install_objects

OURS = "rayfleet-system"
NAMESPACES = [
    {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
    for name in (OURS, "monitoring", "fleets", "others")
]


def pod(name: str, namespace: str, address: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "status": {"podIP": address}}


def ours(component: str) -> dict[str, str]:
    return {"app.kubernetes.io/name": "rayfleet", "app.kubernetes.io/component": component}


PODS = [
    pod("controller", OURS, "10.0.0.1", **ours("controller")),
    pod("gateway", OURS, "10.0.0.2", **ours("gateway")),
    pod("prometheus", "monitoring", "10.0.0.3"),
    pod("head", "fleets", "10.0.0.4", **{"ray.io/cluster": "a"}),
    pod("worker", "fleets", "10.0.0.5", **{"ray.io/cluster": "a"}),
    pod("stranger", "fleets", "10.0.0.6"),
    pod("waiting", "fleets", "", **{"ray.io/cluster": "a"}),
]


def policies() -> list[Any]:
    values = {"networkPolicy": {"enabled": True, "fleetNamespaces": ["fleets"]}}
    return [each for each in install_objects(values) if each["kind"] == "NetworkPolicy"]


def rules(address: str) -> list[str]:
    table = policy_table(policies(), PODS, NAMESPACES)
    found = [line for line in table.splitlines() if line.startswith(f"ip daddr {address} ")]
    return [" ".join(line.removeprefix(f"ip daddr {address} ").split()) for line in found]


def test_an_engine_is_reached_by_its_own_the_gateway_and_on_metrics_by_who_looks() -> None:
    looks = [f"ip saddr {who} tcp dport {port} accept" for who in ("10.0.0.1", "10.0.0.3") for port in (8080, 8082)]
    own = [f"ip saddr 10.0.0.{number} accept" for number in (4, 5, 2)]
    assert rules("10.0.0.4") == [*own, *looks, "drop"]


def test_the_gateways_port_is_everybodys_and_its_metrics_are_prometheus_own() -> None:
    assert rules("10.0.0.2") == ["tcp dport 8000 accept", "ip saddr 10.0.0.3 tcp dport 8001 accept", "drop"]


def test_who_no_policy_selects_is_reached_by_all() -> None:
    assert rules("10.0.0.6") == []


def test_what_is_not_known_is_refused() -> None:
    made = policies()
    made[0]["spec"]["ingress"][0]["from"][0] = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    with pytest.raises(ValueError, match="ipBlock"):
        policy_table(made, PODS, NAMESPACES)
