"""One replica as a plan for its replica set sees it: its Ray cluster, place, pods, and what was noted of it. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import FORMING_TIMED_OUT, ReplicaPhase, ReplicaState
from rayfleet.objects.labels import DRAINING_ANNOTATION
from rayfleet.objects.meta import annotation
from rayfleet.objects.pods import is_head, is_worker
from rayfleet.objects.times import decode_time
from rayfleet.planning.observed import InFlight, ObservedReplicaSet, SidecarWords
from rayfleet.planning.replica_set.places import places_of

_AFTER_READY = frozenset({ReplicaPhase.READY, ReplicaPhase.BROKEN, ReplicaPhase.DRAINING, ReplicaPhase.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """``before`` is its entry in the replica set's status. ``pods`` is empty too where pods cannot be watched."""

    cluster: RayCluster
    place: int
    pods: tuple[ReadOnlyJson, ...] = ()
    before: ReplicaState | None = None
    in_flight: InFlight | None = None
    words: SidecarWords | None = None
    noted_ready_since: datetime | None = None

    @property
    def uid(self) -> str:
        """The Ray cluster's UID."""
        return self.cluster.meta.uid

    @property
    def name(self) -> str:
        """The Ray cluster's name."""
        return self.cluster.meta.name

    @property
    def phase_before(self) -> ReplicaPhase | None:
        """The phase that was noted last."""
        return self.before.phase if self.before is not None else None

    @property
    def reason_before(self) -> str:
        """The reason that was noted last."""
        return self.before.reason if self.before is not None else ""

    @property
    def noted_life(self) -> str:
        """Which life of its pods was ready last, empty when none was noted."""
        return self.before.incarnation if self.before is not None else ""

    @property
    def was_ready(self) -> bool:
        """Whether it was ready at some time since its pods were last asked for: as noted, or by KubeRay's word.

        A note may come seconds later, and one that dies before it is to be rebuilt all the same.
        """
        if self.cluster.was_ready or self.noted_life or self.noted_ready_since is not None:
            return True
        return self.phase_before in _AFTER_READY and self.reason_before != FORMING_TIMED_OUT

    @property
    def head(self) -> ReadOnlyJson | None:
        """The head pod, None without one."""
        return next((pod for pod in self.pods if is_head(pod)), None)

    @property
    def workers(self) -> tuple[ReadOnlyJson, ...]:
        """The worker pods."""
        return tuple(pod for pod in self.pods if is_worker(pod))

    @property
    def withdrawn_since(self) -> datetime | None:
        """When its head was taken out of its Service, None when it is in it."""
        return decode_time(annotation(self.head, DRAINING_ANNOTATION)) if self.head is not None else None


def replicas_of(observed: ObservedReplicaSet) -> Iterator[Replica]:
    """Yield the replica of each Ray cluster, terminating ones included, in the order of the observation."""
    status = observed.replica_set.status
    states = {state.uid: state for state in status.replica_states}
    places = places_of(observed.ray_clusters)
    for cluster in observed.ray_clusters:
        uid = cluster.meta.uid
        yield Replica(
            cluster=cluster,
            place=places[uid],
            pods=observed.pods.get(uid, ()),
            before=states.get(uid),
            in_flight=observed.answers.in_flight.get(uid),
            words=observed.answers.words.get(uid),
            noted_ready_since=status.ready_since.get(uid),
        )
