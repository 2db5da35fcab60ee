"""What decisions need of a pod: whether it is ready, its Ray container, and which incarnation it is. Pure.

``trimmed_pod`` is all that a store of many pods holds of each: whoever reads a further field adds it there.

Source: Kubernetes, "Pod Lifecycle"; KubeRay names no container: the Ray container is the first one
(``RayContainerIndex`` = 0, ray-operator/controllers/ray/utils/constant.go, 1.6), and statuses may come in another order
than the spec's.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import is_true
from rayfleet.objects.labels import (
    DRAINING_ANNOTATION,
    FLEET_LABEL,
    GROUP_LABEL,
    HEAD_NODE_TYPE,
    NODE_TYPE_LABEL,
    RAY_CLUSTER_LABEL,
    WORKER_NODE_TYPE,
)
from rayfleet.objects.meta import annotations_of, label, labels_of, uid_of
from rayfleet.objects.parts import mapping, mappings, part

_HASH_LETTERS = 6
_META = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
)
_LABELS = (RAY_CLUSTER_LABEL, NODE_TYPE_LABEL, GROUP_LABEL, FLEET_LABEL)
_ANNOTATIONS = (DRAINING_ANNOTATION,)
_STATUS = ("phase", "reason", "message", "podIP", "startTime")
_CONTAINER = ("name", "image", "ports")
_CONTAINER_STATUS = ("name", "ready", "restartCount", "containerID", "started", "state", "lastState")
_SPEC_LISTS = {"containers": _CONTAINER, "initContainers": _CONTAINER}
_STATUS_LISTS = {
    "conditions": ("type", "status", "reason", "message", "lastTransitionTime"),
    "containerStatuses": _CONTAINER_STATUS,
    "initContainerStatuses": _CONTAINER_STATUS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """What of a pod lives only once: when any of it differs, what ran in the pod has been lost.

    ``container_ids`` in the order of the spec, the Ray container's first; empty text for one that has not started.
    ``restarts`` counts those of all containers; ``node`` is empty before the pod is scheduled.
    """

    uid: str
    container_ids: tuple[str, ...]
    restarts: int
    node: str


def trimmed_pod(pod: ReadOnlyJson) -> ReadOnlyJson:
    """Return the fields of a pod that are read here or by those who decide, and nothing else: about a tenth of it."""
    meta, spec, status = part(pod, "metadata"), part(pod, "spec"), part(pod, "status")
    marks = {"labels": _only(labels_of(pod), _LABELS), "annotations": _only(annotations_of(pod), _ANNOTATIONS)}
    return {
        "apiVersion": pod.get("apiVersion"),
        "kind": pod.get("kind"),
        "metadata": _only(meta, _META) | marks,
        "spec": _only(spec, ("nodeName",)) | _only_lists(spec, _SPEC_LISTS),
        "status": _only(status, _STATUS) | _only_lists(status, _STATUS_LISTS),
    }


def incarnation(pod: ReadOnlyJson) -> Incarnation:
    """Return which life of the pod this is."""
    names = [str(container.get("name", "")) for container in mappings(part(pod, "spec").get("containers"))]
    return Incarnation(
        uid=uid_of(pod),
        container_ids=tuple(str(container_status(pod, name).get("containerID") or "") for name in names),
        restarts=sum(int(status.get("restartCount") or 0) for status in container_statuses(pod)),
        node=node_name(pod),
    )


def life_of(pod: ReadOnlyJson) -> str:
    """Return which life of its Ray container a pod is in, as ``POD.CONTAINER`` (hashes).

    What that container held is lost with either: a pod that was replaced, or a container that was started again. Other
    containers (the sidecar) may restart.
    """
    status = ray_container_status(pod)
    container = f"{status.get('containerID') or ''}/{status.get('restartCount') or 0}"
    return f"{_hashed(uid_of(pod))}.{_hashed(container)}"


def incarnation_text(pods: Iterable[ReadOnlyJson]) -> str:
    """Return which life of its engine a Ray cluster is in, as ``HEAD/WORKER,WORKER`` (lives); empty without pods.

    The order of the pods and their names do not matter.
    """
    lives: dict[bool, list[str]] = {True: [], False: []}
    for pod in pods:
        lives[is_head(pod)].append(life_of(pod))
    return f"{','.join(sorted(lives[True]))}/{','.join(sorted(lives[False]))}" if any(lives.values()) else ""


def phase_of(pod: ReadOnlyJson) -> str:
    """Return Pending, Running, Succeeded, Failed or Unknown; empty before anybody has said."""
    return str(part(pod, "status").get("phase") or "")


def status_reason(pod: ReadOnlyJson) -> str:
    """Return why the pod as a whole is as it is (Evicted, NodeLost, ...); empty mostly."""
    return str(part(pod, "status").get("reason") or "")


def status_message(pod: ReadOnlyJson) -> str:
    """Return the words that go with ``status_reason``."""
    return str(part(pod, "status").get("message") or "")


def is_ready(pod: ReadOnlyJson) -> bool:
    """Whether the pod's Ready condition is True."""
    return is_true(pod, "Ready")


def is_finished(pod: ReadOnlyJson) -> bool:
    """Whether the pod has run to its end, well or not: it never runs again and holds nothing."""
    return phase_of(pod) in {"Succeeded", "Failed"}


def is_head(pod: ReadOnlyJson) -> bool:
    """Whether the pod is the head of a Ray cluster."""
    return label(pod, NODE_TYPE_LABEL) == HEAD_NODE_TYPE


def is_worker(pod: ReadOnlyJson) -> bool:
    """Whether the pod is a worker of a Ray cluster."""
    return label(pod, NODE_TYPE_LABEL) == WORKER_NODE_TYPE


def node_name(pod: ReadOnlyJson) -> str:
    """Return the node that the pod is bound to, empty before."""
    return str(part(pod, "spec").get("nodeName") or "")


def pod_address(pod: ReadOnlyJson) -> str:
    """Return the pod's IP, empty before it has one."""
    return str(part(pod, "status").get("podIP") or "")


def container_statuses(pod: ReadOnlyJson) -> list[Json]:
    """Return the statuses of the containers that run together (init containers are not among them)."""
    return mappings(part(pod, "status").get("containerStatuses"))


def init_container_statuses(pod: ReadOnlyJson) -> list[Json]:
    """Return the statuses of the init containers, in order."""
    return mappings(part(pod, "status").get("initContainerStatuses"))


def container_status(pod: ReadOnlyJson, name: str) -> Json:
    """Return the status of one container, empty before there is one."""
    return next((status for status in container_statuses(pod) if status.get("name") == name), {})


def container_names(pod: ReadOnlyJson) -> list[str]:
    """Return the names of all containers, those that initialise first, in order."""
    spec = mapping(pod.get("spec"))
    entries = (*mappings(spec.get("initContainers")), *mappings(spec.get("containers")))
    return [str(entry.get("name")) for entry in entries]


def containers_of(pod: ReadOnlyJson) -> list[Json]:
    """Return the containers that run together, as the spec has them; Ray's is the first."""
    return mappings(part(pod, "spec").get("containers"))


def ray_container(pod: ReadOnlyJson) -> Json:
    """Return the container that Ray runs in, empty for a pod without containers."""
    containers = containers_of(pod)
    return containers[0] if containers else {}


def ray_container_status(pod: ReadOnlyJson) -> Json:
    """Return the status of the container that Ray runs in, empty before there is one."""
    return container_status(pod, str(ray_container(pod).get("name", "")))


def waiting_of(status: ReadOnlyJson) -> Json:
    """Return why a container waits (``reason``, ``message``), empty when it does not."""
    return part(status, "state", "waiting")


def terminated_of(status: ReadOnlyJson) -> Json:
    """Return how a container's run ended (``exitCode``, ``reason``, ...), empty when it runs or waits."""
    return part(status, "state", "terminated")


def last_terminated_of(status: ReadOnlyJson) -> Json:
    """Return how a container's run before this one ended, empty when there was none."""
    return mapping(part(status, "lastState").get("terminated"))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LETTERS]


def _only(fields: Mapping[str, Any], names: Iterable[str]) -> Json:
    return {name: fields[name] for name in names if name in fields}


def _only_lists(fields: Mapping[str, Any], lists: Mapping[str, Iterable[str]]) -> Json:
    return {
        name: [_only(each, kept) for each in mappings(fields[name])] for name, kept in lists.items() if name in fields
    }
