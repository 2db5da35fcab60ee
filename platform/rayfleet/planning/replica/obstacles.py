"""How far a pod has come, and what keeps it from going on. Pure.

An obstacle is *trouble* when somebody has to do something or something ended that should not have; else it is calm: a
wait that is part of every start. Its words stay the same while the trouble does: counts, back-off times and the
alternation of ErrImagePull with ImagePullBackOff are left out, so a status is not written again for them.

Source: Kubernetes 1.36, "Pod Lifecycle"; kubelet ``images/types.go`` (reasons of images), ``kuberuntime_container.go``
(CreateContainerConfigError, RunContainerError), ``kubelet_pods.go`` (CrashLoopBackOff); KEP-3329 (DisruptionTarget),
KEP-3085 (PodReadyToStartContainers); KubeRay names the init container of workers ``wait-gcs-ready``.
"""

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import condition_of
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.objects.parts import mappings, part
from rayfleet.objects.pods import (
    container_status,
    container_statuses,
    init_container_statuses,
    is_finished,
    is_ready,
    last_terminated_of,
    node_name,
    phase_of,
    ray_container,
    ray_container_status,
    terminated_of,
    waiting_of,
)
from rayfleet.objects.times import decode_time

IMAGE_PULL = "ErrImagePull"
BACK_OFF = "CrashLoopBackOff"
_IMAGE_PULLS = frozenset({IMAGE_PULL, "ImagePullBackOff"})
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
_GCS_WAITER = "wait-gcs-ready"
_BACK_OFF_WORDS = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull(: |$))?')
_LETTERS = 300  # of a message in a status at most


class Calm(StrEnum):
    """Reasons that are part of every start, and of a wish: nobody has to do anything."""

    NONE = ""
    NO_PODS_YET = "NoPodsYet"
    PODS_MISSING = "PodsMissing"
    NOT_SCHEDULED_YET = "NotScheduledYet"
    CONTAINER_CREATING = "ContainerCreating"
    INITIALIZING = "Initializing"
    RAY_NOT_JOINED = "RayNotJoined"
    CONTAINERS_NOT_READY = "ContainersNotReady"
    NOT_REPORTED = "NotReportedYet"
    HEAD_NOT_READY = "HeadNotReady"
    WORKERS_NOT_READY = "WorkersNotReady"
    SUSPENDED = "Suspended"
    DRAINING = "Draining"
    DELETED = "Deleted"


_CALM = frozenset(Calm)


class Standing(IntEnum):
    """How far a pod has come, in order."""

    UNSCHEDULED = 0
    STARTING = 1
    FORMING = 2
    JOINED = 3
    READY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What keeps a pod, or one of its containers, from going on; ``ended_at`` is when that container's run ended."""

    reason: str
    message: str = ""
    pod: str = ""
    container: str = ""
    ended_at: datetime | None = None

    @property
    def is_trouble(self) -> bool:
        """Whether it is more than a wait that is part of every start."""
        return is_trouble(self.reason)


def is_trouble(reason: str) -> bool:
    """Whether a reason is more than a wait that is part of every start."""
    return reason not in _CALM


def standing_of(pod: ReadOnlyJson) -> Standing:
    """Return how far the pod has come: Ray has joined when its container is ready, by whatever probe that has."""
    status = ray_container_status(pod)
    waiting = waiting_of(status)
    has_started = bool(status) and (not waiting or bool(last_terminated_of(status)))
    standings = (
        (is_ready(pod), Standing.READY),
        (not node_name(pod), Standing.UNSCHEDULED),
        (bool(status.get("ready")), Standing.JOINED),
        (has_started or _waits_for_gcs(pod), Standing.FORMING),
    )
    return next((standing for holds, standing in standings if holds), Standing.STARTING)


def trouble_of(pod: ReadOnlyJson) -> Obstacle | None:
    """Return what of a pod somebody has to look at, what explains most first; None when there is nothing."""
    for look in (_lost, _ended, _unschedulable, _stuck_container, _restarted_container):
        obstacle = look(pod)
        if obstacle is not None:
            return obstacle
    return None


def wait_of(pod: ReadOnlyJson) -> Obstacle:
    """Return what a pod without trouble waits for."""
    name, standing = name_of(pod), standing_of(pod)
    if standing is Standing.UNSCHEDULED:
        return Obstacle(reason=Calm.NOT_SCHEDULED_YET, message="no node is chosen yet", pod=name)
    if standing is Standing.STARTING:
        return _start_of(pod)
    if standing is Standing.FORMING:
        waits = "waits for the head's GCS" if _waits_for_gcs(pod) else "has not joined Ray yet"
        message = f"{waits} (node {node_name(pod)})"
        return Obstacle(reason=Calm.RAY_NOT_JOINED, message=message, pod=name)
    unready = [str(status.get("name", "")) for status in container_statuses(pod) if not status.get("ready")]
    message = f"not ready: {', '.join(unready)}" if unready else "a readiness gate of it is not passed"
    container = unready[0] if unready else ""
    return Obstacle(reason=Calm.CONTAINERS_NOT_READY, message=message, pod=name, container=container)


def ends_of(pod: ReadOnlyJson) -> Iterator[Obstacle]:
    """Yield how runs of the pod's containers ended, as far as its status remembers: the present and the last one."""
    for status in container_statuses(pod):
        for terminated in (terminated_of(status), last_terminated_of(status)):
            if terminated:
                yield _end(pod, status, terminated, str(terminated.get("reason") or "Error"))


def _lost(pod: ReadOnlyJson) -> Obstacle | None:
    """Return that the pod's node is lost, or that the pod is being taken away."""
    status = part(pod, "status")
    target = condition_of(pod, "DisruptionTarget")
    if status.get("reason") == "NodeLost":
        return _of_pod(pod, "NodeLost", str(status.get("message") or f"node {node_name(pod)} does not answer"))
    if target.get("status") == "True":
        return _of_pod(pod, str(target.get("reason") or "Disrupted"), str(target.get("message") or ""))
    if is_terminating(pod):
        return _of_pod(pod, "PodTerminating", "the pod was deleted")
    return None


def _ended(pod: ReadOnlyJson) -> Obstacle | None:
    """Return why a pod has come to its end: evicted, refused by the node, or all of its containers ended."""
    if not is_finished(pod):
        return None
    status = part(pod, "status")
    if status.get("reason"):
        return _of_pod(pod, str(status["reason"]), str(status.get("message") or ""))
    return _stuck_container(pod) or _of_pod(pod, f"Pod{phase_of(pod)}", str(status.get("message") or ""))


def _unschedulable(pod: ReadOnlyJson) -> Obstacle | None:
    scheduled = condition_of(pod, "PodScheduled")
    if scheduled.get("status") != "False" or node_name(pod):
        return None
    shortage = str(scheduled.get("message") or "").partition(" preemption:")[0]
    return _of_pod(pod, str(scheduled.get("reason") or "Unschedulable"), shortage)


def _stuck_container(pod: ReadOnlyJson) -> Obstacle | None:
    """Return the first container that cannot start or has ended: init containers first, then in the spec's order."""
    obstacles = (_stuck(pod, status) for status in (*_init_ends(pod), *_in_order(pod)))
    return next((obstacle for obstacle in obstacles if obstacle is not None), None)


def _stuck(pod: ReadOnlyJson, status: ReadOnlyJson) -> Obstacle | None:
    waiting, terminated = waiting_of(status), terminated_of(status)
    reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    if terminated:
        return _end(pod, status, terminated, str(terminated.get("reason") or "Error"))
    if reason == BACK_OFF:
        return _end(pod, status, last_terminated_of(status), BACK_OFF)
    if reason in _STARTING:
        return None
    if reason in _IMAGE_PULLS:
        cause = _BACK_OFF_WORDS.sub("", message)
        image = _image(pod, str(status.get("name", "")))
        return _of_container(pod, status, IMAGE_PULL, f"{image}: {cause}" if cause else image)
    return _of_container(pod, status, reason, message)


def _restarted_container(pod: ReadOnlyJson) -> Obstacle | None:
    """Return the first container that runs again after a failure and is not ready yet."""
    for status in _in_order(pod):
        last = last_terminated_of(status)
        if last.get("exitCode") and not status.get("ready"):
            return _end(pod, status, last, "ContainerRestarted")
    return None


def _start_of(pod: ReadOnlyJson) -> Obstacle:
    """Return what a pod waits for that is bound and runs no Ray yet."""
    name = name_of(pod)
    init = _init_at_work(pod)
    if condition_of(pod, "PodReadyToStartContainers").get("status") == "False":
        message = f"its volumes or its network are not there yet, see: kubectl describe pod {name}"
        return Obstacle(reason=Calm.CONTAINER_CREATING, message=message, pod=name)
    if "running" in part(init, "state"):
        container = str(init.get("name", ""))
        return Obstacle(
            reason=Calm.INITIALIZING, message=f"init container {container} runs", pod=name, container=container
        )
    container = str((init or ray_container(pod)).get("name", ""))
    message = f"waits for image {_image(pod, container)}"
    return Obstacle(reason=Calm.CONTAINER_CREATING, message=message, pod=name, container=container)


def _in_order(pod: ReadOnlyJson) -> Iterator[Json]:
    """Yield the containers' statuses in the order of the spec, the Ray container's first."""
    for container in mappings(part(pod, "spec").get("containers")):
        status = container_status(pod, str(container.get("name", "")))
        if status:
            yield status


def _init_at_work(pod: ReadOnlyJson) -> Json:
    """Return the status of the first init container that is not done, empty when all are."""
    statuses = init_container_statuses(pod)
    return next((status for status in statuses if terminated_of(status).get("exitCode") != 0), {})


def _init_ends(pod: ReadOnlyJson) -> Iterator[Json]:
    init = _init_at_work(pod)
    if init:
        yield init


def _waits_for_gcs(pod: ReadOnlyJson) -> bool:
    """Whether KubeRay's init container of a worker has started: from then on it is Ray that the pod waits for."""
    init = _init_at_work(pod)
    return init.get("name") == _GCS_WAITER and (not waiting_of(init) or bool(last_terminated_of(init)))


def _image(pod: ReadOnlyJson, container: str) -> str:
    spec = part(pod, "spec")
    each = (*mappings(spec.get("initContainers")), *mappings(spec.get("containers")))
    return next((str(one.get("image", "")) for one in each if one.get("name") == container), "")


def _end(pod: ReadOnlyJson, status: ReadOnlyJson, terminated: ReadOnlyJson, reason: str) -> Obstacle:
    """Return how a container's run ended: ``OOMKilled, exit code 137 (SIGKILL): last line of its message``."""
    code = int(terminated.get("exitCode") or 0)
    killed_by = int(terminated.get("signal") or 0) or (code - 128 if code > 128 else 0)
    words = f"exit code {code}"
    if killed_by in set(signal.Signals):
        words += f" ({signal.Signals(killed_by).name})"
    how = str(terminated.get("reason") or "")
    if how not in {"", "Error", "Completed", reason}:
        words = f"{how}, {words}"
    lines = str(terminated.get("message") or "").strip().splitlines()
    if lines:
        words += f": {lines[-1].strip()}"
    return Obstacle(
        reason=reason,
        message=words[:_LETTERS],
        pod=name_of(pod),
        container=str(status.get("name", "")),
        ended_at=decode_time(terminated.get("finishedAt")),
    )


def _of_pod(pod: ReadOnlyJson, reason: str, message: str) -> Obstacle:
    return Obstacle(reason=reason, message=message[:_LETTERS], pod=name_of(pod))


def _of_container(pod: ReadOnlyJson, status: ReadOnlyJson, reason: str, message: str) -> Obstacle:
    return Obstacle(reason=reason, message=message[:_LETTERS], pod=name_of(pod), container=str(status.get("name", "")))
