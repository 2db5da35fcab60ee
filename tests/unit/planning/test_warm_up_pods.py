"""The pod that brings images and weights to a node: what it shares with the replica's, and what it must not have."""

from typing import Any

import pytest

from rayfleet.model.fleet import RayClusterTemplate
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.objects.labels import FLEET_LABEL, NODE_TYPE_LABEL, RAY_CLUSTER_LABEL
from rayfleet.planning.warm_up.load import load_of
from rayfleet.planning.warm_up.pods import WarmUpPod, warm_up_pods

FLEET = ObjectMeta(name="fleet", namespace="team", uid="uid-1")
GPU = {"limits": {"nvidia.com/gpu": 8}}
CACHE = {"name": "cache", "hostPath": {"path": "/models"}}
MOUNT = {"name": "cache", "mountPath": "/models"}


def ray(**fields: Any) -> Json:
    return {"name": "ray", "image": "engine:1", "resources": GPU, **fields}


def template(head: Json, *workers: Json) -> RayClusterTemplate:
    groups = [{"groupName": f"g{n}", "replicas": 1, "template": {"spec": pod}} for n, pod in enumerate(workers)]
    return RayClusterTemplate(spec={"headGroupSpec": {"template": {"spec": head}}, "workerGroupSpecs": groups})


def made(given: RayClusterTemplate, bring: str = "", node: str = "n1") -> list[WarmUpPod]:
    return list(warm_up_pods(FLEET, given, bring, node))


def only_spec(given: RayClusterTemplate, bring: str = "") -> Json:
    (pod,) = made(given, bring)
    spec: Json = pod.manifest["spec"]
    return spec


def images(spec: Json) -> list[str]:
    return [each["image"] for each in spec["containers"]]


def test_one_pod_has_a_container_for_each_image_once() -> None:
    sidecar = {"name": "sidecar", "image": "sidecar:1"}
    init = {"name": "init", "image": "init:1"}
    head = {"containers": [ray(env=[{"name": "A", "value": "1"}]), sidecar], "initContainers": [init]}
    spec = only_spec(template(head, {"containers": [ray(), {"name": "log", "image": "sidecar:1"}]}))
    assert images(spec) == ["engine:1", "init:1", "sidecar:1"]
    assert len({each["name"] for each in spec["containers"]}) == 3


def test_groups_of_other_images_share_the_pod_and_other_pull_secrets_do_not() -> None:
    secret = {"imagePullSecrets": [{"name": "registry"}]}
    same = template({"containers": [ray()]}, {"containers": [ray(image="engine:2")]})
    assert images(only_spec(same)) == ["engine:1", "engine:2"]
    apart = made(template({"containers": [ray()]}, {"containers": [ray(image="engine:2")], **secret}))
    assert [images(dict(pod.manifest["spec"])) for pod in apart] == [["engine:1"], ["engine:2"]]
    assert len({pod.name for pod in apart}) == 2


def test_a_group_without_workers_brings_nothing() -> None:
    given = template({"containers": [ray()]}, {"containers": [ray(image="engine:2")]})
    given.spec["workerGroupSpecs"][0]["replicas"] = 0
    assert images(only_spec(given)) == ["engine:1"]


def test_it_asks_for_no_accelerator_and_sees_none() -> None:
    everything = {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}
    (container,) = only_spec(template({"containers": [ray(env=[everything])]}))["containers"]
    assert set(container["resources"]) == {"requests"}
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    assert [each["value"] for each in container["env"] if each["name"] == everything["name"]] == ["void"]


def test_it_goes_to_its_node_by_way_of_the_scheduler_and_runs_once() -> None:
    spec = only_spec(template({"containers": [ray()], "tolerations": [{"key": "gpu"}], "nodeSelector": {"a": "b"}}))
    assert "nodeName" not in spec
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]
    assert spec["tolerations"] == [{"key": "gpu"}]
    assert spec["restartPolicy"] == "Never"
    assert spec["automountServiceAccountToken"] is False


def test_it_pulls_and_writes_as_the_replica_does() -> None:
    whole = {
        "imagePullSecrets": [{"name": "s"}],
        "securityContext": {"runAsUser": 7},
        "serviceAccountName": "puller",
        "runtimeClassName": "nvidia",
    }
    own = {"imagePullPolicy": "Always", "securityContext": {"readOnlyRootFilesystem": True}}
    spec = only_spec(template({"containers": [ray(**own)], **whole}))
    assert {name: spec[name] for name in whole} == whole
    assert {name: spec["containers"][0][name] for name in own} == own


def test_no_selector_of_services_budgets_or_kuberay_meets_it() -> None:
    (pod,) = made(template({"containers": [ray()]}))
    labels = pod.manifest["metadata"]["labels"]
    assert not {FLEET_LABEL, NODE_TYPE_LABEL} & labels.keys()
    assert labels[RAY_CLUSTER_LABEL] != labels[RAY_CLUSTER_LABEL].lower(), "no RayCluster has a name like that"


def test_it_belongs_to_the_fleet_and_its_name_follows_from_what_it_brings_and_where() -> None:
    given = template({"containers": [ray()]})
    (pod,), (again,) = made(given), made(given)
    assert pod == again
    assert pod.manifest["metadata"]["ownerReferences"][0]["uid"] == FLEET.uid
    (elsewhere,), (other,) = made(given, node="n2"), made(template({"containers": [ray(image="engine:2")]}))
    assert len({pod.name, elsewhere.name, other.name}) == 3


@pytest.mark.parametrize(
    ("volume", "is_kept"),
    [
        (CACHE, True),
        ({"name": "cache", "persistentVolumeClaim": {"claimName": "models"}}, True),
        ({"name": "cache", "secret": {"secretName": "token"}}, True),
        ({"name": "cache", "image": {"reference": "models:1"}}, True),
        ({"name": "cache", "emptyDir": {}}, False),
        ({"name": "cache", "ephemeral": {"volumeClaimTemplate": {}}}, False),
    ],
)
def test_it_has_the_volumes_that_outlive_a_pod_or_that_a_download_needs(volume: Json, is_kept: bool) -> None:
    spec = only_spec(template({"containers": [ray(volumeMounts=[MOUNT])], "volumes": [volume]}))
    assert spec.get("volumes", []) == ([volume] if is_kept else [])
    assert spec["containers"][0].get("volumeMounts", []) == ([MOUNT] if is_kept else [])


@pytest.mark.parametrize(
    ("mount", "volume", "is_guarded"),
    [
        (MOUNT, CACHE, False),
        ({**MOUNT, "readOnly": True}, CACHE, True),
        (MOUNT, {"name": "cache", "emptyDir": {}}, True),
        (MOUNT, {"name": "cache", "configMap": {"name": "c"}}, True),
    ],
)
def test_a_model_is_brought_where_it_stays(mount: Json, volume: Json, is_guarded: bool) -> None:
    """Into a container that is gone with its pod only where a node has a folder for models (a single machine)."""
    spec = only_spec(template({"containers": [ray(volumeMounts=[mount])], "volumes": [volume]}), "fetch it")
    script = spec["containers"][0]["command"][-1]
    assert script.endswith("exec fetch it")
    assert ("RAYFLEET_CACHE" in script) is is_guarded


def test_what_tells_of_a_containers_own_resources_is_left_out() -> None:
    limit = {"name": "LIMIT", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory"}}}
    token = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    (container,) = only_spec(template({"containers": [ray(env=[limit, token], envFrom=[{"a": 1}])]}))["containers"]
    assert [each["name"] for each in container["env"]] == ["TOKEN", "NVIDIA_VISIBLE_DEVICES"]
    assert container["envFrom"] == [{"a": 1}]


@pytest.mark.parametrize(
    ("old", "new", "is_there"),
    [
        ("engine:1", "engine:1", True),
        ("engine:1", "engine:2", False),
        ("engine", "engine", False),
        ("engine:latest", "engine:latest", False),
        ("engine@sha256:aa", "engine@sha256:aa", True),
        ("host:5000/engine", "host:5000/engine", False),
    ],
)
def test_a_node_has_what_its_replica_came_from_but_for_tags_that_move(old: str, new: str, is_there: bool) -> None:
    before, after = (load_of(template({"containers": [ray(image=image)]}).spec, "fetch m") for image in (old, new))
    assert after.is_there_with(before) is is_there


def test_another_model_is_not_there_and_none_always_is() -> None:
    spec = template({"containers": [ray()]}).spec
    assert not load_of(spec, "fetch b").is_there_with(load_of(spec, "fetch a"))
    assert load_of(spec, "").is_there_with(load_of(spec, "fetch a"))
