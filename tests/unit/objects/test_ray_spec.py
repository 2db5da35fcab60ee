"""Facts that are read off a RayCluster spec and status."""

from typing import Any

import pytest

from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.ray_spec import accelerators, desired_workers, expected_pods, expected_workers

TIME = "2026-01-02T03:04:05Z"


def group(resource: str = "cpu", amount: Any = 1, **counts: Any) -> Json:
    container = {"name": "ray", "resources": {"limits": {resource: amount}}}
    return {"template": {"spec": {"containers": [container]}}, **counts}


@pytest.mark.parametrize(
    ("counts", "workers"),
    [
        ({"replicas": 3, "minReplicas": 1, "maxReplicas": 5}, 3),
        ({"replicas": 9, "minReplicas": 1, "maxReplicas": 5}, 5),
        ({"minReplicas": 2}, 2),
        ({"replicas": 2, "numOfHosts": 4}, 8),
        ({"replicas": 2, "suspend": True}, 0),
        ({}, 0),
        ({"replicas": "two"}, 0),
        # Read differently in four places once; tests/kube/test_real_operator_sizes.py asks the real operator.
        ({"minReplicas": 1}, 1),
        ({"replicas": None, "minReplicas": 1}, 1),
        ({"replicas": 5, "maxReplicas": 2}, 2),
        ({"replicas": 2, "numOfHosts": 0}, 0),
        ({"replicas": 2, "numOfHosts": None}, 2),
    ],
)
def test_workers_are_counted_as_kuberay_counts_them(counts: ReadOnlyJson, workers: int) -> None:
    assert expected_workers({"workerGroupSpecs": [group(**counts)]}) == workers


def test_a_growing_autoscaler_is_no_failure() -> None:
    spec = {"enableInTreeAutoscaling": True, "workerGroupSpecs": [group(replicas=4, minReplicas=1, maxReplicas=5)]}
    assert expected_workers(spec) == 1


def test_a_suspended_group_counts_for_nothing_whoever_scales() -> None:
    groups = [group(replicas=4, minReplicas=1), group(replicas=2, minReplicas=2, suspend=True)]
    assert expected_workers({"enableInTreeAutoscaling": True, "workerGroupSpecs": groups}) == 1
    assert expected_workers({"workerGroupSpecs": groups}) == 4


def test_a_suspended_ray_cluster_has_no_pods_at_all() -> None:
    spec = {"suspend": True, "workerGroupSpecs": [group(replicas=4)]}
    assert expected_workers(spec) == desired_workers(spec) == expected_pods(spec) == 0


@pytest.mark.parametrize(
    ("resource", "amount", "devices"),
    [
        ("nvidia.com/gpu", "2k", 6000),
        ("nvidia.com/gpu", "1e3", 3000),
        ("nvidia.com/gpu", "1000m", 3),
        ("nvidia.com/gpu", ".5", 3),
        ("nvidia.com/gpu", 8, 24),
        ("amd.com/gpu", "8", 24),
        ("google.com/tpu", 4, 12),
        ("nvidia.com/mig-1g.5gb", 1, 3),
        ("aws.amazon.com/neuroncore", 2, 6),
        ("huawei.com/Ascend910", 1, 3),
        ("habana.ai/gaudi", 1, 3),
        ("vke.volcengine.com/rdma", 8, 0),
        ("cpu", 4, 0),
        ("memory", "8Gi", 0),
    ],
)
def test_accelerators_are_told_by_the_resource(resource: str, amount: object, devices: int) -> None:
    spec = {"headGroupSpec": group(resource, amount), "workerGroupSpecs": [group(resource, amount, replicas=2)]}
    assert accelerators(spec) == devices


def ray_cluster(head: str, workers: int, **status: Any) -> Json:
    condition = {"type": "HeadPodReady", "status": head, "lastTransitionTime": TIME}
    return {
        "metadata": {"name": "a", "uid": "1"},
        "spec": {"workerGroupSpecs": [group(replicas=2)]},
        "status": {"conditions": [condition], "readyWorkerReplicas": workers, **status},
    }


@pytest.mark.parametrize(
    ("head", "workers", "is_ready"), [("True", 2, True), ("True", 1, False), ("False", 2, False), ("Unknown", 2, False)]
)
def test_ready_is_a_ready_head_with_all_workers(head: str, workers: int, *, is_ready: bool) -> None:
    assert decode_ray_cluster(ray_cluster(head, workers)).is_ready is is_ready


def test_sticky_words_of_kuberay_are_not_believed() -> None:
    provisioned = {"type": "RayClusterProvisioned", "status": "True", "lastTransitionTime": TIME}
    raw = ray_cluster("True", 1, state="ready")
    raw["status"]["conditions"].append(provisioned)
    assert not decode_ray_cluster(raw).is_ready


@pytest.mark.parametrize("status", [None, {}, {"conditions": "?"}, {"conditions": [3]}, {"readyWorkerReplicas": "x"}])
def test_a_status_that_cannot_be_read_is_not_ready(status: object) -> None:
    assert not decode_ray_cluster({"metadata": {"name": "a"}, "spec": {}, "status": status}).is_ready
