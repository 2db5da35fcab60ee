"""Which replica goes first when there are too many. Pure.

As ReplicaSet's ``ActivePodsWithRanks`` (Kubernetes, pkg/controller/controller_utils.go), for whole Ray clusters: what
serves least and costs least to lose goes first.
"""

from collections.abc import Iterable, Mapping

from rayfleet.model.ray_cluster import RayCluster
from rayfleet.objects.labels import DELETION_COST_ANNOTATION
from rayfleet.objects.pods import node_name, phase_of
from rayfleet.planning.replica_set.replicas import Replica

_PHASES: Mapping[str, int] = {"Pending": 0, "": 0, "Unknown": 1}
_RUNNING = 2


def deletion_order(replicas: Iterable[Replica], given_up: frozenset[str] = frozenset()) -> list[Replica]:
    """Return replicas with the one to delete first in front; ``given_up`` are names of those that go anyway.

    Given up or out of their Service before others, then: not scheduled, pods pending, not ready, a lower
    ``pod-deletion-cost``, fewer requests in flight where that is known, younger.
    """

    def rank(replica: Replica) -> tuple[bool, bool, bool, int, bool, int, int, float, str]:
        created = replica.cluster.meta.created_at
        return (
            replica.name not in given_up,
            replica.withdrawn_since is None,
            _is_scheduled(replica),
            min((_PHASES.get(phase_of(pod), _RUNNING) for pod in replica.pods), default=_RUNNING),
            replica.cluster.is_ready,
            _deletion_cost(replica.cluster),
            replica.in_flight.requests if replica.in_flight is not None else 0,
            -(created.timestamp() if created else 0.0),
            replica.name,
        )

    return sorted(replicas, key=rank)


def _is_scheduled(replica: Replica) -> bool:
    """Whether all its pods have a node; where no pods can be seen it counts so."""
    return replica.cluster.is_ready or all(node_name(pod) for pod in replica.pods)


def _deletion_cost(cluster: RayCluster) -> int:
    """Return the cost that the annotation names; 0 when it names none that can be read, as Kubernetes does."""
    try:
        return int(cluster.meta.annotations.get(DELETION_COST_ANNOTATION, "0"))
    except ValueError:
        return 0
