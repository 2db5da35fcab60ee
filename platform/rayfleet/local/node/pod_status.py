"""A pod's status from the states of its containers. Pure. Source: Kubernetes, "Pod Lifecycle"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a container's run ended."""

    exit_code: int
    reason: str
    started_at: datetime
    finished_at: datetime
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """What is known of one container.

    Exactly one of waiting (reason), running (started_at), ended says what it does now.
    """

    name: str
    image: str
    waiting_reason: str = ""
    waiting_message: str = ""
    started_at: datetime | None = None
    ended: Ended | None = None
    last_ended: Ended | None = None
    restart_count: int = 0
    is_ready: bool = False
    is_started: bool = False
    container_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """What is known of one pod."""

    address: str
    started_at: datetime
    init_containers: tuple[ContainerView, ...]
    containers: tuple[ContainerView, ...]
    restart_policy: str
    is_terminating: bool = False


def pod_status(view: PodView, before: Sequence[JsonObject], now: datetime) -> dict[str, Any]:
    """Return the whole status.

    ``before`` are the conditions as they stand, whose transition times stay while nothing flips.
    """
    is_initialized = all(_succeeded(container) for container in view.init_containers)
    is_complete = all(container.is_ready for container in view.containers)
    unready = [container.name for container in view.containers if not container.is_ready]
    because = ("ContainersNotReady", f"containers with unready status: {unready}") if unready else ("", "")
    phase = _phase(view, is_initialized)
    done = ("PodCompleted", "") if phase == "Succeeded" else because
    is_ready = is_complete and not view.is_terminating
    wanted = [
        ("PodScheduled", True, "", ""),
        ("Initialized", is_initialized, "" if is_initialized else "ContainersNotInitialized", ""),
        ("ContainersReady", is_complete, *done),
        ("Ready", is_ready, *(("PodTerminating", "") if is_complete and view.is_terminating else done)),
    ]
    return {
        "phase": phase,
        "conditions": [_condition(entry, before, now) for entry in wanted],
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": view.address,
        "podIPs": [{"ip": view.address}],
        "startTime": _time(view.started_at),
        "initContainerStatuses": [_container(each) for each in view.init_containers],
        "containerStatuses": [_container(each) for each in view.containers],
    }


def _phase(view: PodView, is_initialized: bool) -> str:
    failed_init = any(
        each.ended is not None and each.ended.exit_code and view.restart_policy == "Never"
        for each in view.init_containers
    )
    if failed_init:
        return "Failed"
    if not is_initialized:
        return "Pending"
    ended = [each.ended for each in view.containers if each.ended is not None]
    if len(ended) == len(view.containers) and view.restart_policy != "Always":
        return "Failed" if any(each.exit_code for each in ended) else "Succeeded"
    has_run = any(each.started_at or each.ended or each.last_ended for each in view.containers)
    return "Running" if has_run else "Pending"


def _condition(entry: tuple[str, bool, str, str], before: Sequence[JsonObject], now: datetime) -> dict[str, Any]:
    kind, is_true, reason, message = entry
    status = str(is_true)
    old = next((each for each in before if each["type"] == kind), None)
    since = (
        old["lastTransitionTime"] if old and old["status"] == status and old.get("lastTransitionTime") else _time(now)
    )
    found: dict[str, Any] = {"type": kind, "status": status, "lastTransitionTime": since, "lastProbeTime": None}
    if not is_true or (kind == "Ready" and reason == "PodCompleted"):
        found |= {"reason": reason, "message": message}
    return found


def _container(view: ContainerView) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": view.name,
        "image": view.image,
        "imageID": "",
        "containerID": view.container_id,
        "ready": view.is_ready,
        "started": view.is_started,
        "restartCount": view.restart_count,
        "state": _state(view),
        "lastState": {"terminated": _terminated(view.last_ended)} if view.last_ended else {},
    }
    return found


def _state(view: ContainerView) -> dict[str, Any]:
    if view.started_at is not None:
        return {"running": {"startedAt": _time(view.started_at)}}
    if view.ended is not None:
        return {"terminated": _terminated(view.ended)}
    return {"waiting": {"reason": view.waiting_reason or "PodInitializing", "message": view.waiting_message}}


def _terminated(ended: Ended) -> dict[str, Any]:
    return {
        "exitCode": ended.exit_code if ended.exit_code >= 0 else 128 - ended.exit_code,
        "reason": ended.reason,
        "message": ended.message,
        "startedAt": _time(ended.started_at),
        "finishedAt": _time(ended.finished_at),
    }


def _succeeded(view: ContainerView) -> bool:
    return view.ended is not None and view.ended.exit_code == 0


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
