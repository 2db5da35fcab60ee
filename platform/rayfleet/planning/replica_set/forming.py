"""Whether a replica that has never been ready is stuck between its containers and Ray. Pure.

Scheduling, pulling and loading take what they take, and the rollout's deadline is theirs. But once a container of every
pod has started, Ray has minutes to stand in all of them; when it does not (a GCS that hangs, a worker that waits for it
in KubeRay's ``wait-gcs-ready`` for ever), nothing below us tries again.
"""

from datetime import datetime

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.containers import container_lives, init_container_lives, started_at
from rayfleet.planning.replica_set.replicas import Replica


def stuck_since(replica: Replica) -> datetime | None:
    """Return since when all its pods have had a running container without Ray standing in all; None: it is not so."""
    if (
        len(replica.workers) < replica.cluster.expected_workers
        or replica.head is None
        or all(_stands(pod) for pod in replica.pods)
    ):
        return None
    starts = [_youngest_start(pod) for pod in replica.pods]
    known = [start for start in starts if start is not None]
    return max(known) if len(known) == len(starts) else None


def _stands(pod: ReadOnlyJson) -> bool:
    return any(container.is_ready for container in container_lives(pod)[:1])


def _youngest_start(pod: ReadOnlyJson) -> datetime | None:
    """Return when the youngest of the containers that run began: Ray's, or the init container that holds it back."""
    containers = (*container_lives(pod)[:1], *init_container_lives(pod))
    return max((start for each in containers if (start := started_at(pod, each)) is not None), default=None)
