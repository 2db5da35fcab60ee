"""``helm uninstall``: nothing of ours is left but definitions and fleets, and the fleets go on serving.

The last file of its folder: after it nothing is installed.
"""

import pytest
from tests.kubernetes.clients import ask_once
from tests.kubernetes.deeds import pod_uids, wait_settled
from tests.kubernetes.installation import NAMESPACE, helm

from rayfleet.model.json import Json
from rayfleet.objects.labels import FLEET_LABEL
from rayfleet.objects.meta import name_of
from rayfleet.objects.owners import owners_of
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(5400)]

KINDS = (
    "deployments,replicasets,pods,services,configmaps,serviceaccounts,secrets,poddisruptionbudgets,"
    "horizontalpodautoscalers,roles,rolebindings,networkpolicies,leases,clusterroles,clusterrolebindings,"
    "servicemonitors,podmonitors,prometheusrules"
)


def test_after_helm_uninstall_fleets_serve_and_nothing_else_of_ours_is_there(installed: Kubectl, fleet: str) -> None:
    wait_settled(installed, fleet)
    pods = pod_uids(installed, fleet)
    helm(installed, "uninstall", "rayfleet", "--wait", "--timeout=120s")
    wait_until(lambda: _ours(installed), "nothing of ours is left", 120.0, holds=lambda left: not left, every=0.5)
    assert "Paris" in ask_once(installed, fleet, url=f"http://{_service(installed, fleet)}:8000")
    assert pod_uids(installed, fleet) == pods
    assert installed.object("get", f"rcf/{fleet}")["status"]["availableReplicas"] == 2


def _service(kubectl: Kubectl, fleet: str) -> str:
    """Return the name of the fleet's own Service; its Ray clusters have Services too."""
    services: list[Json] = kubectl.object("get", "services", "-l", f"{FLEET_LABEL}={fleet}")["items"]
    return next(name_of(each) for each in services if any(owner.name == fleet for owner in owners_of(each)))


def _ours(kubectl: Kubectl) -> list[str]:
    """Return what bears our name, of no fleet. The Lease is not Helm's: it stays for the next controller."""
    objects: list[Json] = kubectl.object("get", KINDS, "-A")["items"]
    return [
        f"{each['kind']}/{each['metadata']['name']}"
        for each in objects
        if each["metadata"]["name"].startswith("rayfleet")
        and each["kind"] != "Lease"
        and each["metadata"].get("namespace", NAMESPACE) == NAMESPACE
    ]
