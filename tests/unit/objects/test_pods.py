"""What is read off a pod: readiness, the Ray container, which life this is."""

import pytest

from rayfleet.model.json import Json
from rayfleet.objects.parts import copied
from rayfleet.objects.pods import Incarnation, incarnation, is_finished, is_ready, ray_container_status, trimmed_pod

POD: Json = {
    "metadata": {"name": "p", "uid": "u1", "labels": {"ray.io/node-type": "worker"}},
    "spec": {"nodeName": "n1", "containers": [{"name": "ray"}, {"name": "sidecar"}]},
    "status": {
        "phase": "Running",
        "conditions": [{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": "True"}],
        "containerStatuses": [  # in another order than the spec's, as a kubelet may give them
            {"name": "sidecar", "containerID": "c://2", "restartCount": 1, "ready": True},
            {"name": "ray", "containerID": "c://1", "restartCount": 2, "ready": True},
        ],
    },
}


def test_an_incarnation_names_what_lives_only_once() -> None:
    assert incarnation(POD) == Incarnation(uid="u1", container_ids=("c://1", "c://2"), restarts=3, node="n1")


@pytest.mark.parametrize("change", ["uid", "container", "restart", "node"])
def test_another_life_is_another_incarnation(change: str) -> None:
    after = copied(POD)
    match change:
        case "uid":
            after["metadata"]["uid"] = "u2"
        case "container":
            after["status"]["containerStatuses"][1]["containerID"] = "c://3"
        case "restart":
            after["status"]["containerStatuses"][1]["restartCount"] = 3
        case _:
            after["spec"]["nodeName"] = "n2"
    assert incarnation(after) != incarnation(POD)


def test_a_change_of_readiness_is_the_same_life() -> None:
    after = copied(POD)
    after["status"]["conditions"][1]["status"] = "False"
    after["status"]["containerStatuses"][1]["ready"] = False
    assert not is_ready(after)
    assert incarnation(after) == incarnation(POD)


def test_the_ray_container_is_the_first_of_the_spec() -> None:
    assert ray_container_status(POD)["containerID"] == "c://1"


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}, {"conditions": [{"type": "Ready"}]}])
def test_a_pod_of_which_nobody_has_said_so_is_not_ready(status: Json | None) -> None:
    pod = {**POD, "status": status}
    assert not is_ready(pod)
    assert incarnation({**pod, "spec": {}}) == Incarnation(uid="u1", container_ids=(), restarts=0, node="")


@pytest.mark.parametrize(
    ("phase", "is_over"), [("Pending", False), ("Running", False), ("Succeeded", True), ("Failed", True)]
)
def test_a_pod_that_has_run_to_its_end_is_finished(phase: str, *, is_over: bool) -> None:
    assert is_finished({"status": {"phase": phase}}) is is_over


def test_a_trimmed_pod_answers_as_the_whole_one() -> None:
    whole = copied(POD)
    whole["metadata"] |= {"managedFields": [{"manager": "kubelet"}], "annotations": {"a": "b" * 1000}}
    whole["metadata"]["labels"] |= {"app": "x", "ray.io/cluster": "c"}
    whole["spec"]["containers"][0] |= {"image": "ray:1", "env": [{"name": "A", "value": "b" * 1000}]}
    whole["status"]["conditions"][1]["lastProbeTime"] = "2026-01-02T03:04:05Z"
    kept = trimmed_pod(whole)
    assert (incarnation(kept), is_ready(kept)) == (incarnation(whole), True)
    assert ray_container_status(kept) == ray_container_status(whole)
    assert kept["metadata"]["labels"] == {"ray.io/cluster": "c", "ray.io/node-type": "worker"}
    assert kept["spec"]["containers"][0] == {"name": "ray", "image": "ray:1"}
    assert len(str(kept)) < len(str(whole)) / 2
    assert trimmed_pod(kept) == kept
