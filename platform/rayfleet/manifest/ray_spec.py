"""Facts of a KubeRay ``RayClusterSpec`` in JSON: its pods, workers, accelerators.

Pure; unreadable parts count as absent.

Source: KubeRay ``raycluster_types.go`` and ``common/pod.go`` (v1.5): desired workers of a group are ``replicas`` held
between ``minReplicas`` (default 0) and ``maxReplicas``, times ``numOfHosts``; without ``replicas`` it is
``minReplicas``.
"""

import re
from collections.abc import Iterator
from typing import Any

from rayfleet.manifest.meta import mapping
from rayfleet.model.meta import JsonObject

INT32_MAX = 2**31 - 1
_ACCELERATOR = re.compile(
    r"(^|[./])(gpu|tpu|npu|gaudi|neuron(core|device)?|mig-[a-z0-9.-]+|ascend[a-z0-9-]*|dcu(num)?|mlu)$|/gpu([.-]|$)",
    re.IGNORECASE,
)


def worker_groups(spec: JsonObject) -> list[JsonObject]:
    """Return the worker groups that are mappings."""
    groups = spec.get("workerGroupSpecs")
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def head_group(spec: JsonObject) -> JsonObject:
    """Return the head group, empty without one."""
    return mapping(spec.get("headGroupSpec"))


def pod_spec(group: JsonObject) -> JsonObject:
    """Return the pod spec of a group's template, empty without one."""
    return mapping(mapping(group.get("template")).get("spec"))


def group_workers(group: JsonObject) -> int:
    """Return how many worker pods the group asks for."""
    if group.get("suspend") is True:
        return 0
    lowest = _count(group.get("minReplicas"), 0)
    highest = _count(group.get("maxReplicas"), INT32_MAX)
    wanted = _count(group.get("replicas"), lowest)
    return min(max(wanted, lowest), highest) * _count(group.get("numOfHosts"), 1)


def expected_workers(spec: JsonObject) -> int:
    """Return how many worker pods must be ready: with Ray's autoscaler on, the least it may leave."""
    if spec.get("enableInTreeAutoscaling") is True:
        groups = worker_groups(spec)
        return sum(_count(group.get("minReplicas"), 0) * _count(group.get("numOfHosts"), 1) for group in groups)
    return sum(group_workers(group) for group in worker_groups(spec))


def accelerators(spec: JsonObject) -> int:
    """Return how many accelerators all pods of one RayCluster ask for (GPUs, TPUs, NPUs, ..., by resource name)."""
    heads = _pod_accelerators(pod_spec(head_group(spec)))
    return heads + sum(_pod_accelerators(pod_spec(group)) * group_workers(group) for group in worker_groups(spec))


def containers(group: JsonObject) -> list[JsonObject]:
    """Return the containers of a group's pod template that are mappings."""
    found = pod_spec(group).get("containers")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _pod_accelerators(spec: JsonObject) -> int:
    return sum(_container_accelerators(item) for item in containers({"template": {"spec": spec}}))


def _container_accelerators(container: JsonObject) -> int:
    resources = mapping(container.get("resources"))
    asked = {**mapping(resources.get("limits")), **mapping(resources.get("requests"))}
    return sum(_whole(amount) for amount in _accelerator_amounts(asked))


def _accelerator_amounts(asked: JsonObject) -> Iterator[Any]:
    return (amount for name, amount in asked.items() if _ACCELERATOR.search(name))


def _whole(amount: Any) -> int:
    text = str(amount)
    return int(text) if text.isdecimal() else 0


def _count(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
