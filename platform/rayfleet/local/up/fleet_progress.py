"""How far a fleet has come, from its pods. Pure.

What a person waiting for a first token wants to know: how many Ray nodes are up, what the engine says, and whether
waiting helps at all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import condition_of, conditions_of
from rayfleet.objects.labels import FLEET_LABEL
from rayfleet.objects.meta import is_terminating, label, name_of
from rayfleet.objects.parts import part, whole_number
from rayfleet.objects.pods import (
    container_statuses,
    init_container_statuses,
    is_head,
    is_ready,
    last_terminated_of,
    ray_container_status,
    terminated_of,
    waiting_of,
)
from rayfleet.objects.ray_spec import expected_pods, head_group, pod_template

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
    pod: str = ""
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


def fleet_progress(
    fleet: ReadOnlyJson, clusters: Sequence[ReadOnlyJson], pods: Sequence[ReadOnlyJson]
) -> FleetProgress:
    """Return the progress of ``fleet``, given the Ray clusters and pods of its namespace.

    Those of other fleets among them are ignored. Of two sizes of Ray clusters, in a rollout, the larger counts.
    """
    name = name_of(fleet)
    replicas = whole_number(part(fleet, "spec").get("replicas"), 1)
    members = [pod for pod in pods if label(pod, FLEET_LABEL) == name and not is_terminating(pod)]
    sizes = [expected_pods(part(cluster, "spec")) for cluster in clusters if _fleet_of(cluster) == name]
    return FleetProgress(
        nodes_up=sum(bool(ray_container_status(pod).get("ready")) for pod in members),
        nodes_expected=max(sizes, default=1) * replicas,
        replicas_ready=sum(is_head(pod) and is_ready(pod) for pod in members),
        replicas_expected=replicas,
        troubles=(*_fleet_troubles(fleet), *(trouble for pod in members for trouble in pod_troubles(pod))),
    )


def head_pods(fleet: str, pods: Iterable[ReadOnlyJson]) -> list[ReadOnlyJson]:
    """Return the head pods of a fleet, in the order given."""
    return [pod for pod in pods if label(pod, FLEET_LABEL) == fleet and is_head(pod)]


def pod_troubles(pod: ReadOnlyJson) -> list[Trouble]:
    """Return what is wrong with a pod for good: not schedulable, no environment, ending again and again."""
    subject = f"pod {name_of(pod)}"
    scheduled = condition_of(pod, "PodScheduled")
    troubles = []
    if scheduled.get("reason") == "Unschedulable":
        troubles.append(Trouble(subject=subject, message=scheduled.get("message", "cannot be scheduled")))
    for status in (*init_container_statuses(pod), *container_statuses(pod)):
        troubles += _container_troubles(name_of(pod), status)
    return troubles


def _container_troubles(pod: str, status: ReadOnlyJson) -> list[Trouble]:
    name = status["name"]
    subject = f"pod {pod}, container {name}"
    waiting = waiting_of(status)
    if waiting.get("reason") in _HOPELESS:
        text = waiting.get("message") or _HOPELESS[waiting["reason"]]
        return [Trouble(subject=subject, message=text)]
    crashes = status.get("restartCount", 0)
    if crashes >= CRASHES_THAT_TELL and not status.get("ready"):
        code = (last_terminated_of(status) or terminated_of(status)).get("exitCode")
        text = f"ended {crashes} times" + (f", last with exit code {code}" if code is not None else "")
        return [Trouble(subject=subject, message=text, pod=pod, container=name)]
    return []


def _fleet_troubles(fleet: ReadOnlyJson) -> list[Trouble]:
    subject = f"fleet {name_of(fleet)}"
    return [
        Trouble(subject=subject, message=condition.get("message") or condition["reason"])
        for condition in conditions_of(fleet)
        if (condition["type"], condition["status"]) in {("Invalid", "True"), ("ReplicaFailure", "True")}
    ]


def _fleet_of(cluster: ReadOnlyJson) -> str:
    """Return the fleet's name that a Ray cluster gives to its pods."""
    return label(pod_template(head_group(part(cluster, "spec"))), FLEET_LABEL)
