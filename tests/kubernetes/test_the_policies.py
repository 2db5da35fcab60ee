"""The chart's NetworkPolicies, enforced on the node: who has no business with engines and metrics does not reach them.

After the file with the deeds, since the rules are of the pods that are there now.
"""

import subprocess
from collections.abc import Iterator

import pytest
from tests.kubernetes.clients import ask_once, reachable
from tests.kubernetes.deeds import wait_settled
from tests.kubernetes.installation import GATEWAY_URL, NAMESPACE
from tests.kubernetes.policies import TABLE, policy_table
from tests.kubernetes.prometheus import Prometheus

from rayfleet.model.json import Json
from rayfleet.model.ports import ENGINE_PORT, SIDECAR_PORT
from rayfleet.objects.pods import is_head
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realnode.machine import inside_command
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

LIMIT_SECONDS = 120.0
ADMIN_PORTS = {"controller": 8002, "gateway": 8001}


@pytest.fixture(scope="module", autouse=True)
def enforced(installed: Kubectl, fleet: str, prometheus: Prometheus) -> Iterator[None]:
    """The node lets pass what the policies let pass, of the pods that there are, until these tests are over."""
    wait_settled(installed, fleet)
    policies, pods, namespaces = (
        installed.object("get", kind, "-A")["items"] for kind in ("networkpolicies", "pods", "namespaces")
    )
    assert len(policies) >= len(("controller", "gateway", "engines"))
    _nft("-f", "-", stdin=policy_table(policies, pods, namespaces))
    yield
    _nft("delete", "table", *TABLE.split())


def test_a_stranger_reaches_the_gateway_and_nothing_behind_it(installed: Kubectl) -> None:
    behind = list(_behind(installed))
    gateway = f"{GATEWAY_URL.removeprefix('http://')}:80"
    assert reachable(installed, [gateway, *behind]) == {gateway}


def test_who_has_business_there_gets_on(installed: Kubectl, fleet: str, prometheus: Prometheus) -> None:
    assert "Paris" in ask_once(installed, fleet)
    engines = "count(rayfleet_sidecar_engine_ready == 1)"
    down = "count(up == 0) or vector(0)"
    wait_until(
        lambda: [prometheus.query(each)[0]["value"][1] for each in (engines, down)],
        "Prometheus gets every page",
        LIMIT_SECONDS,
        holds=lambda told: told == ["2", "0"],
        every=1.0,
    )
    wait_settled(installed, fleet)


def _behind(kubectl: Kubectl) -> Iterator[str]:
    """Yield what only gateway, controller and Prometheus have business with."""
    pods: list[Json] = kubectl.object("get", "pods", "-A")["items"]
    heads = [pod["status"]["podIP"] for pod in pods if is_head(pod)]
    assert heads
    for address in heads:
        yield from (f"{address}:{port}" for port in (ENGINE_PORT, SIDECAR_PORT))
    for component, port in ADMIN_PORTS.items():
        selector = f"app.kubernetes.io/component={component}"
        for pod in kubectl.object("get", "pods", "-A", "-l", selector)["items"]:
            assert pod["metadata"]["namespace"] == NAMESPACE
            yield f"{pod['status']['podIP']}:{port}"


def _nft(*arguments: str, stdin: str = "") -> None:
    command = inside_command(["nft", *arguments])
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr + stdin
