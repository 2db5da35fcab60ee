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

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import conditions_of, decode_conditions, find_condition
from rayfleet.objects.containers import BACK_OFF, ContainerEnd, ContainerLife, container_lives, init_container_lives
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.objects.pods import is_finished, is_ready, node_name, phase_of, status_message, status_reason

IMAGE_PULL = "ErrImagePull"
RESTARTED = "ContainerRestarted"
NO_ROOM = "Unschedulable"
"""The scheduler's reason."""
PODS_UNREADABLE = "PodsUnreadable"
MOST_LETTERS = 300
"""Of a message in a status."""
_NODE_LOST = "NodeLost"
_SHELL_SIGNALS = 128  # what shells and container runtimes add to a signal's number
_IMAGE_PULLS = frozenset({IMAGE_PULL, "ImagePullBackOff"})
_IMAGE_REFUSALS = frozenset({IMAGE_PULL, "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_STARTING = frozenset({"", "ContainerCreating", "PodInitializing"})
_GCS_WAITER = "wait-gcs-ready"
_BACK_OFF_WORDS = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull(: |$))?')


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


class SidecarReason(StrEnum):
    """Reasons that a head's sidecar gives (``rayfleet_sidecar.readiness``), and the one for what we do not know."""

    ENGINE_STARTING = "EngineStarting"
    ENGINE_LOADING = "EngineLoading"
    ENGINE_UNREACHABLE = "EngineUnreachable"
    ENGINE_FAILING = "EngineFailing"
    RAY_NODES_UNKNOWN = "RayNodesUnknown"
    RAY_NODES_MISSING = "RayNodesMissing"
    ENGINE_STALLED = "EngineStalled"
    WARMING = "Warming"
    GENERATION_FAILED = "GenerationFailed"
    CANARY_MISSED = "CanaryMissed"
    DRAINING = "EngineDraining"
    ASLEEP = "EngineAsleep"
    JUDGE_STALLED = "JudgeStalled"
    NOT_READY = "EngineNotReady"


_SIDECAR_TROUBLE = frozenset(
    {
        SidecarReason.ENGINE_FAILING,
        SidecarReason.ENGINE_STALLED,
        SidecarReason.GENERATION_FAILED,
        SidecarReason.CANARY_MISSED,
    }
)
_CALM = frozenset(Calm) | (frozenset(SidecarReason) - _SIDECAR_TROUBLE)  # a start goes through the others, one by one


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
    ray = next(iter(container_lives(pod)), None)
    standings = (
        (is_ready(pod), Standing.READY),
        (not node_name(pod), Standing.UNSCHEDULED),
        (ray is not None and ray.is_ready, Standing.JOINED),
        ((ray is not None and ray.has_ever_run) or _waits_for_gcs(pod), Standing.FORMING),
    )
    return next((standing for holds, standing in standings if holds), Standing.STARTING)


def trouble_of(pod: ReadOnlyJson) -> Obstacle | None:
    """Return what of a pod somebody has to look at, what explains most first; None when there is nothing."""
    for look in (_lost, _ended, _unschedulable, _stuck_container, _restarted_container):
        obstacle = look(pod)
        if obstacle is not None:
            return obstacle
    return None


def wait_of(pod: ReadOnlyJson, standing: Standing) -> Obstacle:
    """Return what a pod without trouble waits for that has come so far."""
    name = name_of(pod)
    if standing is Standing.UNSCHEDULED:
        return Obstacle(reason=Calm.NOT_SCHEDULED_YET, message="no node is chosen yet", pod=name)
    if standing is Standing.STARTING:
        return _start_of(pod)
    if standing is Standing.FORMING:
        waits = "waits for the head's GCS" if _waits_for_gcs(pod) else "has not joined Ray yet"
        message = f"{waits} (node {node_name(pod)})"
        return Obstacle(reason=Calm.RAY_NOT_JOINED, message=message, pod=name)
    unready = [container.name for container in container_lives(pod) if not container.is_ready]
    message = f"not ready: {', '.join(unready)}" if unready else "a readiness gate of it is not passed"
    container = unready[0] if unready else ""
    return Obstacle(reason=Calm.CONTAINERS_NOT_READY, message=message, pod=name, container=container)


def image_refusal(pod: ReadOnlyJson) -> Obstacle | None:
    """Return the first container whose image its node cannot have; None without one, whatever else is wrong."""
    stuck = (_stuck(pod, container) for container in container_lives(pod) if container.waits_for)
    return next((each for each in stuck if each is not None and each.reason in _IMAGE_REFUSALS), None)


def failure_of(pod: ReadOnlyJson) -> Obstacle | None:
    """Return why a pod that is to run to an end has not ended well: the pod's reason, or its first bad end."""
    if status_reason(pod):
        return _of_pod(pod, status_reason(pod), status_message(pod))
    for container in container_lives(pod):
        if container.end is not None and container.end.code:
            return _ended_run(pod, container, container.end, container.end.reason or "Error")
    return None


def ends_of(pod: ReadOnlyJson) -> Iterator[Obstacle]:
    """Yield how runs of the pod's containers ended, as far as its status remembers: the present and the last one."""
    for container in container_lives(pod):
        for end in (container.end, container.last_end):
            if end is not None:
                yield _ended_run(pod, container, end, end.reason or "Error")


def _lost(pod: ReadOnlyJson) -> Obstacle | None:
    """Return that the pod's node is lost, or that the pod is being taken away."""
    target = _condition(pod, "DisruptionTarget")
    if status_reason(pod) == _NODE_LOST:
        return _of_pod(pod, _NODE_LOST, status_message(pod) or f"node {node_name(pod)} does not answer")
    if target is not None and target.status is ConditionStatus.TRUE:
        return _of_pod(pod, target.reason or "Disrupted", target.message)
    if is_terminating(pod):
        return _of_pod(pod, "PodTerminating", "the pod was deleted")
    return None


def _ended(pod: ReadOnlyJson) -> Obstacle | None:
    """Return why a pod has come to its end: evicted, refused by the node, or all of its containers ended."""
    if not is_finished(pod):
        return None
    if status_reason(pod):
        return _of_pod(pod, status_reason(pod), status_message(pod))
    return _stuck_container(pod) or _of_pod(pod, f"Pod{phase_of(pod)}", status_message(pod))


def _unschedulable(pod: ReadOnlyJson) -> Obstacle | None:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled is None or scheduled.status is not ConditionStatus.FALSE or node_name(pod):
        return None
    return _of_pod(pod, scheduled.reason or NO_ROOM, scheduled.message.partition(" preemption:")[0])


def _stuck_container(pod: ReadOnlyJson) -> Obstacle | None:
    """Return the first container that cannot start or has ended: init containers first, then in the spec's order."""
    init = _init_at_work(pod)
    containers = (*([init] if init is not None else []), *container_lives(pod))
    return next((obstacle for each in containers if (obstacle := _stuck(pod, each)) is not None), None)


def _stuck(pod: ReadOnlyJson, container: ContainerLife) -> Obstacle | None:
    reason, message = container.waits_for, container.wait_message
    if container.end is not None:
        return _ended_run(pod, container, container.end, container.end.reason or "Error")
    if reason == BACK_OFF and container.last_end is not None:
        return _ended_run(pod, container, container.last_end, BACK_OFF)
    if reason in _STARTING:
        return None
    if reason in _IMAGE_PULLS:
        reason, cause = IMAGE_PULL, _BACK_OFF_WORDS.sub("", message)
        message = f"{container.image}: {cause}" if cause else container.image
    return Obstacle(reason=reason, message=message[:MOST_LETTERS], pod=name_of(pod), container=container.name)


def _restarted_container(pod: ReadOnlyJson) -> Obstacle | None:
    """Return the first container that runs again after a failure and is not ready yet."""
    for container in container_lives(pod):
        last = container.last_end
        if last is not None and last.code and not container.is_ready:
            return _ended_run(pod, container, last, RESTARTED)
    return None


def _start_of(pod: ReadOnlyJson) -> Obstacle:
    """Return what a pod waits for that is bound and runs no Ray yet."""
    name, init = name_of(pod), _init_at_work(pod)
    sandbox = _condition(pod, "PodReadyToStartContainers")
    if sandbox is not None and sandbox.status is ConditionStatus.FALSE:
        message = f"its volumes or its network are not there yet, see: kubectl describe pod {name}"
        return Obstacle(reason=Calm.CONTAINER_CREATING, message=message, pod=name)
    if init is not None and init.is_running:
        message = f"init container {init.name} runs"
        return Obstacle(reason=Calm.INITIALIZING, message=message, pod=name, container=init.name)
    container = init or next(iter(container_lives(pod)), ContainerLife(name=""))
    message = f"waits for image {container.image}"
    return Obstacle(reason=Calm.CONTAINER_CREATING, message=message, pod=name, container=container.name)


def _condition(pod: ReadOnlyJson, name: str) -> Condition | None:
    return find_condition(decode_conditions(conditions_of(pod)), name)


def _init_at_work(pod: ReadOnlyJson) -> ContainerLife | None:
    """Return the first init container that is not done, None when all are."""
    lives = init_container_lives(pod)
    return next((life for life in lives if life.end is None or life.end.code), None)


def _waits_for_gcs(pod: ReadOnlyJson) -> bool:
    """Whether KubeRay's init container of a worker has started: from then on it is Ray that the pod waits for."""
    init = _init_at_work(pod)
    return init is not None and init.name == _GCS_WAITER and init.has_ever_run


def _ended_run(pod: ReadOnlyJson, container: ContainerLife, end: ContainerEnd, reason: str) -> Obstacle:
    """Return how a container's run ended: ``OOMKilled, exit code 137 (SIGKILL): last line of its message``."""
    killed_by = end.signal or end.code - _SHELL_SIGNALS
    words = f"exit code {end.code}"
    if killed_by in set(signal.Signals):
        words += f" ({signal.Signals(killed_by).name})"
    if end.reason not in {"", "Error", "Completed", reason}:
        words = f"{end.reason}, {words}"
    lines = end.message.strip().splitlines()
    if lines:
        words += f": {lines[-1].strip()}"
    pod_name = name_of(pod)
    return Obstacle(
        reason=reason, message=words[:MOST_LETTERS], pod=pod_name, container=container.name, ended_at=end.at
    )


def _of_pod(pod: ReadOnlyJson, reason: str, message: str) -> Obstacle:
    return Obstacle(reason=reason, message=message[:MOST_LETTERS], pod=name_of(pod))
