"""Names and flags as KubeRay makes them. Rules: KubeRay 1.6, utils/util.go and common/pod.go."""

import pytest

from rayfleet.local.kuberay.names import checked_name, label_value, pod_name_prefix
from rayfleet.local.kuberay.services import build_head_service
from rayfleet.local.kuberay.start_command import complete_start_params, ray_start_command
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.stand_ins import ray_cluster


@pytest.mark.parametrize(
    ("owner", "node_type", "expected"),
    [
        ("one", "head", "one-head-"),
        ("one-Group", "worker", "one-group-worker-"),
        ("a" * 60, "worker", "a" * 50 + "-worker-"),
    ],
)
def test_a_pods_prefix_is_cut_before_its_type(owner: str, node_type: str, expected: str) -> None:
    assert pod_name_prefix(owner, node_type) == expected


def test_long_labels_keep_their_end() -> None:
    assert label_value("x" * 70 + "-head") == "x" * 58 + "-head"
    assert label_value("a" + "-" + "b" * 62) == "r" + "b" * 62


@pytest.mark.parametrize(("text", "expected"), [("one", "one"), ("a" * 52 + "b", "a" * 49 + "b"), ("1st", "rst")])
def test_a_checked_name_is_short_and_starts_with_a_letter(text: str, expected: str) -> None:
    assert checked_name(text) == expected


def group(params: dict[str, str] | None = None, **fields: object) -> Json:
    resources = fields.pop("container", {})
    return {"rayStartParams": params, "template": {"spec": {"containers": [{"resources": resources}]}}, **fields}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"limits": {"cpu": "1500m"}, "requests": {"cpu": "1"}}, {"num-cpus": "2"}),
        ({"requests": {"cpu": "500m"}}, {"num-cpus": "1"}),
        ({"limits": {"cpu": "0"}, "requests": {"cpu": "3"}}, {"num-cpus": "3"}),
        ({"limits": {"memory": "1Gi"}}, {"memory": "1073741824"}),
        ({"requests": {"memory": "1Gi"}}, {}),
        ({"limits": {"nvidia.com/gpu": 2, "amd.com/gpu": 4}}, {"num-gpus": "4"}),
        ({"limits": {"nvidia.com/gpu": 0}}, {}),
        ({"limits": {"nvidia.com/mig-2g.32gb": 1}}, {"num-gpus": "1"}),
        ({"limits": {"google.com/tpu": 4}}, {"resources": "'{\"TPU\":4}'"}),
        ({"limits": {"aws.amazon.com/neuroncore": 2}}, {"resources": "'{\"neuron_cores\":2}'"}),
    ],
)
def test_a_containers_resources_become_flags(given: ReadOnlyJson, expected: dict[str, str]) -> None:
    found = complete_start_params(group(container=given), is_head=True)
    mine = {"dashboard-host", "metrics-export-port", "block", "dashboard-agent-listen-port"}
    assert {key: value for key, value in found.items() if key not in mine} == expected


def test_what_the_user_said_stands() -> None:
    params = {"num-cpus": "0", "address": "elsewhere:1", "metrics-export-port": "9", "block": "false"}
    found = complete_start_params(group(params, container={"limits": {"cpu": "4"}}), is_head=False, head_address="h:1")
    assert (found["num-cpus"], found["address"], found["metrics-export-port"]) == ("0", "elsewhere:1", "9")
    assert found["block"] == "true", "but for this: the container must not end"


def test_flags_are_sorted_and_true_is_bare() -> None:
    params = {"b": "TRUE", "a": "1", "c": "false", "include-dashboard": "true", "log-color": "false"}
    assert ray_start_command(params, is_head=True) == (
        "ray start --head  --a=1  --b  --include-dashboard=true  --log-color=false "
    )
    assert ray_start_command({"block": "true"}, is_head=False) == "ray start  --block "


def test_the_users_own_head_service_gets_our_selector_and_ports() -> None:
    manifest = ray_cluster("n", "one")
    manifest["metadata"]["uid"] = "u"
    manifest["spec"]["headServiceAnnotations"] = {"note": "ours"}
    manifest["spec"]["headGroupSpec"]["headService"] = {
        "metadata": {"name": "mine", "annotations": {"note": "theirs", "kept": "1"}, "labels": {"team": "a"}},
        "spec": {"type": "LoadBalancer", "selector": {"x": "y"}, "ports": [{"name": "extra", "port": 1}]},
    }
    found = build_head_service(manifest)
    assert found["metadata"]["name"] == "mine"
    assert found["metadata"]["annotations"] == {"note": "ours", "kept": "1"}
    assert found["metadata"]["labels"]["team"] == "a"
    assert found["spec"]["selector"]["ray.io/node-type"] == "head"
    assert [port["name"] for port in found["spec"]["ports"]][:2] == ["extra", "client"]
    assert "clusterIP" not in found["spec"]
