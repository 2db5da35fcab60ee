"""What a node keeps away and as whom it runs containers, against both API servers."""

import os
from typing import Any

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import NODES
from rayfleet.objects.conditions import condition_of
from rayfleet.objects.pods import is_ready
from rayfleet.testing.nodes import NodeProcess, first_status, pod_conditions, run_pod, shell_pod
from rayfleet.testing.waiting import until


async def look_at(client: KubeClient, node: NodeProcess) -> Json:
    return await client.get(NODES, node.name)


async def test_a_ready_node_has_no_taint(client: KubeClient, own_node: NodeProcess) -> None:
    await until(
        lambda: look_at(client, own_node), "the taint is off", holds=lambda each: not each["spec"].get("taints")
    )


def _has_problem(pod: ReadOnlyJson, text: str) -> bool:
    condition = condition_of(pod, "PodScheduled")
    return condition.get("status") == "False" and text in condition.get("message", "")


@pytest.mark.parametrize(
    ("closed", "opened", "problem"),
    [
        ({"unschedulable": True}, {"unschedulable": None}, "node(s) were unschedulable"),
        (
            {"taints": [{"key": "only", "value": "gpu", "effect": "NoSchedule"}]},
            {"taints": None},
            "untolerated taint {only: gpu}",
        ),
    ],
    ids=["cordoned", "tainted"],
)
async def test_a_closed_node_lets_pods_in_when_it_is_opened(
    client: KubeClient, namespace: str, node: NodeProcess, closed: Any, opened: Any, problem: str
) -> None:
    key = ObjectKey(namespace="", name=node.name)
    await until(lambda: look_at(client, node), "the node is ready", holds=lambda each: not each["spec"].get("taints"))
    await client.patch(NODES, key, {"spec": closed})
    watched = await run_pod(client, shell_pod(namespace, "kept-away"))
    found = await watched.until(lambda pod: _has_problem(pod, problem))
    assert "nodeName" not in found["spec"]
    await client.patch(NODES, key, {"spec": opened})
    found = await watched.until(is_ready)
    assert pod_conditions(found)["PodScheduled"] == "True"


async def test_a_node_selector_is_honoured(client: KubeClient, namespace: str, node: NodeProcess) -> None:
    watched = await run_pod(client, shell_pod(namespace, "choosy", nodeSelector={"disk": "fast"}))
    await watched.until(lambda pod: _has_problem(pod, "disk=fast"))
    key = ObjectKey(namespace="", name=node.name)
    await client.patch(NODES, key, {"metadata": {"labels": {"disk": "fast"}}})
    await watched.until(is_ready)
    await client.patch(NODES, key, {"metadata": {"labels": {"disk": None}}})  # as the next test expects it


async def test_a_container_runs_as_its_user_or_says_why_not(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    context = {"runAsUser": 54321, "runAsGroup": 54322, "runAsNonRoot": True}
    script = "echo ids $(id -u) $(id -g); exec sleep 60"
    watched = await run_pod(client, shell_pod(namespace, "user", script, securityContext=context), node)
    if os.geteuid() == 0:
        found = await watched.until(is_ready)
        await until(lambda: node.logs(found), "the ids are told", holds=lambda log: "ids 54321 54322" in log)
        return
    found = await watched.until(is_refused)
    assert "cannot become user 54321" in first_status(found)["state"]["waiting"]["message"]


def is_refused(pod: ReadOnlyJson) -> bool:
    """Whether the container cannot be started as the pod has it."""
    return bool(first_status(pod)["state"]["waiting"]["reason"] == "CreateContainerConfigError")


async def test_root_is_refused_to_a_container_that_wants_none(
    client: KubeClient, namespace: str, node: NodeProcess
) -> None:
    context = {"runAsNonRoot": True, "runAsUser": 0}
    watched = await run_pod(client, shell_pod(namespace, "root", securityContext=context), node)
    found = await watched.until(is_refused)
    assert "runAsNonRoot" in first_status(found)["state"]["waiting"]["message"]
