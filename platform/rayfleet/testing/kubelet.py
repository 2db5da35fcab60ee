"""Statuses of pods as a kubelet and a scheduler write them: by function, for pods in memory and on a real API server.

Recorded from kubelet 1.36 with containerd 2.4 and from the sources that ``planning.replica.obstacles`` names. A status
is of the whole pod; ``SPEC_CONTAINERS`` are the containers that it speaks of. Pure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import is_true
from rayfleet.objects.containers import ContainerLife, container_lives
from rayfleet.objects.labels import (
    FLEET_LABEL,
    GROUP_LABEL,
    HEAD_NODE_TYPE,
    NODE_TYPE_LABEL,
    RAY_CLUSTER_LABEL,
    WORKER_NODE_TYPE,
)
from rayfleet.objects.pods import init_container_statuses, phase_of
from rayfleet.objects.times import encode_time

SPEC_CONTAINERS = ("ray", "rayfleet-sidecar")
IMAGE = "no/such-image:1"
PULL_ERROR = (
    f'failed to pull and unpack image "docker.io/{IMAGE}": failed to resolve reference "docker.io/{IMAGE}":'
    " pull access denied, repository does not exist or may require authorization"
)
_READY = ("ContainersReady", "Ready")
SHORTAGE = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."


def unbound() -> Json:
    """Return the status before anybody has looked at the pod."""
    return {"phase": "Pending"}


def unschedulable(now: datetime, message: str = SHORTAGE) -> Json:
    """Return the scheduler's word that no node has room."""
    more = " preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    return {"phase": "Pending", "conditions": [_no("PodScheduled", now, "Unschedulable", message + more)]}


def creating(now: datetime, names: Sequence[str] = SPEC_CONTAINERS, *, has_sandbox: bool = True) -> Json:
    """Return a bound pod whose containers wait: for volumes and network, or (``has_sandbox``) for images."""
    waits = [waiting(name, "ContainerCreating") for name in names]
    return _pending(now, waits, has_sandbox=has_sandbox)


def blocked(now: datetime, *statuses: Json, init: Sequence[Json] = ()) -> Json:
    """Return a bound pod with these containers, none of which has ever run."""
    return _pending(now, statuses, init=init)


def running(now: datetime, *statuses: Json, is_ready: bool = False, init: Sequence[Json] = ()) -> Json:
    """Return a running pod with these containers."""
    unready = [life.name for life in _lives(statuses) if not life.is_ready]
    if is_ready:
        ready = [condition("ContainersReady", now), condition("Ready", now)]
    else:
        message = f"containers with unready status: [{' '.join(unready)}]"
        ready = [_no(name, now, "ContainersNotReady", message) for name in _READY]
    conditions = [
        condition("PodReadyToStartContainers", now),
        condition("Initialized", now),
        *ready,
        condition("PodScheduled", now),
    ]
    return _status("Running", conditions, statuses, init)


def ready(now: datetime, names: Sequence[str] = SPEC_CONTAINERS, run: int = 0) -> Json:
    """Return a pod all of whose containers are ready."""
    return running(now, *(up(name, now, is_ready=True, run=run) for name in names), is_ready=True)


def evicted(message: str = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi.") -> Json:
    """Return a pod that its kubelet evicted."""
    return {"phase": "Failed", "reason": "Evicted", "message": message}


def waiting(name: str, reason: str, message: str = "", last: Json | None = None, restarts: int = 0) -> Json:
    """Return a container that waits."""
    state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
    return _container(name, state, last, restarts)


def up(name: str, now: datetime, *, is_ready: bool, run: int = 0, last: Json | None = None) -> Json:
    """Return a container that runs, as its ``run``th restart."""
    running_since = {"running": {"startedAt": encode_time(now)}}
    status = _container(name, running_since, last, run)
    return {**status, "ready": is_ready, "started": True, "containerID": f"containerd://{name}-{run}"}


def down(name: str, end: Json, restarts: int = 0) -> Json:
    """Return a container that has ended and was not restarted yet."""
    return _container(name, {"terminated": end}, None, restarts)


def end(code: int, now: datetime, reason: str = "Error", message: str = "") -> Json:
    """Return how a run of a container ended."""
    words = {"message": message} if message else {}
    return {"exitCode": code, "reason": reason, "startedAt": encode_time(now), "finishedAt": encode_time(now), **words}


def condition(name: str, now: datetime) -> Json:
    """Return a condition that is True since then."""
    return {"type": name, "status": "True", "lastProbeTime": None, "lastTransitionTime": encode_time(now)}


def image_refused(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod whose first container's image cannot be had."""
    refusal = f'Back-off pulling image "{IMAGE}": ErrImagePull: {PULL_ERROR}'
    others = [waiting(name, "ContainerCreating") for name in names[1:]]
    return blocked(now, waiting(names[0], "ImagePullBackOff", refusal), *others)


def crash_looping(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod whose first container ends again and again."""
    last = end(1, now, message="Traceback (most recent call last):\nRuntimeError: no GPU\n")
    back_off = f"back-off 40s restarting failed container={names[0]}"
    first = waiting(names[0], "CrashLoopBackOff", back_off, last, restarts=3)
    return running(now, first, *(up(name, now, is_ready=False) for name in names[1:]))


def out_of_memory(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod whose first container was just killed for its memory."""
    first = down(names[0], end(137, now, "OOMKilled"))
    return running(now, first, *(up(name, now, is_ready=False) for name in names[1:]))


def without_secret(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod that asks for a Secret that is not there."""
    missing = waiting(names[0], "CreateContainerConfigError", 'secret "token" not found')
    return blocked(now, missing, *(waiting(name, "ContainerCreating") for name in names[1:]))


def waiting_for_gcs(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a worker that waits for its head's GCS."""
    init = up("wait-gcs-ready", now, is_ready=False)
    return blocked(now, *(waiting(name, "PodInitializing") for name in names), init=[init])


def loading(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod whose Ray container is ready and whose others are not."""
    return running(now, up(names[0], now, is_ready=True), *(up(name, now, is_ready=False) for name in names[1:]))


def succeeded(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod that ran to its end, well."""
    return _finished(now, "Succeeded", [down(name, end(0, now, "Completed")) for name in names])


def failed(now: datetime, names: Sequence[str] = SPEC_CONTAINERS) -> Json:
    """Return a pod that ran to its end, its first container badly."""
    first = down(names[0], end(1, now, message="error: model zoo:tiny: no such model\n"))
    return _finished(now, "Failed", [first, *(down(name, end(0, now, "Completed")) for name in names[1:])])


SITUATIONS: Mapping[str, Callable[[datetime, Sequence[str]], Json]] = {
    "unbound": lambda _now, _names: unbound(),
    "unschedulable": lambda now, _names: unschedulable(now),
    "creating": creating,
    "image-refused": image_refused,
    "without-secret": without_secret,
    "waiting-for-gcs": waiting_for_gcs,
    "crash-looping": crash_looping,
    "out-of-memory": out_of_memory,
    "loading": loading,
    "evicted": lambda _now, _names: evicted(),
    "ready": ready,
    "succeeded": succeeded,
    "failed": failed,
}
"""How a pod may stand, by a word: what its status is then, by the time and the names of its containers."""


def is_bound(status: ReadOnlyJson) -> bool:
    """Whether a pod with that status has a node."""
    stated = {"status": status}
    return phase_of(stated) != "Pending" or is_true(stated, "PodScheduled")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayPod:
    """A pod as KubeRay makes it; ``group`` ``headgroup`` is the head's. ``meta`` are further fields of its metadata."""

    name: str
    ray_cluster: str
    group: str = "headgroup"
    uid: str = ""
    node: str = "n1"
    containers: Sequence[str] = SPEC_CONTAINERS
    meta: ReadOnlyJson = field(default_factory=dict)

    def showing(self, status: ReadOnlyJson) -> Json:
        """Return it with that status; on its node, unless the status says that none is chosen."""
        stated = {"status": dict(status)}
        node_type = HEAD_NODE_TYPE if self.group == "headgroup" else WORKER_NODE_TYPE
        of_kuberay = {RAY_CLUSTER_LABEL: self.ray_cluster, NODE_TYPE_LABEL: node_type, GROUP_LABEL: self.group}
        labels = {**of_kuberay, FLEET_LABEL: "fleet"}
        inits = [life.name for life in _lives(init_container_statuses(stated))]
        spec: Json = {
            "containers": [{"name": name, "image": IMAGE} for name in self.containers],
            "initContainers": [{"name": name, "image": IMAGE} for name in inits],
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "uid": self.uid or f"uid-{self.name}", "labels": labels, **self.meta},
            "spec": spec | ({"nodeName": self.node} if is_bound(status) else {}),
            **stated,
        }


def _lives(statuses: Sequence[Json]) -> tuple[ContainerLife, ...]:
    return container_lives({"spec": {"containers": [*statuses]}, "status": {"containerStatuses": [*statuses]}})


def _pending(now: datetime, statuses: Sequence[Json], *, has_sandbox: bool = True, init: Sequence[Json] = ()) -> Json:
    sandbox = condition("PodReadyToStartContainers", now)
    conditions = [sandbox if has_sandbox else {**sandbox, "status": "False"}, condition("PodScheduled", now)]
    return _status("Pending", conditions, statuses, init)


def _finished(now: datetime, phase: str, statuses: Sequence[Json]) -> Json:
    unready = [_no(name, now, f"Pod{'Completed' if phase == 'Succeeded' else phase}", "") for name in _READY]
    return _status(phase, [*unready, condition("PodScheduled", now)], statuses, ())


def _status(phase: str, conditions: Sequence[Json], statuses: Sequence[Json], init: Sequence[Json]) -> Json:
    status: Json = {"phase": phase, "podIP": "10.0.0.7", "conditions": [*conditions]}
    if init:
        status["initContainerStatuses"] = [*init]
    return {**status, "containerStatuses": [*reversed(statuses)]}  # sorted by name there, not as the spec has them


def _container(name: str, state: Json, last: Json | None, restarts: int) -> Json:
    return {
        "name": name,
        "image": IMAGE,
        "imageID": "",
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def _no(name: str, now: datetime, reason: str, message: str) -> Json:
    return {**condition(name, now), "status": "False", "reason": reason, "message": message}
