"""A replica that is to go finishes its requests first: out of its Service, wait, then delete. Pure.

One write takes the head pod out: our label goes, by which the fleet's Service selects (KubeRay selects by its own), and
an annotation says since when. Everything else follows from the pod: whenever the controller dies, the next one sees who
is out and how long. A replica whose worker is evicted leaves the same way, while it still answers, and comes back when
it is ready with all its pods. Nothing is waited for that cannot be seen: no sidecar to ask, one that does not answer,
or a head that is not ready.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.model.resources import PODS
from rayfleet.objects.containers import name_of_container, port_numbers
from rayfleet.objects.labels import DRAINING_ANNOTATION, FLEET_LABEL
from rayfleet.objects.meta import is_terminating, label
from rayfleet.objects.pods import containers_of, is_finished, is_ready
from rayfleet.objects.ray_spec import has_autoscaler, head_group, pod_template
from rayfleet.objects.times import encode_micro_time
from rayfleet.planning.replica_set.clock import is_ahead
from rayfleet.planning.replica_set.replicas import Replica
from rayfleet.planning.sidecar import SIDECAR_NAME
from rayfleet.planning.writes import Event, Merge, ref_of

SETTLING = timedelta(seconds=2)
"""So long after a replica has left its Service a gateway may still send it requests: our choice."""
IDLE_LOOKS = 2
FAILED_LOOKS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """How far a replica that is to go has come: ``write`` takes it out of its Service now.

    Without one it waits ``look_again`` at most; None: it may be deleted.
    """

    write: Merge | None = None
    look_again: timedelta | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be waited for any more."""
        return self.write is None and self.look_again is None


def leave(replica: Replica, replica_set: ReplicaSet, now: datetime) -> Leave:
    """Return the next step of a replica that is to be deleted."""
    timeout = timedelta(seconds=replica_set.spec.drain.timeout_seconds)
    head, since = replica.head, replica.withdrawn_since
    if not timeout or head is None or not is_ready(head) or is_terminating(head) or sidecar_port(head) is None:
        return Leave()
    if since is None:
        return Leave(write=_withdrawn(replica, head, now)) if label(head, FLEET_LABEL) else Leave()
    if is_ahead(since, now):
        return Leave(write=_withdrawn(replica, head, now))
    seen = replica.in_flight
    is_done = seen is not None and (seen.idle_looks >= IDLE_LOOKS or seen.failed_looks >= FAILED_LOOKS)
    left = since + timeout - now
    return Leave() if is_done or left <= timedelta(0) else Leave(look_again=left)


def stay(replica: Replica, replica_set: ReplicaSet, now: datetime, *, is_well: bool) -> Merge | None:
    """Return what puts a replica that is to stay into its Service or out of it, None: it is as it should be."""
    head = replica.head
    if head is None or is_terminating(head):
        return None
    if replica.withdrawn_since is not None:
        name = _fleet_of(replica_set)
        return _returned(replica, head, name) if is_well and not _loses_worker(replica) and name else None
    may_leave = replica_set.spec.drain.timeout_seconds and not has_autoscaler(replica_set.spec.template.spec)
    if may_leave and is_ready(head) and label(head, FLEET_LABEL) and _loses_worker(replica):
        return _withdrawn(replica, head, now)
    return None


def sidecar_port(head: ReadOnlyJson) -> int | None:
    """Return the port of the sidecar of a head pod, None without one; Ray's own container is none."""
    for container in containers_of(head)[1:]:
        ports = port_numbers(container)
        if name_of_container(container) == SIDECAR_NAME:
            return next(iter(ports), SIDECAR_PORT)
        if SIDECAR_PORT in ports:
            return SIDECAR_PORT
    return None


def _loses_worker(replica: Replica) -> bool:
    return any(is_terminating(pod) and not is_finished(pod) for pod in replica.workers)


def _fleet_of(replica_set: ReplicaSet) -> str:
    """Return the fleet's name as heads carry it, empty without one."""
    return label(pod_template(head_group(replica_set.spec.template.spec)), FLEET_LABEL)


def _withdrawn(replica: Replica, head: ReadOnlyJson, now: datetime) -> Merge:
    event = Event(reason="Draining", message=f"Took RayCluster {replica.name} out of its Service")
    return _marked(head, None, encode_micro_time(now), event)


def _returned(replica: Replica, head: ReadOnlyJson, fleet: str) -> Merge:
    event = Event(reason="BackInService", message=f"Put RayCluster {replica.name} back into its Service")
    return _marked(head, fleet, None, event)


def _marked(head: ReadOnlyJson, fleet: str | None, since: str | None, event: Event) -> Merge:
    patch: Json = {"metadata": {"labels": {FLEET_LABEL: fleet}, "annotations": {DRAINING_ANNOTATION: since}}}
    return Merge(resource=PODS, ref=ref_of(head), patch=patch, event=event)
