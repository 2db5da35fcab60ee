"""What to do for a Ray cluster now, and its status. Pure.

Source: KubeRay ray-operator/controllers/ray/raycluster_controller.go (1.5): reconcilePods, shouldDeletePod, calculateStatus; its stickiness too
(``state: ready`` and RayClusterProvisioned are never withdrawn), because what is built on it has to live with that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rayfleet.local.kuberay.pods import PodOptions, build_head_pod, build_worker_pod
from rayfleet.local.kuberay.sizes import desired_workers
from rayfleet.local.kuberay.status import ClusterStatus, cluster_status

JsonObject = dict[str, Any]

MANAGERS = ("", "ray.io/kuberay-operator")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatePod:
    """Create a pod; ``role`` names the failure's reason (Head or Worker)."""

    manifest: JsonObject
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePod:
    """Delete a pod by name and UID."""

    name: str
    uid: str
    role: str


Action = CreatePod | DeletePod


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Writes to do, the status to show, and a sentence when the spec is invalid (then nothing else is done)."""

    actions: tuple[Action, ...] = ()
    status: JsonObject | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCluster:
    """A RayCluster and the pods that it owns; ``failure`` is (reason, message) of the last rejected write, if any."""

    cluster: JsonObject
    pods: Sequence[JsonObject]
    failure: tuple[str, str] | None = None
    options: PodOptions = field(default_factory=PodOptions)


def plan_ray_cluster(observed: ObservedCluster, now: datetime) -> Plan:
    """Return what to do now. A cluster that is being deleted, or is somebody else's, is left alone."""
    cluster = observed.cluster
    if "deletionTimestamp" in cluster["metadata"] or (cluster["spec"].get("managedBy") or "") not in MANAGERS:
        return Plan()
    problem = spec_problem(cluster)
    if problem:
        return Plan(problem=problem)
    status = cluster_status(ClusterStatus(cluster=cluster, pods=observed.pods, failure=observed.failure), now)
    return Plan(actions=tuple(_actions(observed)), status=status)


def spec_problem(cluster: JsonObject) -> str:
    """Return why KubeRay would refuse the spec with an event and nothing else; empty when it would not."""
    name = cluster["metadata"]["name"]
    if len(name) > 53:
        return f"RayCluster name should be no more than 53 characters; {name!r} has {len(name)}"
    spec = cluster["spec"]
    groups = [("headGroupSpec", spec["headGroupSpec"])]
    groups += [(f"worker group {group.get('groupName')}", group) for group in spec.get("workerGroupSpecs") or ()]
    for label, group in groups:
        if not group["template"]["spec"].get("containers"):
            return f"{label} should have at least one container"
    names = [group.get("groupName") for _, group in groups[1:]]
    if len(set(names)) != len(names):
        return "worker group names must be unique"
    for label, group in groups[1:]:
        low, high = group.get("minReplicas", 0), group.get("maxReplicas", 2147483647)
        if low < 0 or high < 0 or low > high:
            return f"{label}: minReplicas {low} and maxReplicas {high} do not fit together"
    return ""


def _actions(observed: ObservedCluster) -> list[Action]:
    cluster, pods = observed.cluster, observed.pods
    if cluster["spec"].get("suspend") or _is_suspending(cluster):
        return [_delete(pod) for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    actions: list[Action] = []
    heads = [pod for pod in pods if _label(pod, "ray.io/node-type") == "head"]
    if not heads:
        actions.append(CreatePod(manifest=build_head_pod(cluster, observed.options), role="Head"))
    actions += [_delete(pod) for pod in heads if _is_spent(pod)]
    for group in cluster["spec"].get("workerGroupSpecs") or ():
        actions += _group_actions(observed, group)
    return actions


def _group_actions(observed: ObservedCluster, group: JsonObject) -> list[Action]:
    """As reconcilePods: spent pods and workersToDelete go first; terminating pods still count as existing."""
    pods = [
        pod
        for pod in observed.pods
        if _label(pod, "ray.io/node-type") == "worker" and _label(pod, "ray.io/group") == group["groupName"]
    ]
    named = set((group.get("scaleStrategy") or {}).get("workersToDelete") or ())
    spent = [pod for pod in pods if _is_spent(pod)]
    unwanted = [pod for pod in pods if pod["metadata"]["name"] in named and pod not in spent]
    going = [_delete(pod) for pod in (*spent, *unwanted) if "deletionTimestamp" not in pod["metadata"]]
    if going:
        return list(going)
    missing = desired_workers(group) - len(pods)
    if missing > 0:
        return [_created(observed, group, pods, index) for index in range(missing)]
    if observed.cluster["spec"].get("enableInTreeAutoscaling"):
        return []
    surplus = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]][: max(0, -missing)]
    return [_delete(pod) for pod in surplus]


def _created(observed: ObservedCluster, group: JsonObject, pods: Sequence[JsonObject], index: int) -> CreatePod:
    hosts = int(group.get("numOfHosts") or 1)
    host = None
    if hosts > 1:
        position = len(pods) + index
        host = (f"{group['groupName']}-{position // hosts}", position % hosts)
    return CreatePod(manifest=build_worker_pod(observed.cluster, group, observed.options, host), role="Worker")


def _is_spent(pod: JsonObject) -> bool:
    """Whether KubeRay deletes the pod: it failed or finished, or its Ray container ended for good."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Failed", "Succeeded"}:
        return True
    ray = pod["spec"]["containers"][0]["name"]
    ended = any(
        entry["name"] == ray and "terminated" in (entry.get("state") or {})
        for entry in status.get("containerStatuses") or ()
    )
    return ended and pod["spec"].get("restartPolicy") == "Never"


def _is_suspending(cluster: JsonObject) -> bool:
    conditions: Sequence[Mapping[str, Any]] = (cluster.get("status") or {}).get("conditions") or ()
    return any(entry["type"] == "RayClusterSuspending" and entry["status"] == "True" for entry in conditions)


def _delete(pod: JsonObject) -> DeletePod:
    role = "Head" if _label(pod, "ray.io/node-type") == "head" else "Worker"
    return DeletePod(name=pod["metadata"]["name"], uid=pod["metadata"]["uid"], role=role)


def _label(pod: JsonObject, name: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(name, ""))
