"""What a node that has just started believes of a container, from the pod's status and from what still runs. Pure.

Rules, as the kubelet's after its own restart: what runs goes on with its status; what had ended for good stays ended;
what ran and is gone has ended with an unknown exit code and counts as one more restart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from rayfleet.local.node.container_state import ContainerState
from rayfleet.local.node.pod_status import ContainerView, Ended
from rayfleet.local.node.restarts import is_restarted

JsonObject = Mapping[str, Any]
UNKNOWN_EXIT_CODE = 137  # what the kubelet reports for a container whose end it did not see


def recalled_view(raw: JsonObject, status: JsonObject, running: ContainerState | None, policy: str) -> ContainerView:
    """Return the first view of a container; ``status`` is its entry in the pod's status, empty for a new pod."""
    view = ContainerView(name=raw["name"], image=raw.get("image", ""), waiting_reason="PodInitializing")
    state, count = status.get("state") or {}, int(status.get("restartCount") or 0)
    last = _ended((status.get("lastState") or {}).get("terminated"))
    if running is not None:
        is_same = count == running.restart_count and "running" in state
        return replace(
            view,
            started_at=running.started_at,
            restart_count=running.restart_count,
            last_ended=last,
            is_ready=is_same and bool(status.get("ready")),
            is_started=is_same and bool(status.get("started")),
            container_id=str(status.get("containerID") or "") if is_same else "",
        )
    ended = _ended(state.get("terminated")) or _lost(state.get("running"), status.get("containerID"))
    if ended is not None and not is_restarted(policy, ended.exit_code):
        return replace(view, ended=ended, last_ended=last, restart_count=count, waiting_reason="")
    if ended is not None:
        return replace(view, last_ended=ended, restart_count=count + 1)
    if last is not None:  # it was waiting for its next start
        return replace(view, last_ended=last, restart_count=count + 1)
    return view


def status_entry(pod: JsonObject, name: str) -> JsonObject:
    """Return a container's entry in the pod's status, init containers' too; empty when there is none."""
    status = pod.get("status") or {}
    entries: Sequence[JsonObject] = (
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    )
    return next((entry for entry in entries if entry["name"] == name), {})


def moment(text: str | None) -> datetime | None:
    """Return a time of the API; None for none or one that is no time."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None


def _ended(raw: JsonObject | None) -> Ended | None:
    if not raw:
        return None
    started, finished = moment(raw.get("startedAt")), moment(raw.get("finishedAt"))
    if started is None or finished is None:
        return None
    return Ended(
        exit_code=int(raw.get("exitCode") or 0),
        reason=str(raw.get("reason") or ""),
        message=str(raw.get("message") or ""),
        started_at=started,
        finished_at=finished,
    )


def _lost(running: JsonObject | None, container_id: str | None) -> Ended | None:
    """Return the end of a container that ran when it was last seen."""
    since = moment((running or {}).get("startedAt"))
    if since is None or not container_id:
        return None
    message = "it was gone when the node started again"
    return Ended(
        exit_code=UNKNOWN_EXIT_CODE,
        reason="ContainerStatusUnknown",
        message=message,
        started_at=since,
        finished_at=since,
    )
