"""A Ray cluster's status from its pods. Pure. Source: KubeRay raycluster_controller.go (1.5), calculateStatus; consistency.go."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rayfleet.local.kuberay.services import build_head_service
from rayfleet.local.kuberay.sizes import desired_workers
from rayfleet.local.node.quantities import quantity_value

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What a status is made from."""

    cluster: JsonObject
    pods: Sequence[JsonObject]
    failure: tuple[str, str] | None = None


def cluster_status(seen: ClusterStatus, now: datetime) -> JsonObject | None:
    """Return the new status, None when nothing but times and generation would change (KubeRay writes none then)."""
    cluster = seen.cluster
    before: JsonObject = cluster.get("status") or {}
    status = {**before, **_counts(cluster, seen.pods), **_head(cluster, seen.pods)}
    status["conditions"] = _conditions(seen, before, now)
    status |= _state(cluster, seen.pods, status["conditions"])
    quiet = {"lastUpdateTime", "observedGeneration"}
    if {key: value for key, value in status.items() if key not in quiet} == {
        key: value for key, value in before.items() if key not in quiet
    }:
        return None
    if status.get("state") and status.get("state") != before.get("state"):
        times = {**(before.get("stateTransitionTimes") or {}), status["state"]: _time(now)}
        status["stateTransitionTimes"] = times
    status["lastUpdateTime"] = _time(now)
    status["observedGeneration"] = cluster["metadata"].get("generation", 0)
    return status


def is_running_and_ready(pod: JsonObject) -> bool:
    """Whether a pod runs and its Ready condition, when it has one, is True."""
    status = pod.get("status") or {}
    ready = next((entry for entry in status.get("conditions") or () if entry["type"] == "Ready"), None)
    return status.get("phase") == "Running" and (ready is None or ready["status"] == "True")


def _counts(cluster: JsonObject, pods: Sequence[JsonObject]) -> JsonObject:
    groups = cluster["spec"].get("workerGroupSpecs") or ()
    workers = [pod for pod in pods if _type(pod) == "worker"]
    hosts = [int(group.get("numOfHosts") or 1) for group in groups]
    found: JsonObject = {
        "desiredWorkerReplicas": sum(desired_workers(group) for group in groups),
        "minWorkerReplicas": sum(
            (group.get("minReplicas") or 0) * host for group, host in zip(groups, hosts, strict=True)
        ),
        "maxWorkerReplicas": min(
            2147483647,
            sum(group.get("maxReplicas", 2147483647) * host for group, host in zip(groups, hosts, strict=True)),
        ),
        "readyWorkerReplicas": sum(is_running_and_ready(pod) for pod in workers),
        "availableWorkerReplicas": sum((pod.get("status") or {}).get("phase") == "Running" for pod in workers),
    }
    specs = [(cluster["spec"]["headGroupSpec"], 1), *((group, desired_workers(group)) for group in groups)]
    for field, name in (("desiredCPU", "cpu"), ("desiredMemory", "memory"), ("desiredGPU", "gpu")):
        found[field] = _total(specs, name)
    found["desiredTPU"] = "0"
    return {key: value for key, value in found.items() if value not in (0, "") or not key.endswith("Replicas")}


def _total(specs: Sequence[tuple[JsonObject, int]], name: str) -> str:
    total = 0.0
    for group, count in specs:
        for container in group["template"]["spec"].get("containers") or ():
            resources = container.get("resources") or {}
            asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
            for key, quantity in asked.items():
                if key == name or (name == "gpu" and key.endswith("gpu")):
                    total += quantity_value(quantity) * count
    if total == int(total):
        return str(int(total))
    return f"{round(total * 1000)}m"


def _head(cluster: JsonObject, pods: Sequence[JsonObject]) -> JsonObject:
    head = next((pod for pod in pods if _type(pod) == "head"), None)
    service = build_head_service(cluster)
    address = ((head or {}).get("status") or {}).get("podIP", "")
    found = {"serviceName": service["metadata"]["name"]}
    if head is not None:
        found["podName"] = head["metadata"]["name"]
    if address:
        found |= {"podIP": address, "serviceIP": address}
    endpoints = {port["name"]: str(port["targetPort"]) for port in service["spec"]["ports"]}
    return {"head": found, "endpoints": endpoints}


def _state(cluster: JsonObject, pods: Sequence[JsonObject], conditions: Sequence[JsonObject]) -> JsonObject:
    """Return ``state``: ready once everything was ready together, and from then on; suspended while suspended."""
    if _is_true(conditions, "RayClusterSuspended"):
        return {"state": "suspended"}
    before = (cluster.get("status") or {}).get("state", "")
    if _are_all_ready(cluster, pods):
        return {"state": "ready"}
    return {"state": before} if before == "ready" else {}


def _conditions(seen: ClusterStatus, before: JsonObject, now: datetime) -> list[JsonObject]:
    found = {entry["type"]: entry for entry in before.get("conditions") or ()}
    generation = seen.cluster["metadata"].get("generation", 0)

    def put(kind: str, status: str, reason: str, message: str = "") -> None:
        old = found.get(kind)
        if old is not None and (old["status"], old["reason"], old.get("message", "")) == (status, reason, message):
            return
        since = old["lastTransitionTime"] if old is not None and old["status"] == status else _time(now)
        found[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": since,
            "observedGeneration": generation,
        }

    put("HeadPodReady", *_head_ready(seen.pods))
    if seen.failure is not None:
        put("ReplicaFailure", "True", *seen.failure)
    else:
        found.pop("ReplicaFailure", None)
    _put_suspension(seen, found, put)
    if not _is_true(list(found.values()), "RayClusterProvisioned") and not seen.cluster["spec"].get("suspend"):
        if _are_all_ready(seen.cluster, seen.pods):
            message = "All Ray Pods are ready for the first time"
            put("RayClusterProvisioned", "True", "AllPodRunningAndReadyFirstTime", message)
        else:
            put(
                "RayClusterProvisioned",
                "False",
                "RayClusterPodsProvisioning",
                "RayCluster Pods are being provisioned for first time",
            )
    return list(found.values())


def _put_suspension(seen: ClusterStatus, found: dict[str, JsonObject], put: Any) -> None:
    """Suspend is atomic: a suspension that began goes on to its end, whatever the spec says meanwhile."""
    wanted = bool(seen.cluster["spec"].get("suspend"))
    is_suspending = _is_true(list(found.values()), "RayClusterSuspending")
    if is_suspending and not seen.pods:
        put("RayClusterSuspending", "False", "RayClusterSuspending")
        put("RayClusterSuspended", "True", "RayClusterSuspended")
        put("RayClusterProvisioned", "False", "RayClusterPodsProvisioning")
    elif wanted and not is_suspending and not _is_true(list(found.values()), "RayClusterSuspended"):
        put("RayClusterSuspending", "True", "UserRequestedSuspend")
    elif not wanted and _is_true(list(found.values()), "RayClusterSuspended"):
        put("RayClusterSuspended", "False", "UserRequestedResume")


def _head_ready(pods: Sequence[JsonObject]) -> tuple[str, str, str]:
    head = next((pod for pod in pods if _type(pod) == "head"), None)
    if head is None:
        return "False", "HeadPodNotFound", "Head Pod not found"
    if is_running_and_ready(head):
        return "True", "HeadPodRunningAndReady", ""
    for entry in (head.get("status") or {}).get("containerStatuses") or ():
        state = entry.get("state") or {}
        for kind in ("waiting", "terminated"):
            if (state.get(kind) or {}).get("reason"):
                message = f"{entry['name']}: {state[kind].get('message') or ''}".strip()
                return "False", state[kind]["reason"], message
    for entry in (head.get("status") or {}).get("conditions") or ():
        if entry["type"] == "Ready" and entry["status"] != "True" and entry.get("reason"):
            return "False", entry["reason"], entry.get("message") or ""
    return "False", "Unknown", ""


def _are_all_ready(cluster: JsonObject, pods: Sequence[JsonObject]) -> bool:
    desired = 1 + sum(desired_workers(group) for group in cluster["spec"].get("workerGroupSpecs") or ())
    return len(pods) == desired and all(is_running_and_ready(pod) for pod in pods)


def _is_true(conditions: Sequence[JsonObject], kind: str) -> bool:
    return any(entry["type"] == kind and entry["status"] == "True" for entry in conditions)


def _type(pod: JsonObject) -> str:
    return str((pod["metadata"].get("labels") or {}).get("ray.io/node-type", ""))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
