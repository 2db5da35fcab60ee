"""The replica set controller: the Ray clusters of each RayClusterReplicaSet.

What it reads and what wakes it; the decisions are ``rayfleet.planning``'s, the writes the executor's. Children are
chosen by the UID of their controller, never by labels: two fleets with overlapping labels do not count each other's.
"""

from collections.abc import Iterable
from dataclasses import replace

from rayfleet.controllers.caches import Caches
from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.owners import controller_uid
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, owner_key


def replica_set_steps(caches: Caches) -> Steps[ObservedReplicaSet]:
    """Return the read and the decision for replica sets."""
    return Steps(
        store=caches.store(REPLICA_SETS),
        observe=lambda raw: observed_replica_set(raw, caches),
        plan=plan_replica_set,
        with_failure=lambda observed, failure: replace(observed, failure=failure),
    )


def replica_set_watches(caches: Caches) -> tuple[Watch, ...]:
    """Return what else wakes a replica set: its Ray clusters."""
    return (Watch(reflector=caches.reflectors[RAY_CLUSTERS], keys=owner_key(REPLICA_SETS.kind)),)


def observed_replica_set(raw: ReadOnlyJson, caches: Caches) -> ObservedReplicaSet:
    """Return everything that a plan for the replica set needs, from the stores only.

    No effect. Raises ManifestError.
    """
    replica_set = decode_replica_set(raw)
    store = caches.store(RAY_CLUSTERS)
    return ObservedReplicaSet(
        replica_set=replica_set,
        ray_clusters=tuple(decode_ray_cluster(each) for each in store.by_owner(replica_set.meta.uid)),
        taken_names=frozenset(
            _others_names(replica_set.meta.name, replica_set.meta.uid, store.list(replica_set.meta.namespace))
        ),
    )


def _others_names(name: str, uid: str, ray_clusters: Iterable[ReadOnlyJson]) -> Iterable[str]:
    """Yield the names of others' Ray clusters that could collide with children of the replica set ``name``."""
    for raw in ray_clusters:
        found = raw["metadata"]["name"]
        if found.startswith(f"{name}-") and controller_uid(raw) != uid:
            yield found
