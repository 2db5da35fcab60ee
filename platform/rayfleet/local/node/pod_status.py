"""A pod's status from what is known of its containers. Pure. Source: Kubernetes, "Pod Lifecycle"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from rayfleet.local.node.lifecycle import is_over
from rayfleet.local.node.views import ContainerView, Ended, Fate, PodView, Running, Waiting
from rayfleet.model.json import Json
from rayfleet.objects.conditions import since
from rayfleet.objects.times import encode_time


@dataclass(frozen=True, slots=True)
class _Condition:
    type: str
    is_true: bool
    reason: str = ""
    message: str = ""


def pod_status(view: PodView, before: Sequence[Json], now: datetime) -> Json:
    """Return the whole status.

    ``before`` are the conditions as they stand, whose transition times stay while nothing flips.
    """
    is_initialized = all(container.has_succeeded for container in view.init_containers)
    phase = _phase(view, is_initialized)
    return {
        "phase": phase,
        "conditions": [_stated(condition, before, now) for condition in _conditions(view, phase, is_initialized)],
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": view.address,
        "podIPs": [{"ip": view.address}],
        "startTime": encode_time(view.started_at),
        "initContainerStatuses": [_container(container) for container in view.init_containers],
        "containerStatuses": [_container(container) for container in view.containers],
    }


def _phase(view: PodView, is_initialized: bool) -> str:
    if view.restart_policy == "Never" and any(
        isinstance(container.state, Ended) and container.state.exit_code for container in view.init_containers
    ):
        return "Failed"
    if not is_initialized:
        return "Pending"
    if all(is_over(container, view.restart_policy) for container in view.containers):
        return "Succeeded" if all(container.has_succeeded for container in view.containers) else "Failed"
    has_run = any(isinstance(each.state, Running) or each.newest_end is not None for each in view.containers)
    return "Running" if has_run else "Pending"


def _conditions(view: PodView, phase: str, is_initialized: bool) -> Iterator[_Condition]:
    """Yield the conditions in the kubelet's order."""
    is_complete = all(container.is_ready for container in view.containers)
    is_leaving = view.fate is not Fate.LIVES
    unready = [container.name for container in view.containers if not container.is_ready]
    because = ("ContainersNotReady", f"containers with unready status: {unready}") if unready else ("", "")
    done = ("PodCompleted", "") if phase == "Succeeded" else because
    yield _Condition("PodScheduled", True)
    yield _Condition("Initialized", is_initialized, "" if is_initialized else "ContainersNotInitialized")
    yield _Condition("ContainersReady", is_complete, *done)
    leaving = ("PodTerminating", "") if is_complete and is_leaving else done
    yield _Condition("Ready", is_complete and not is_leaving, *leaving)


def _stated(condition: _Condition, before: Sequence[Json], now: datetime) -> Json:
    status = str(condition.is_true)
    stated: Json = {
        "type": condition.type,
        "status": status,
        "lastTransitionTime": since(before, condition.type, status, now),
        "lastProbeTime": None,
    }
    if not condition.is_true:
        stated |= {"reason": condition.reason, "message": condition.message}
    return stated


def _container(view: ContainerView) -> Json:
    return {
        "name": view.name,
        "image": view.image,
        "imageID": "",
        "containerID": view.container_id,
        "ready": view.is_ready,
        "started": view.is_started,
        "restartCount": view.restart_count,
        "state": _state(view.state),
        "lastState": {"terminated": _terminated(view.last_ended)} if view.last_ended else {},
    }


def _state(state: Waiting | Running | Ended) -> Json:
    match state:
        case Waiting(reason=reason, message=message):
            return {"waiting": {"reason": reason, "message": message}}
        case Running():
            return {"running": {"startedAt": encode_time(state.since)}}
        case Ended():
            return {"terminated": _terminated(state)}
        case _:
            assert_never(state)


def _terminated(ended: Ended) -> Json:
    return {
        "exitCode": ended.exit_code,
        "reason": ended.reason,
        "message": ended.message,
        "startedAt": encode_time(ended.started_at),
        "finishedAt": encode_time(ended.finished_at),
    }
