"""The table of pods. Pure. Source: Kubernetes ``pkg/printers/internalversion/printers.go`` ``printPod`` (v1.36)."""

from collections.abc import Iterable
from datetime import datetime

from rayfleet.local.apiserver.durations import age_since, human_duration, parse_timestamp
from rayfleet.local.apiserver.kinds import Column, Printer
from rayfleet.model.meta import JsonObject

_NONE = "<none>"
_WIDE = ("IP", "Node", "Nominated Node", "Readiness Gates")


def pod_cells(pod: JsonObject, now: datetime) -> list[object]:
    """Return the row of one pod."""
    spec, status = pod["spec"], pod.get("status") or {}
    statuses = status.get("containerStatuses") or []
    ready = sum(1 for each in statuses if each.get("ready") and "running" in (each.get("state") or {}))
    gates = spec.get("readinessGates") or []
    return [
        pod["metadata"]["name"],
        f"{ready}/{len(spec['containers'])}",
        pod_status(pod),
        _restarts(status, now),
        age_since(pod["metadata"].get("creationTimestamp"), now),
        status.get("podIP") or _NONE,
        spec.get("nodeName") or _NONE,
        status.get("nominatedNodeName") or _NONE,
        f"{_met_gates(gates, status)}/{len(gates)}" if gates else _NONE,
    ]


POD_PRINTER = Printer(
    columns=(
        Column(name="Name", type="string", format="name"),
        Column(
            name="Ready", type="string", description="The aggregate readiness state of this pod for accepting traffic."
        ),
        Column(name="Status", type="string", description="The aggregate status of the containers in this pod."),
        Column(name="Restarts", type="string", description="The number of times the containers have been restarted."),
        Column(name="Age", type="string"),
        *(Column(name=name, type="string", priority=1) for name in _WIDE),
    ),
    cells=pod_cells,
)


def pod_status(pod: JsonObject) -> str:
    """Return the one word that says how a pod is: a phase, or the reason of the container that holds it up."""
    status = pod.get("status") or {}
    reason: str = status.get("reason") or status.get("phase") or ""
    conditions = status.get("conditions") or []
    if any(each.get("type") == "PodScheduled" and each.get("reason") == "SchedulingGated" for each in conditions):
        reason = "SchedulingGated"
    initializing = _initializing(pod)
    if initializing:
        reason = initializing
    else:
        reason = _running(status, reason)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in ("Failed", "Succeeded"):
            return "Terminating"
    return reason


def _initializing(pod: JsonObject) -> str:
    statuses = (pod.get("status") or {}).get("initContainerStatuses") or []
    specs = {each["name"]: each for each in pod["spec"].get("initContainers") or ()}
    for index, each in enumerate(statuses):
        state = each.get("state") or {}
        terminated = state.get("terminated")
        if terminated and terminated.get("exitCode", 0) == 0:
            continue
        if specs.get(each["name"], {}).get("restartPolicy") == "Always" and each.get("started"):
            continue
        if terminated:
            return f"Init:{_ended(terminated)}"
        waiting = (state.get("waiting") or {}).get("reason", "")
        if waiting and waiting != "PodInitializing":
            return f"Init:{waiting}"
        return f"Init:{index}/{len(specs)}"
    return ""


def _running(status: JsonObject, reason: str) -> str:
    has_running = False
    for each in reversed(status.get("containerStatuses") or []):
        state = each.get("state") or {}
        if waiting := (state.get("waiting") or {}).get("reason"):
            reason = waiting
        elif state.get("terminated"):
            reason = _ended(state["terminated"])
        elif each.get("ready") and "running" in state:
            has_running = True
    if reason == "Completed" and has_running:
        ready = any(
            each.get("type") == "Ready" and each.get("status") == "True" for each in status.get("conditions") or ()
        )
        return "Running" if ready else "NotReady"
    return reason


def _ended(terminated: JsonObject) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _restarts(status: JsonObject, now: datetime) -> str:
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    count = sum(each.get("restartCount", 0) for each in status.get("containerStatuses") or ())
    last = _last_end(statuses)
    return f"{count} ({human_duration(now - last)} ago)" if count and last else str(count)


def _last_end(statuses: Iterable[JsonObject]) -> datetime | None:
    ends = [
        moment
        for each in statuses
        if (moment := parse_timestamp(((each.get("lastState") or {}).get("terminated") or {}).get("finishedAt")))
    ]
    return max(ends, default=None)


def _met_gates(gates: list[JsonObject], status: JsonObject) -> int:
    true = {each.get("type") for each in status.get("conditions") or () if each.get("status") == "True"}
    return sum(1 for each in gates if each.get("conditionType") in true)
