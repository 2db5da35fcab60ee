"""Accelerators as integers, environments and images: pure."""

import base64
from pathlib import Path
from typing import Any

import pytest

from rayfleet.local.node.environments import (
    CannotConfigure,
    ConfigLookup,
    command_line,
    container_environment,
    expanded,
)
from rayfleet.local.node.images import ImageNotFound, base_environment, environment_of
from rayfleet.local.node.scheduling import extended_resources, planned_schedule
from rayfleet.model.engine import LocalEnvironment


def pod(name: str, gpus: int | str = 0, *, node: str = "", made: str = "1", **more: Any) -> dict[str, Any]:
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    spec: dict[str, Any] = {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1", **limits}}}], **more}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name, "namespace": "n", "creationTimestamp": made}, "spec": spec, "status": {}}


NODE: dict[str, Any] = {"metadata": {"name": "local", "labels": {"disk": "fast"}}}
CORDONED = {**NODE, "spec": {"unschedulable": True}}


def tainted(*effects: str) -> dict[str, Any]:
    return {**NODE, "spec": {"taints": [{"key": "gpu", "value": "a100", "effect": each} for each in effects]}}


def names(pods: Any) -> list[str]:
    return [each["metadata"]["name"] for each in pods]


def test_pods_without_accelerators_always_fit() -> None:
    assert names(planned_schedule([pod("a"), pod("b")], {}, NODE).bound) == ["a", "b"]


def test_the_oldest_goes_first_and_a_large_one_does_not_stop_small_ones() -> None:
    schedule = planned_schedule(
        [pod("new", 1, made="3"), pod("large", 4, made="1"), pod("old", 1, made="2")], {"nvidia.com/gpu": 2}, NODE
    )
    assert names(schedule.bound) == ["old", "new"]
    assert [each.pod["metadata"]["name"] for each in schedule.waiting] == ["large"]


def test_the_message_names_what_is_asked_what_is_free_and_the_way_out() -> None:
    schedule = planned_schedule([pod("held", 3, node="local"), pod("a", 2)], {"nvidia.com/gpu": 4}, NODE)
    message = schedule.waiting[0].message
    assert "asks for 2 nvidia.com/gpu" in message
    assert "has 4 and 1 of them are free" in message
    assert "--accelerators nvidia.com/gpu=2" in message


def test_finished_pods_hold_nothing_and_terminating_ones_do() -> None:
    over = pod("over", 2, node="local")
    over["status"] = {"phase": "Succeeded"}
    assert names(planned_schedule([over, pod("a", 2)], {"nvidia.com/gpu": 2}, NODE).bound) == ["a"]
    leaving = pod("leaving", 2, node="local")
    leaving["metadata"]["deletionTimestamp"] = "now"
    assert planned_schedule([leaving, pod("a", 2)], {"nvidia.com/gpu": 2}, NODE).bound == ()


@pytest.mark.parametrize(
    ("node", "spec", "problem"),
    [
        (CORDONED, {}, "unschedulable"),
        (CORDONED, {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]}, ""),
        (tainted("NoSchedule"), {}, "untolerated taint {gpu: a100}"),
        (tainted("NoExecute"), {}, "untolerated taint {gpu: a100}"),
        (tainted("PreferNoSchedule"), {}, ""),
        (tainted("NoSchedule"), {"tolerations": [{"key": "gpu", "value": "a100"}]}, ""),
        (tainted("NoSchedule"), {"tolerations": [{"key": "gpu", "value": "h100"}]}, "untolerated"),
        (tainted("NoSchedule"), {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]}, ""),
        (
            tainted("NoSchedule", "NoExecute"),
            {"tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]},
            "untolerated",
        ),
        (tainted("NoExecute"), {"tolerations": [{"operator": "Exists"}]}, ""),
        (tainted("NoSchedule"), {"tolerations": [{"key": "other", "operator": "Exists"}]}, "untolerated"),
        (NODE, {"nodeSelector": {"disk": "fast"}}, ""),
        (NODE, {"nodeSelector": {"disk": "slow"}}, "didn't match Pod's node affinity/selector: disk=slow"),
    ],
)
def test_a_node_lets_in_what_it_is_open_for(node: dict[str, Any], spec: dict[str, Any], problem: str) -> None:
    schedule = planned_schedule([pod("a", **spec)], {}, node)
    assert names(schedule.bound) == ([] if problem else ["a"])
    assert all(problem in each.message for each in schedule.waiting)


def test_gated_and_deleted_pods_are_not_bound() -> None:
    gated = pod("gated", schedulingGates=[{"name": "kueue.x-k8s.io/admission"}])
    deleted = pod("deleted")
    deleted["metadata"]["deletionTimestamp"] = "now"
    schedule = planned_schedule([gated, deleted], {}, NODE)
    assert (schedule.bound, schedule.waiting) == ((), ())


def test_containers_add_up_and_init_containers_run_before() -> None:
    asked = pod("a", 1, initContainers=[{"name": "i", "resources": {"limits": {"nvidia.com/gpu": "3"}}}])
    asked["spec"]["containers"].append({"name": "d", "resources": {"requests": {"nvidia.com/gpu": 1}}})
    assert extended_resources(asked) == {"nvidia.com/gpu": 3}


@pytest.mark.parametrize(("amount", "count"), [("2k", 2000), ("1e3", 1000), (".5", 1), ("1000m", 1), ("1500m", 2)])
def test_an_amount_of_accelerators_is_whole_however_it_is_written(amount: str, count: int) -> None:
    """As ``rayfleet.objects.ray_spec`` counts them for the planner."""
    assert extended_resources(pod("a", amount)) == {"nvidia.com/gpu": count}


SECRET = {"data": {"auth_token": base64.b64encode(b"t0ken").decode()}}
LOOKUP = ConfigLookup({"s": SECRET}.get, {"c": {"data": {"A": "1"}}}.get)
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "labels": {"ray.io/cluster": "one"}},
    "spec": {"nodeName": "local", "containers": []},
}


def environment(*env: dict[str, Any], **container: Any) -> dict[str, str]:
    whole = {"name": "c", "env": list(env), **container}
    return container_environment({**POD, "spec": {**POD["spec"], "containers": [whole]}}, whole, LOOKUP, "127.77.0.2")


def ref(name: str, **source: Any) -> dict[str, Any]:
    return {"name": name, "valueFrom": source}


def test_references_see_only_what_was_set_before() -> None:
    found = environment(
        {"name": "B", "value": "$(A)/$(C)"}, {"name": "A", "value": "1"}, {"name": "D", "value": "$(A)$$(A)$"}
    )
    assert found == {"B": "$(A)/$(C)", "A": "1", "D": "1$(A)$"}


def test_a_dollar_that_is_doubled_is_one() -> None:
    assert expanded("$$(A) $$ $(A)", {"A": "x"}) == "$(A) $ x"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.labels['ray.io/cluster']", "one"),
        ("metadata.labels['missing']", ""),
        ("metadata.name", "p"),
        ("metadata.namespace", "n"),
        ("metadata.uid", "u"),
        ("spec.nodeName", "local"),
        ("status.podIP", "127.77.0.2"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_fields(path: str, value: str) -> None:
    assert environment(ref("X", fieldRef={"fieldPath": path})) == {"X": value}


def test_secrets_config_maps_and_resources() -> None:
    found = environment(
        ref("T", secretKeyRef={"name": "s", "key": "auth_token"}),
        ref("A", configMapKeyRef={"name": "c", "key": "A"}),
        ref("O", configMapKeyRef={"name": "none", "key": "A", "optional": True}),
        ref("M", resourceFieldRef={"resource": "limits.memory", "divisor": "1Mi"}),
        ref("R", resourceFieldRef={"resource": "requests.cpu"}),
        resources={"limits": {"memory": "1Gi", "cpu": "1500m"}},
    )
    assert found == {"T": "t0ken", "A": "1", "M": "1024", "R": "2"}


def test_whole_sources_come_first_and_env_wins() -> None:
    found = environment(
        {"name": "P_A", "value": "mine"},
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "P_"}, {"secretRef": {"name": "s"}}],
    )
    assert found == {"P_A": "mine", "auth_token": "t0ken"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"secretKeyRef": {"name": "s", "key": "other"}}, "secret 's': its key 'other' does not exist"),
        ({"secretKeyRef": {"name": "none", "key": "x"}}, "secret 'none': it does not exist"),
        ({"fieldRef": {"fieldPath": "spec.magic"}}, "'spec.magic' is not one"),
        ({"fileKeyRef": {}}, "is not supported"),
    ],
)
def test_what_cannot_be_resolved_names_itself(source: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotConfigure, match=words.replace("(", r"\(")):
        environment(ref("X", **source))


def test_commands_are_expanded_and_needed() -> None:
    assert command_line({"name": "c", "command": ["a", "$(X)"], "args": ["$(Y)"]}, {"X": "1"}) == ["a", "1", "$(Y)"]
    with pytest.raises(CannotConfigure, match="no entrypoint"):
        command_line({"name": "c", "args": ["x"]}, {})


CPU = LocalEnvironment(name="cpu", images=("vllm/vllm-openai",), cache_folder="engines/cpu", way_out="run make engines")


@pytest.mark.parametrize("image", ["vllm/vllm-openai", "vllm/vllm-openai:v0.7.1", "vllm/vllm-openai@sha256:ab"])
def test_an_image_means_its_environment_whatever_the_tag(image: str) -> None:
    assert environment_of(image, (CPU,)) is CPU


def test_an_unknown_image_names_the_known_ones() -> None:
    with pytest.raises(ImageNotFound, match="rayfleet/sidecar, vllm/vllm-openai"):
        environment_of("vllm/vllm-openai-next:1", (CPU,))


def test_an_environment_that_is_not_made_says_how(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound, match="run make engines"):
        base_environment(CPU, tmp_path, tmp_path, {})


def test_containers_get_nothing_of_the_nodes_secrets(tmp_path: Path) -> None:
    (tmp_path / "engines/cpu/bin").mkdir(parents=True)
    variables = {
        "HOME": "/home/a",
        "AWS_SECRET_ACCESS_KEY": "x",
        "KUBECONFIG": "k",
        "PATH": "/odd",
        "SSL_CERT_FILE": "c",
    }
    found = base_environment(CPU, tmp_path, tmp_path, variables)
    assert found["PATH"].startswith(f"{tmp_path}/engines/cpu/bin:")
    assert "/odd" not in found["PATH"]
    assert not found.keys() & {"AWS_SECRET_ACCESS_KEY", "KUBECONFIG"}
    assert found["SSL_CERT_FILE"] == "c"
