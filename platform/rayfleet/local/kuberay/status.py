"""A Ray cluster's status after a pass. Pure.

Source: KubeRay raycluster_controller.go calculateStatus, utils/util.go and consistency.go (1.6). ``state: ready`` and
RayClusterProvisioned are never taken back when pods fail; HeadPodReady and the counts of ready and available workers
are live. Zero counts are left out, as Go does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.kuberay.start_command import is_gpu
from rayfleet.local.kuberay.suspension import Suspension, put_suspension, suspension_of
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import condition_of, since
from rayfleet.objects.meta import generation_of, name_of
from rayfleet.objects.parts import whole_number
from rayfleet.objects.pods import (
    container_statuses,
    is_head,
    is_ready,
    is_worker,
    phase_of,
    pod_address,
    terminated_of,
    waiting_of,
)
from rayfleet.objects.quantity import Quantity
from rayfleet.objects.ray_spec import (
    INT32_MAX,
    asked_resources,
    containers,
    group_workers,
    head_group,
    hosts_of,
    is_suspended,
    worker_bounds,
    worker_groups,
)
from rayfleet.objects.services import is_headless
from rayfleet.objects.times import encode_time

_COUNTS = (
    "readyWorkerReplicas",
    "availableWorkerReplicas",
    "desiredWorkerReplicas",
    "minWorkerReplicas",
    "maxWorkerReplicas",
)
_COMPARED = ("state", "reason", *_COUNTS, "endpoints", "head", "conditions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What ended a pass early; ``reason`` is ReplicaFailure's, empty when the condition does not tell of it."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a status is made from; ``services`` are the head's."""

    cluster: ReadOnlyJson
    pods: Sequence[ReadOnlyJson]
    services: Sequence[ReadOnlyJson]
    failure: Failure | None = None


def next_status(seen: Seen, now: datetime) -> Json | None:
    """Return the new status, None when KubeRay writes none.

    That is: when there is not exactly one head Service or are several heads, and when nothing but times, generation and
    desired resources would change.
    """
    heads = [pod for pod in seen.pods if is_head(pod)]
    if len(seen.services) != 1 or len(heads) > 1:
        return None
    before: Json = seen.cluster.get("status") or {}
    status = {key: value for key, value in before.items() if key not in _COUNTS}
    status |= {name: count for name, count in _counts(seen).items() if count}
    status |= _desired_resources(seen.cluster["spec"])
    status["conditions"] = _conditions(seen, before.get("conditions") or (), now)
    status |= _state(seen)
    status["endpoints"] = {**(before.get("endpoints") or {}), **_endpoints(seen.services[0])}
    status["head"] = _head(seen)
    if all(status.get(field) == before.get(field) for field in _COMPARED):
        return None
    if status.get("state") != before.get("state"):
        status["stateTransitionTimes"] = {
            **(before.get("stateTransitionTimes") or {}),
            status["state"]: encode_time(now),
        }
    status["lastUpdateTime"] = encode_time(now)
    status["observedGeneration"] = generation_of(seen.cluster)
    return status


def _counts(seen: Seen) -> dict[str, int]:
    groups = worker_groups(seen.cluster["spec"])
    bounds = [(worker_bounds(group), hosts_of(group)) for group in groups if not is_suspended(group)]
    running = [pod for pod in seen.pods if is_worker(pod) and phase_of(pod) == "Running"]
    counts = (
        sum(is_ready(pod) for pod in running),
        len(running),
        sum(group_workers(group) for group in groups),
        sum(low * hosts for (low, _), hosts in bounds),
        min(INT32_MAX, sum(high * hosts for (_, high), hosts in bounds)),
    )
    return dict(zip(_COUNTS, counts, strict=True))


def _desired_resources(spec: ReadOnlyJson) -> dict[str, str]:
    """Return what all pods ask for, requests before limits.

    By ``replicas`` as written, not by what the bounds make of it.
    """
    amounts: dict[str, list[str]] = {}
    groups = [
        (group, whole_number(group.get("replicas"), 0) * hosts_of(group))
        for group in worker_groups(spec)
        if not is_suspended(group)
    ]
    for group, count in ((head_group(spec), 1), *groups):
        for container in containers(group):
            for name, quantity in asked_resources(container).items():
                amounts.setdefault(name, []).extend([str(quantity)] * count)
    gpus = [amount for name, asked in amounts.items() if is_gpu(name) for amount in asked]
    return {
        "desiredCPU": str(Quantity.total(amounts.get("cpu", ()))),
        "desiredMemory": str(Quantity.total(amounts.get("memory", ()))),
        "desiredGPU": str(Quantity.total(gpus)),
        "desiredTPU": str(Quantity.total(amounts.get("google.com/tpu", ()))),
    }


def _state(seen: Seen) -> dict[str, str]:
    """Return a new ``state``: ready once everything was there and well together, suspended without pods; else none."""
    spec = seen.cluster["spec"]
    if is_suspended(spec) and not seen.pods:
        return {"state": "suspended"}
    desired = 1 + sum(group_workers(group) for group in worker_groups(spec))
    if seen.failure is None and len(seen.pods) == desired and _are_all_running(seen.pods):
        return {"state": "ready"}
    return {}


def _conditions(seen: Seen, before: Sequence[Json], now: datetime) -> list[Json]:
    conditions = {entry["type"]: entry for entry in before}

    def put(kind: str, status: str, reason: str, message: str = "") -> None:
        conditions[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since(conditions.values(), kind, status, now),
        }

    if seen.failure is None:
        conditions.pop("ReplicaFailure", None)
    elif seen.failure.reason:
        put("ReplicaFailure", "True", seen.failure.reason, seen.failure.message)
    put("HeadPodReady", *_head_ready(seen.pods))
    was_provisioned = conditions.get("RayClusterProvisioned", {}).get("status") == "True"
    if not was_provisioned and suspension_of(seen.cluster) is not Suspension.DONE:
        if _are_all_running(seen.pods):
            first = "All Ray Pods are ready for the first time"
            put("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime", first)
        else:
            waiting = "RayCluster Pods are being provisioned for first time"
            put("RayClusterProvisioned", "False", "RayClusterPodsProvisioning", waiting)
    put_suspension(seen.cluster, has_pods=bool(seen.pods), put=put)
    return list(conditions.values())


def _head_ready(pods: Sequence[ReadOnlyJson]) -> tuple[str, str, str]:
    """Return status, reason and message.

    The pod's own Ready condition, with the first container's trouble if it has one.
    """
    head = _head_pod(pods)
    if head is None:
        return "False", "HeadPodNotFound", "Head Pod not found"
    ready = condition_of(head, "Ready")
    if not ready:
        return "False", "Unknown", ""
    status, reason, message = ready["status"], ready.get("reason") or "", ready.get("message") or ""
    if reason == "ContainersNotReady":
        for entry in container_statuses(head):
            trouble = waiting_of(entry) or terminated_of(entry)
            if trouble:
                words = f"{entry['name']}: {trouble.get('message') or ''}"
                return status, trouble.get("reason") or "", f"{message}; {words}" if message else words
    default = "HeadPodRunningAndReady" if status == "True" else "Unknown"
    return status, reason or default, message


def _head(seen: Seen) -> dict[str, str]:
    head, service = _head_pod(seen.pods), seen.services[0]
    address = pod_address(head or {})
    facts = {
        "podIP": address,
        "podName": name_of(head or {}),
        "serviceIP": address if is_headless(service) else service["spec"].get("clusterIP", ""),
        "serviceName": name_of(service),
    }
    return {key: value for key, value in facts.items() if value}


def _endpoints(service: ReadOnlyJson) -> dict[str, str]:
    """Return port name -> nodePort or targetPort."""
    endpoints: dict[str, str] = {}
    for port in service["spec"].get("ports") or ():
        target = port.get("nodePort") or port.get("targetPort") or port["port"]
        if port.get("name"):
            endpoints[port["name"]] = str(target)
    return endpoints


def _are_all_running(pods: Sequence[ReadOnlyJson]) -> bool:
    """Whether there are pods, all run, and none says that it is not ready."""
    return bool(pods) and all(
        phase_of(pod) == "Running" and condition_of(pod, "Ready").get("status", "True") == "True" for pod in pods
    )


def _head_pod(pods: Sequence[ReadOnlyJson]) -> ReadOnlyJson | None:
    return next((pod for pod in pods if is_head(pod)), None)
