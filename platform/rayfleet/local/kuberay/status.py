"""A Ray cluster's status after a pass. Pure.

Source: KubeRay raycluster_controller.go calculateStatus, utils/util.go and consistency.go (1.6). ``state: ready`` and
RayClusterProvisioned are never taken back when pods fail; HeadPodReady and the counts of ready and available workers
are live. Zero counts are left out, as Go does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.kuberay.amounts import exact_value, sum_of
from rayfleet.local.kuberay.sizes import INT32_MAX, bounds_of, desired_workers, hosts_of
from rayfleet.local.kuberay.start_command import is_gpu
from rayfleet.local.kuberay.steps import label_of
from rayfleet.local.kuberay.suspension import Suspension, put_suspension, suspension_of
from rayfleet.model.json import Json, ReadOnlyJson

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
    heads = [pod for pod in seen.pods if label_of(pod, "ray.io/node-type") == "head"]
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
        status["stateTransitionTimes"] = {**(before.get("stateTransitionTimes") or {}), status["state"]: _time(now)}
    status["lastUpdateTime"] = _time(now)
    status["observedGeneration"] = seen.cluster["metadata"].get("generation", 0)
    return status


def _counts(seen: Seen) -> dict[str, int]:
    groups = seen.cluster["spec"].get("workerGroupSpecs") or ()
    bounds = [(bounds_of(group), hosts_of(group)) for group in groups if not group.get("suspend")]
    workers = [pod for pod in seen.pods if label_of(pod, "ray.io/node-type") == "worker"]
    running = [pod for pod in workers if (pod.get("status") or {}).get("phase") == "Running"]
    found = (
        sum(_ready_condition(pod).get("status") == "True" for pod in running),
        len(running),
        sum(desired_workers(group) for group in groups),
        sum(low * hosts for (low, _), hosts in bounds),
        min(INT32_MAX, sum(high * hosts for (_, high), hosts in bounds)),
    )
    return dict(zip(_COUNTS, found, strict=True))


def _desired_resources(spec: ReadOnlyJson) -> dict[str, str]:
    """Return what all pods ask for, requests before limits.

    By ``replicas`` as written, not by what the bounds make of it.
    """
    found: dict[str, list[str]] = {}
    groups = [
        (group, int(group.get("replicas") or 0) * hosts_of(group))
        for group in spec.get("workerGroupSpecs") or ()
        if not group.get("suspend")
    ]
    for group, count in ((spec["headGroupSpec"], 1), *groups):
        for container in group["template"]["spec"].get("containers") or ():
            resources = container.get("resources") or {}
            for name, quantity in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
                found.setdefault(name, []).extend([str(quantity)] * count)
    gpus = [each for name, quantities in found.items() if is_gpu(name) for each in quantities if exact_value(each)]
    return {
        "desiredCPU": sum_of(found.get("cpu", ())),
        "desiredMemory": sum_of(found.get("memory", ())),
        "desiredGPU": sum_of(gpus),
        "desiredTPU": sum_of(found.get("google.com/tpu", ())),
    }


def _state(seen: Seen) -> dict[str, str]:
    """Return a new ``state``: ready once everything was there and well together, suspended without pods; else none."""
    spec = seen.cluster["spec"]
    if spec.get("suspend") and not seen.pods:
        return {"state": "suspended"}
    desired = 1 + sum(desired_workers(group) for group in spec.get("workerGroupSpecs") or ())
    if seen.failure is None and len(seen.pods) == desired and _are_all_running(seen.pods):
        return {"state": "ready"}
    return {}


def _conditions(seen: Seen, before: Sequence[Json], now: datetime) -> list[Json]:
    found = {entry["type"]: entry for entry in before}

    def put(kind: str, status: str, reason: str, message: str = "") -> None:
        old = found.get(kind, {})
        since = old.get("lastTransitionTime", "") if old.get("status") == status else _time(now)
        found[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
        }

    if seen.failure is None:
        found.pop("ReplicaFailure", None)
    elif seen.failure.reason:
        put("ReplicaFailure", "True", seen.failure.reason, seen.failure.message)
    put("HeadPodReady", *_head_ready(seen.pods))
    was_provisioned = found.get("RayClusterProvisioned", {}).get("status") == "True"
    if not was_provisioned and suspension_of(seen.cluster) is not Suspension.DONE:
        if _are_all_running(seen.pods):
            first = "All Ray Pods are ready for the first time"
            put("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime", first)
        else:
            waiting = "RayCluster Pods are being provisioned for first time"
            put("RayClusterProvisioned", "False", "RayClusterPodsProvisioning", waiting)
    put_suspension(seen.cluster, has_pods=bool(seen.pods), put=put)
    return list(found.values())


def _head_ready(pods: Sequence[ReadOnlyJson]) -> tuple[str, str, str]:
    """Return status, reason and message.

    The pod's own Ready condition, with the first container's trouble if it has one.
    """
    head = _head_pod(pods)
    if head is None:
        return "False", "HeadPodNotFound", "Head Pod not found"
    ready = _ready_condition(head)
    if not ready:
        return "False", "Unknown", ""
    status, reason, message = ready["status"], ready.get("reason") or "", ready.get("message") or ""
    if reason == "ContainersNotReady":
        for entry in head["status"].get("containerStatuses") or ():
            state = entry.get("state") or {}
            trouble = state.get("waiting") or state.get("terminated")
            if trouble is not None:
                told = f"{entry['name']}: {trouble.get('message') or ''}"
                return status, trouble.get("reason") or "", f"{message}; {told}" if message else told
    default = "HeadPodRunningAndReady" if status == "True" else "Unknown"
    return status, reason or default, message


def _head(seen: Seen) -> dict[str, str]:
    head, service = _head_pod(seen.pods), seen.services[0]
    address = ((head or {}).get("status") or {}).get("podIP", "")
    cluster_ip = service["spec"].get("clusterIP", "")
    found = {
        "podIP": address,
        "podName": head["metadata"]["name"] if head is not None else "",
        "serviceIP": address if cluster_ip == "None" else cluster_ip,
        "serviceName": service["metadata"]["name"],
    }
    return {key: value for key, value in found.items() if value}


def _endpoints(service: ReadOnlyJson) -> dict[str, str]:
    """Return port name -> nodePort or targetPort."""
    found: dict[str, str] = {}
    for port in service["spec"].get("ports") or ():
        target = port.get("nodePort") or port.get("targetPort") or port["port"]
        if port.get("name"):
            found[port["name"]] = str(target)
    return found


def _are_all_running(pods: Sequence[ReadOnlyJson]) -> bool:
    """Whether there are pods, all run, and none says that it is not ready."""
    return bool(pods) and all(
        (pod.get("status") or {}).get("phase") == "Running" and _ready_condition(pod).get("status", "True") == "True"
        for pod in pods
    )


def _head_pod(pods: Sequence[ReadOnlyJson]) -> ReadOnlyJson | None:
    return next((pod for pod in pods if label_of(pod, "ray.io/node-type") == "head"), None)


def _ready_condition(pod: ReadOnlyJson) -> Mapping[str, str]:
    conditions: Sequence[Mapping[str, str]] = (pod.get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry["type"] == "Ready"), {})


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
