"""The table of pods. Pure. Source: Kubernetes ``pkg/printers/internalversion/printers.go`` ``printPod`` (v1.36)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.local.apiserver.grammar.ages import age_since, human_duration
from rayfleet.local.apiserver.kinds.kind import Column, Printer
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import condition_of, is_true
from rayfleet.objects.meta import is_terminating
from rayfleet.objects.pods import (
    container_statuses,
    init_container_statuses,
    is_finished,
    is_ready,
    last_terminated_of,
    node_name,
    phase_of,
    waiting_of,
)
from rayfleet.objects.times import decode_time

_NONE = "<none>"
_WIDE = ("IP", "Node", "Nominated Node", "Readiness Gates")


def pod_cells(pod: ReadOnlyJson, now: datetime) -> list[object]:
    """Return the row of one pod."""
    spec, status = pod["spec"], pod.get("status") or {}
    initial = _initialization(pod)
    is_up = not initial.reason or is_true(pod, "Initialized")
    containers = container_statuses(pod)
    ready = initial.ready + (sum(map(_is_running, containers)) if is_up else 0)
    sidecars = [each for each in spec.get("initContainers") or () if _is_sidecar(each)]
    gates = spec.get("readinessGates") or []
    addresses = status.get("podIPs") or [{"ip": status.get("podIP")}]
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec['containers']) + len(sidecars)}",
        pod_status(pod),
        _restarts([*initial.sidecars, *containers] if is_up else initial.statuses, now),
        age_since(pod["metadata"].get("creationTimestamp"), now),
        addresses[0].get("ip") or _NONE,
        node_name(pod) or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{sum(is_true(pod, each['conditionType']) for each in gates)}/{len(gates)}" if gates else _NONE,
    ]


POD_PRINTER = Printer(
    columns=(
        Column(name="Name", type="string", format="name"),
        Column(
            name="Ready", type="string", description="The aggregate readiness state of this pod for accepting traffic."
        ),
        Column(name="Status", type="string", description="The aggregate status of the containers in this pod."),
        Column(
            name="Restarts",
            type="string",
            description="The number of times the containers in this pod have been restarted and when the last "
            "container in this pod has restarted.",
        ),
        Column(name="Age", type="string"),
        *(Column(name=name, type="string", priority=1) for name in _WIDE),
    ),
    cells=pod_cells,
)


def pod_status(pod: ReadOnlyJson) -> str:
    """Return the one word that says how a pod is: a phase, or the reason of the container that holds it up."""
    status = pod.get("status") or {}
    reason: str = status.get("reason") or phase_of(pod)
    if condition_of(pod, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    initial = _initialization(pod)
    reason = initial.reason or reason
    if not initial.reason or is_true(pod, "Initialized"):
        reason = _running(pod, reason)
    if is_terminating(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if not is_finished(pod):
            return "Terminating"
    return reason


@dataclass(frozen=True, slots=True, kw_only=True)
class _Initialization:
    """How far init containers are; ``reason`` is empty when they hold nothing up, ``statuses`` are those looked at."""

    reason: str
    ready: int
    statuses: Sequence[Json]
    sidecars: Sequence[Json]


def _initialization(pod: ReadOnlyJson) -> _Initialization:
    specs = {each["name"]: each for each in pod["spec"].get("initContainers") or ()}
    seen: list[Json] = []
    reason, ready = "", 0
    for index, each in enumerate(init_container_statuses(pod)):
        seen.append(each)
        terminated = (each.get("state") or {}).get("terminated")
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if _is_sidecar(specs.get(each["name"], {})) and each.get("started"):
            ready += bool(each.get("ready"))
            continue
        reason = f"Init:{_held_up(each.get('state') or {}, f'{index}/{len(specs)}')}"
        break
    sidecars = [each for each in seen if _is_sidecar(specs.get(each["name"], {}))]
    return _Initialization(reason=reason, ready=ready, statuses=seen, sidecars=sidecars)


def _held_up(state: ReadOnlyJson, progress: str) -> str:
    if state.get("terminated"):
        return _ended(state["terminated"])
    waiting = (state.get("waiting") or {}).get("reason", "")
    return waiting if waiting and waiting != "PodInitializing" else progress


def _running(pod: ReadOnlyJson, reason: str) -> str:
    has_running = False
    failure = ""
    for each in reversed(container_statuses(pod)):
        state = each.get("state") or {}
        if waiting := waiting_of(each).get("reason"):
            reason = waiting
        elif state.get("terminated"):
            reason = _ended(state["terminated"])
            failure = reason if state["terminated"].get("exitCode") else failure
        elif _is_running(each):
            has_running = True
    if reason != "Completed":
        return reason
    if has_running and is_ready(pod):
        return "Running"
    return failure or ("NotReady" if has_running else reason)


def _is_sidecar(container: ReadOnlyJson) -> bool:
    return container.get("restartPolicy") == "Always"


def _is_running(status: ReadOnlyJson) -> bool:
    return bool(status.get("ready")) and "running" in (status.get("state") or {})


def _ended(terminated: ReadOnlyJson) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(statuses: Iterable[ReadOnlyJson], now: datetime) -> str:
    count, ends = 0, []
    for each in statuses:
        count += each.get("restartCount", 0)
        if (moment := decode_time(last_terminated_of(each).get("finishedAt"))) is not None:
            ends.append(moment)
    return f"{count} ({human_duration(now - max(ends))} ago)" if count and ends else str(count)
