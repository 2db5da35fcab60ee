"""What a node that has just started believes of a pod, from its status and from what still runs. Pure.

Rules, as the kubelet's after its own restart: what runs goes on with its status; what had ended for good stays ended;
what ran and is gone has ended with an unknown exit code and counts as one more restart.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from rayfleet.local.node.container_state import ContainerState
from rayfleet.local.node.lifecycle import UNKNOWN_EXIT_CODE, ContainerPolicy, begun, is_over
from rayfleet.local.node.pod_lifecycle import container_policy
from rayfleet.local.node.views import (
    ContainerView,
    Ended,
    Fate,
    PodView,
    Running,
    Waiting,
    container_id,
    container_mark,
)
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import uid_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import container_statuses, init_container_statuses, last_terminated_of, terminated_of
from rayfleet.objects.times import decode_time


def recalled_pod(pod: ReadOnlyJson, running: Mapping[str, ContainerState], address: str, now: datetime) -> PodView:
    """Return the first view of a pod; ``running`` are its containers that still run, by name.

    Where nothing runs any more the pod begins anew, init containers included, as the kubelet does without its sandbox.
    Init containers of a pod that is past them must have succeeded.
    """
    spec = pod["spec"]
    main = tuple(_recalled(pod, each, running, is_init=False) for each in spec["containers"])
    init = tuple(
        _recalled(pod, each, running, is_init=True)
        if running
        else ContainerView(name=each["name"], image=each.get("image", ""))
        for each in spec.get("initContainers") or ()
    )
    restart = spec.get("restartPolicy", "Always")
    is_past_init = any(isinstance(each.state, Running) for each in main) or all(is_over(each, restart) for each in main)
    return PodView(
        address=address,
        started_at=decode_time(part(pod, "status").get("startTime")) or now,
        init_containers=tuple(_succeeded(each, now) for each in init) if is_past_init else init,
        containers=main,
        restart_policy=restart,
        fate=Fate.LIVES,
    )


def recalled_view(
    container: ReadOnlyJson, status: ReadOnlyJson, running: ContainerState | None, policy: ContainerPolicy, mark: str
) -> ContainerView:
    """Return the first view of a container; ``status`` is its entry in the pod's status, empty for a new pod.

    A run that the status does not know yet (the node died before it was written) is as ready as one that begins.
    """
    count, running_now = int(status.get("restartCount") or 0), part(status, "state", "running")
    last = _ended(last_terminated_of(status))
    view = ContainerView(name=container["name"], image=container.get("image", ""), restart_count=count, last_ended=last)
    if running is not None:
        run = running.restart_count
        fresh = begun(view, run, container_id(mark, run), policy.probes, running.started_at)
        if count != run or not running_now:
            return fresh
        return replace(fresh, is_ready=bool(status.get("ready")), is_started=bool(status.get("started")))
    ended = _ended(terminated_of(status)) or _lost(running_now, status.get("containerID"))
    if ended is None:  # it never ran, or it waited for its next start
        return replace(view, restart_count=count if last else 0)
    over = replace(view, state=ended, is_ready=policy.is_init and ended.exit_code == 0)
    return over if is_over(over, policy.restart) else replace(view, state=Waiting(), last_ended=ended)


def status_entry(pod: ReadOnlyJson, name: str) -> ReadOnlyJson:
    """Return a container's entry in the pod's status, init containers' too; empty when there is none."""
    entries = (*init_container_statuses(pod), *container_statuses(pod))
    return next((entry for entry in entries if entry["name"] == name), {})


def _recalled(
    pod: ReadOnlyJson, container: ReadOnlyJson, running: Mapping[str, ContainerState], *, is_init: bool
) -> ContainerView:
    name = container["name"]
    policy = container_policy(pod, container, is_init=is_init)
    mark = container_mark(uid_of(pod), name)
    return recalled_view(container, status_entry(pod, name), running.get(name), policy, mark)


def _succeeded(view: ContainerView, now: datetime) -> ContainerView:
    done = Ended(exit_code=0, reason="Completed", started_at=now, finished_at=now)
    return replace(view, state=view.state if view.has_succeeded else done, is_ready=True)


def _ended(raw: ReadOnlyJson) -> Ended | None:
    started, finished = decode_time(raw.get("startedAt")), decode_time(raw.get("finishedAt"))
    if started is None or finished is None:
        return None
    return Ended(
        exit_code=int(raw.get("exitCode") or 0),
        reason=str(raw.get("reason") or ""),
        message=str(raw.get("message") or ""),
        started_at=started,
        finished_at=finished,
    )


def _lost(running: ReadOnlyJson, container_id: str | None) -> Ended | None:
    """Return the end of a container that ran when it was last seen."""
    since = decode_time(running.get("startedAt"))
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
