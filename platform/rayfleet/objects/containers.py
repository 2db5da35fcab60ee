"""A pod's containers as their kubelet tells of them: in the order of the spec, decoded once. Pure.

Statuses may come in another order than the spec's, and a container may have none yet. Source: Kubernetes 1.36,
``ContainerStatus``, ``ContainerStateTerminated``; the words of a back-off are kubelet's, kuberuntime_manager.go
(doBackOff): it begins with the end of the run before, and no field says how long it is.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.durations import duration_seconds
from rayfleet.objects.meta import created_at
from rayfleet.objects.parts import mappings, part
from rayfleet.objects.pods import (
    container_statuses,
    init_container_statuses,
    last_terminated_of,
    terminated_of,
    waiting_of,
)
from rayfleet.objects.times import decode_time

BACK_OFF = "CrashLoopBackOff"
"""What a container waits for that is not started again before a pause is over."""
_LONGEST_PAUSE = 300.0  # seconds; no kubelet can be told to make it longer
_PAUSE = re.compile(r"back-off ([0-9hms.]{1,20}) restarting ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerEnd:
    """How one run of a container ended; ``signal`` is 0 when the runtime named none."""

    code: int
    signal: int = 0
    reason: str = ""
    message: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLife:
    """Where a container stands. ``end`` is that of its present run, ``last_end`` that of the run before.

    ``started_at`` is since when it runs. ``waits_for`` and ``wait_message`` are empty when it does not wait, or nobody
    has said for what.
    """

    name: str
    image: str = ""
    is_ready: bool = False
    is_running: bool = False
    started_at: datetime | None = None
    waits_for: str = ""
    wait_message: str = ""
    end: ContainerEnd | None = None
    last_end: ContainerEnd | None = None

    @property
    def has_ever_run(self) -> bool:
        """Whether it has been started at least once."""
        return self.is_running or self.end is not None or self.last_end is not None

    @property
    def pause(self) -> timedelta | None:
        """How long after its last end it is started again, None when it is in no back-off or nobody says how long."""
        words = _PAUSE.match(self.wait_message) if self.waits_for == BACK_OFF else None
        seconds = duration_seconds(words[1]) if words is not None else None
        return timedelta(seconds=min(seconds, _LONGEST_PAUSE)) if seconds is not None else None


def container_lives(pod: ReadOnlyJson) -> tuple[ContainerLife, ...]:
    """Return the containers that run together, the Ray container first."""
    return tuple(_lives(part(pod, "spec").get("containers"), container_statuses(pod)))


def started_at(pod: ReadOnlyJson, container: ContainerLife) -> datetime | None:
    """Return when a container's run began, None when none has.

    By its node's clock, but not before the pod was there: that is the API server's word.
    """
    if container.started_at is None:
        return None
    created = created_at(pod)
    return container.started_at if created is None else max(container.started_at, created)


def init_container_lives(pod: ReadOnlyJson) -> tuple[ContainerLife, ...]:
    """Return the init containers, in the order in which they run."""
    return tuple(_lives(part(pod, "spec").get("initContainers"), init_container_statuses(pod)))


def _lives(containers: object, statuses: Iterable[Json]) -> Iterator[ContainerLife]:
    by_name = {str(status.get("name", "")): status for status in statuses}
    for container in mappings(containers):
        name = str(container.get("name", ""))
        status = by_name.get(name, {})
        waiting = waiting_of(status)
        yield ContainerLife(
            name=name,
            image=str(container.get("image", "")),
            is_ready=bool(status.get("ready")),
            is_running="running" in part(status, "state"),
            started_at=decode_time(part(status, "state", "running").get("startedAt")),
            waits_for=str(waiting.get("reason") or ""),
            wait_message=str(waiting.get("message") or ""),
            end=_end(terminated_of(status)),
            last_end=_end(last_terminated_of(status)),
        )


def _end(terminated: ReadOnlyJson) -> ContainerEnd | None:
    if not terminated:
        return None
    return ContainerEnd(
        code=int(terminated.get("exitCode") or 0),
        signal=int(terminated.get("signal") or 0),
        reason=str(terminated.get("reason") or ""),
        message=str(terminated.get("message") or ""),
        at=decode_time(terminated.get("finishedAt")),
    )


def port_numbers(container: ReadOnlyJson) -> list[int]:
    """Return the ports that a container of a spec names."""
    return [port["containerPort"] for port in mappings(container.get("ports")) if "containerPort" in port]


def name_of_container(container: ReadOnlyJson) -> str:
    """Return the name of a container of a spec."""
    return str(container.get("name") or "")
