"""What the chores of the controller manager write."""

from datetime import UTC, datetime

import pytest

from rayfleet.local.upkeep.plan import ObservedAccounts, plan_account, plan_node
from rayfleet.model.json import Json
from rayfleet.model.resources import NODES, SERVICE_ACCOUNTS
from rayfleet.planning.writes import Create, Merge, described

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
EVICTING = {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}


def namespace(**meta: str) -> Json:
    return {"metadata": {"name": "n", "uid": "u", **meta}}


def node(status: str, *taints: Json) -> Json:
    meta = {"name": "local", "uid": "u", "resourceVersion": "3"}
    return {
        "metadata": meta,
        "spec": {"taints": list(taints)},
        "status": {"conditions": [{"type": "Ready", "status": status}]},
    }


def test_a_namespace_without_the_account_gets_it() -> None:
    [action] = plan_account(ObservedAccounts(namespace=namespace(), has_default=False), NOW).actions
    assert isinstance(action, Create)
    assert action.resource == SERVICE_ACCOUNTS
    assert action.manifest["metadata"] == {"name": "default", "namespace": "n"}


@pytest.mark.parametrize(
    "observed",
    [
        ObservedAccounts(namespace=namespace(), has_default=True),
        ObservedAccounts(namespace=namespace(deletionTimestamp="2026-01-01T00:00:00Z"), has_default=False),
    ],
    ids=["has it", "goes"],
)
def test_another_gets_nothing(observed: ObservedAccounts) -> None:
    assert plan_account(observed, NOW).actions == ()


def test_a_ready_node_loses_the_taint_alone_as_it_was_seen() -> None:
    [action] = plan_node(node("True", NOT_READY, EVICTING), NOW).actions
    assert isinstance(action, Merge)
    assert action == Merge(resource=NODES, ref=action.ref, patch={"spec": {"taints": [EVICTING]}}), described(action)
    assert action.ref.resource_version == "3"


def test_the_last_taint_takes_the_list_with_it() -> None:
    [action] = plan_node(node("True", NOT_READY), NOW).actions
    assert isinstance(action, Merge)
    assert action.patch == {"spec": {"taints": None}}


@pytest.mark.parametrize("manifest", [node("False", NOT_READY), node("Unknown", NOT_READY), node("True", EVICTING)])
def test_another_node_keeps_its_taints(manifest: Json) -> None:
    assert plan_node(manifest, NOW).actions == ()
