"""How far a fleet has come, from its pods. Pure.

What a person waiting for a first token wants to know: how many Ray nodes are up, what the engine says, and whether
waiting helps at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

JsonObject = Mapping[str, Any]

# A container that ended this often is not starting slowly; it is broken.
CRASHES_THAT_TELL = 2

# Waiting reasons that no amount of waiting mends.
_HOPELESS = {
    "ErrImagePull": "its image has no environment on this machine",
    "CreateContainerConfigError": "its configuration cannot be satisfied here",
    "InvalidImageName": "its image name is wrong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that will not mend itself: the object, what is wrong, and whose log tells more (empty: none)."""

    subject: str
    message: str
    container: str = ""

    def __str__(self) -> str:
        return f"{self.subject}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetProgress:
    """Counts over all replicas of a fleet. A Ray node counts as up when the pod's Ray container runs and is ready."""

    nodes_up: int
    nodes_expected: int
    replicas_ready: int
    replicas_expected: int
    troubles: tuple[Trouble, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Whether one replica at least answers requests."""
        return self.replicas_ready > 0

    @property
    def is_complete(self) -> bool:
        """Whether every replica answers requests."""
        return self.replicas_ready >= self.replicas_expected


def fleet_progress(fleet: JsonObject, clusters: Sequence[JsonObject], pods: Sequence[JsonObject]) -> FleetProgress:
    """Return the progress of ``fleet``, given Ray clusters and pods of its namespace (those of others are ignored)."""
    name = fleet["metadata"]["name"]
    replicas = fleet["spec"].get("replicas", 1)
    mine = [pod for pod in pods if _fleet_of(pod) == name and "deletionTimestamp" not in pod["metadata"]]
    names = {pod["metadata"]["labels"].get("ray.io/cluster") for pod in mine}
    own = [cluster for cluster in clusters if cluster["metadata"]["name"] in names]
    per_replica = max((_nodes_wanted(cluster) for cluster in own), default=1)
    return FleetProgress(
        nodes_up=sum(_ray_is_up(pod) for pod in mine),
        nodes_expected=per_replica * replicas,
        replicas_ready=sum(_is_head(pod) and is_pod_ready(pod) for pod in mine),
        replicas_expected=replicas,
        troubles=(*_fleet_troubles(fleet), *(trouble for pod in mine for trouble in pod_troubles(pod))),
    )


def is_pod_ready(pod: JsonObject) -> bool:
    """Whether the pod's Ready condition is True."""
    conditions = pod.get("status", {}).get("conditions", [])
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


def head_pods(fleet: str, pods: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the head pods of a fleet, in the order given."""
    return [pod for pod in pods if _fleet_of(pod) == fleet and _is_head(pod)]


def pod_troubles(pod: JsonObject) -> list[Trouble]:
    """Return what is wrong with a pod for good: not schedulable, no environment, ending again and again."""
    subject = f"pod {pod['metadata']['name']}"
    status = pod.get("status", {})
    found = [
        Trouble(subject=subject, message=entry.get("message", "cannot be scheduled"))
        for entry in status.get("conditions", [])
        if entry["type"] == "PodScheduled" and entry.get("reason") == "Unschedulable"
    ]
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        found += _container_troubles(subject, container)
    return found


def _container_troubles(subject: str, container: JsonObject) -> list[Trouble]:
    name = container["name"]
    waiting = container.get("state", {}).get("waiting", {})
    if waiting.get("reason") in _HOPELESS:
        text = waiting.get("message") or _HOPELESS[waiting["reason"]]
        return [Trouble(subject=f"{subject}, container {name}", message=text)]
    crashes = container.get("restartCount", 0)
    if crashes >= CRASHES_THAT_TELL and not container.get("ready"):
        ended = container.get("lastState", {}).get("terminated") or container.get("state", {}).get("terminated") or {}
        code = ended.get("exitCode")
        text = f"ended {crashes} times" + (f", last with exit code {code}" if code is not None else "")
        return [Trouble(subject=f"{subject}, container {name}", message=text, container=name)]
    return []


def _fleet_troubles(fleet: JsonObject) -> list[Trouble]:
    subject = f"fleet {fleet['metadata']['name']}"
    return [
        Trouble(subject=subject, message=entry.get("message") or entry["reason"])
        for entry in fleet.get("status", {}).get("conditions", [])
        if (entry["type"], entry["status"]) in {("Invalid", "True"), ("ReplicaFailure", "True")}
    ]


def _fleet_of(pod: JsonObject) -> str:
    return str(pod["metadata"].get("labels", {}).get("orchestration.aibrix.ai/raycluster-fleet-name", ""))


def _is_head(pod: JsonObject) -> bool:
    return bool(pod["metadata"].get("labels", {}).get("ray.io/node-type") == "head")


def _ray_is_up(pod: JsonObject) -> bool:
    """The Ray container is the first one (KubeRay: RayContainerIndex = 0); statuses may come in another order."""
    ray = pod["spec"]["containers"][0]["name"]
    return any(
        entry["name"] == ray and entry.get("ready") for entry in pod.get("status", {}).get("containerStatuses", [])
    )


def _nodes_wanted(cluster: JsonObject) -> int:
    groups = cluster["spec"].get("workerGroupSpecs", [])
    return 1 + sum(int(group.get("replicas", 0)) * int(group.get("numOfHosts", 1)) for group in groups)
