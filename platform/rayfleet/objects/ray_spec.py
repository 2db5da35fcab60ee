"""Facts of a KubeRay ``RayClusterSpec``: its groups, workers, accelerators. Pure; unreadable parts count as absent.

Source: KubeRay ray-operator/controllers/ray/utils/util.go (1.6), ``GetWorkerGroupDesiredReplicas`` and
``CalculateMinReplicas``: desired workers of a group are ``replicas`` held between ``minReplicas`` (default 0) and
``maxReplicas``, times ``numOfHosts`` (the CRD's default is 1; a written 0 is 0); without ``replicas`` it is
``minReplicas``; a suspended group has none.
"""

import re
from collections.abc import Iterator
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mapping, mappings, part, whole_number
from rayfleet.objects.quantity import whole_amount

INT32_MAX = 2**31 - 1
_VERSION = re.compile(r"\s*v?(\d+)\.(\d+)")
_ACCELERATOR = re.compile(
    r"(^|[./])(gpu|tpu|npu|gaudi|neuron(core|device)?|mig-[a-z0-9.-]+|ascend[a-z0-9-]*|dcu(num)?|mlu)$|/gpu([.-]|$)",
    re.IGNORECASE,
)


def ray_version_text(spec: ReadOnlyJson) -> str:
    """Return the stated Ray version, empty without one."""
    return str(spec.get("rayVersion") or "")


def ray_version_of(text: str) -> tuple[int, int] | None:
    """Return major and minor of a Ray version, None when it is none: ``2.53.0`` and ``v2.53`` are 2, 53."""
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2])) if match else None


def worker_groups(spec: ReadOnlyJson) -> list[Json]:
    """Return the worker groups that are mappings."""
    return mappings(spec.get("workerGroupSpecs"))


def head_group(spec: ReadOnlyJson) -> Json:
    """Return the head group, empty without one."""
    return mapping(spec.get("headGroupSpec"))


def group_name(group: ReadOnlyJson) -> str:
    """Return a worker group's name, empty without one."""
    return str(group.get("groupName") or "")


def pod_template(group: ReadOnlyJson) -> Json:
    """Return a group's pod template, empty without one."""
    return mapping(group.get("template"))


def pod_spec(group: ReadOnlyJson) -> Json:
    """Return the pod spec of a group's template, empty without one."""
    return part(group, "template", "spec")


def containers(group: ReadOnlyJson) -> list[Json]:
    """Return the containers of a group's pod template that are mappings."""
    return mappings(pod_spec(group).get("containers"))


def native_sidecars(group: ReadOnlyJson) -> dict[int, Json]:
    """Return those of a group's init containers that run on beside the others, by their places (KEP-753)."""
    listed = enumerate(mappings(pod_spec(group).get("initContainers")))
    return {place: each for place, each in listed if each.get("restartPolicy") == "Always"}


def names_of_port(group: ReadOnlyJson, number: int) -> list[str]:
    """Return the names that a group's containers give to a TCP port, in order."""
    entries = (entry for container in containers(group) for entry in mappings(container.get("ports")))
    return [
        str(entry["name"])
        for entry in entries
        if entry.get("containerPort") == number and entry.get("name") and entry.get("protocol", "TCP") == "TCP"
    ]


def is_suspended(spec: ReadOnlyJson) -> bool:
    """Whether a Ray cluster's or a group's spec asks for no pods at all."""
    return spec.get("suspend") is True


def has_auth_options(spec: ReadOnlyJson) -> bool:
    """Whether it says how Ray's nodes know each other; a definition before KubeRay 1.5.1 keeps no such field."""
    return "authOptions" in spec


def wants_tokens(spec: ReadOnlyJson) -> bool:
    """Whether it asks KubeRay for a token of Ray's nodes."""
    return part(spec, "authOptions").get("mode") == "token"


def has_autoscaler(spec: ReadOnlyJson) -> bool:
    """Whether Ray's autoscaler decides on the number of workers."""
    return spec.get("enableInTreeAutoscaling") is True


def hosts_of(group: ReadOnlyJson) -> int:
    """Return the pods of one replica of a group."""
    return max(0, whole_number(group.get("numOfHosts"), 1))


def worker_bounds(group: ReadOnlyJson) -> tuple[int, int]:
    """Return minReplicas and maxReplicas; absent ones do not bound."""
    return whole_number(group.get("minReplicas"), 0), whole_number(group.get("maxReplicas"), INT32_MAX)


def group_replicas(group: ReadOnlyJson) -> int:
    """Return how many replicas (of ``hosts_of`` pods each) the group asks for."""
    if is_suspended(group):
        return 0
    lowest, highest = worker_bounds(group)
    replicas = whole_number(group.get("replicas"), lowest)
    return lowest if replicas < lowest else min(replicas, highest)


def group_workers(group: ReadOnlyJson) -> int:
    """Return how many worker pods the group asks for."""
    return group_replicas(group) * hosts_of(group)


def desired_workers(spec: ReadOnlyJson) -> int:
    """Return how many worker pods all groups ask for; KubeRay makes none while the whole Ray cluster is suspended."""
    return 0 if is_suspended(spec) else sum(group_workers(group) for group in worker_groups(spec))


def expected_workers(spec: ReadOnlyJson) -> int:
    """Return how many worker pods must be ready: with Ray's autoscaler on, the least it may leave."""
    if is_suspended(spec) or not has_autoscaler(spec):
        return desired_workers(spec)
    groups = [group for group in worker_groups(spec) if not is_suspended(group)]
    return sum(worker_bounds(group)[0] * hosts_of(group) for group in groups)


def expected_pods(spec: ReadOnlyJson) -> int:
    """Return how many pods must be ready: the head and the expected workers; none of a suspended Ray cluster."""
    return 0 if is_suspended(spec) else 1 + expected_workers(spec)


def accelerators(spec: ReadOnlyJson) -> int:
    """Return how many accelerators all pods of one RayCluster ask for (GPUs, TPUs, NPUs, ..., by resource name)."""
    heads = pod_accelerators(head_group(spec))
    return heads + sum(pod_accelerators(group) * group_workers(group) for group in worker_groups(spec))


def pod_accelerators(group: ReadOnlyJson) -> int:
    """Return how many accelerators one pod of a group asks for."""
    amounts = [amount for container in containers(group) for amount in _accelerator_amounts(container)]
    return sum(max(0, whole_amount(amount)) for amount in amounts)  # no server takes a negative one


def asked_resources(container: ReadOnlyJson) -> Json:
    """Return the amounts that a container asks for by resource: its requests, else its limits."""
    return {**part(container, "resources", "limits"), **part(container, "resources", "requests")}


def _accelerator_amounts(container: ReadOnlyJson) -> Iterator[Any]:
    return (amount for name, amount in asked_resources(container).items() if _ACCELERATOR.search(name))
