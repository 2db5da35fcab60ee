"""What `rayfleet up` makes of pods (rayfleet.local.up.fleet_progress)."""

from typing import Any

import pytest

from rayfleet.local.up.fleet_progress import fleet_progress

FLEET: dict[str, Any] = {"metadata": {"name": "f"}, "spec": {"replicas": 2}}


def _cluster(*groups: dict[str, Any], fleet: str = "f", **spec: Any) -> dict[str, Any]:
    labels = {"orchestration.aibrix.ai/raycluster-fleet-name": fleet}  # as the fleet's controller writes its template
    head = {"template": {"metadata": {"labels": labels}}}
    return {"metadata": {"name": f"{fleet}-1"}, "spec": {"headGroupSpec": head, "workerGroupSpecs": [*groups], **spec}}


CLUSTER = _cluster({"replicas": 1, "numOfHosts": 1})


def _pod(name: str, *, is_head: bool, ray_ready: bool, ready: bool = False, **container: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "labels": {
                "ray.io/cluster": "f-1",
                "ray.io/node-type": "head" if is_head else "worker",
                "orchestration.aibrix.ai/raycluster-fleet-name": "f",
            },
        },
        "spec": {"containers": [{"name": "ray"}]},
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready)}],
            "containerStatuses": [{"name": "ray", "ready": ray_ready, **container}],
        },
    }


def test_nodes_and_replicas_are_counted_over_the_whole_fleet() -> None:
    pods = [_pod("head", is_head=True, ray_ready=True, ready=True), _pod("worker", is_head=False, ray_ready=False)]
    progress = fleet_progress(FLEET, [CLUSTER], pods)
    assert (progress.nodes_up, progress.nodes_expected) == (1, 4)
    assert (progress.replicas_ready, progress.replicas_expected) == (1, 2)
    assert progress.is_ready
    assert not progress.is_complete


@pytest.mark.parametrize(
    ("cluster", "nodes"),
    [
        (_cluster({"minReplicas": 1}), 2),
        (_cluster({"replicas": None, "minReplicas": 1}), 2),
        (_cluster({"replicas": None}), 1),
        (_cluster({"replicas": 5, "maxReplicas": 2}), 3),
        (_cluster({"replicas": 2, "numOfHosts": 0}), 1),
        (_cluster({"replicas": 2, "numOfHosts": 3}), 7),
        (_cluster({"replicas": 2, "suspend": True}), 1),
        (_cluster({"replicas": 2}, suspend=True), 0),
        (_cluster({"replicas": 4, "minReplicas": 1, "maxReplicas": 5}, enableInTreeAutoscaling=True), 2),
    ],
)
def test_the_nodes_to_wait_for_are_those_that_kuberay_makes(cluster: dict[str, Any], nodes: int) -> None:
    """Each was counted otherwise here than by the real operator once, or was an error."""
    assert fleet_progress(FLEET, [cluster], []).nodes_expected == nodes * 2


def test_the_larger_ray_cluster_of_a_rollout_counts_and_that_of_another_fleet_does_not() -> None:
    clusters = [CLUSTER, _cluster({"replicas": 3}), _cluster({"replicas": 9}, fleet="g")]
    assert fleet_progress(FLEET, clusters, []).nodes_expected == 8
    assert fleet_progress(FLEET, [], []).nodes_expected == 2  # a head each, while nothing is known


def test_a_fleet_without_a_number_has_one_replica() -> None:
    assert fleet_progress({**FLEET, "spec": {"replicas": None}}, [CLUSTER], []).replicas_expected == 1


def test_a_pod_that_is_going_counts_no_more() -> None:
    pod = _pod("head", is_head=True, ray_ready=True, ready=True)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not fleet_progress(FLEET, [CLUSTER], [pod]).is_ready


def test_an_unschedulable_pod_is_a_trouble_with_its_message() -> None:
    pod = _pod("head", is_head=True, ray_ready=False)
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "asks for 8 nvidia.com/gpu"}
    ]
    troubles = fleet_progress(FLEET, [CLUSTER], [pod]).troubles
    assert [str(trouble) for trouble in troubles] == ["pod head: asks for 8 nvidia.com/gpu"]


def test_an_engine_that_exits_at_once_is_told_from_a_slow_one() -> None:
    slow = _pod("head", is_head=True, ray_ready=False, restartCount=1)
    ended = _pod("head", is_head=True, ray_ready=False, restartCount=3, lastState={"terminated": {"exitCode": 7}})
    assert fleet_progress(FLEET, [CLUSTER], [slow]).troubles == ()
    (trouble,) = fleet_progress(FLEET, [CLUSTER], [ended]).troubles
    assert (trouble.pod, trouble.container) == ("head", "ray")
    assert "exit code 7" in trouble.message


def test_an_image_without_environment_says_what_the_node_said() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "image x is unknown"}}
    pod = _pod("head", is_head=True, ray_ready=False, state=waiting)
    (trouble,) = fleet_progress(FLEET, [CLUSTER], [pod]).troubles
    assert trouble.message == "image x is unknown"


def test_an_invalid_fleet_is_a_trouble() -> None:
    condition = {
        "type": "Invalid",
        "status": "True",
        "reason": "InvalidSpec",
        "message": "spec.replicas: -1 is negative",
    }
    fleet = {**FLEET, "status": {"conditions": [condition]}}
    (trouble,) = fleet_progress(fleet, [], []).troubles
    assert str(trouble) == "fleet f: spec.replicas: -1 is negative"
