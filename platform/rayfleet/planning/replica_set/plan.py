"""Keep a replica set at its size: create the missing Ray clusters, delete the surplus, say how it stands. Pure.

As the ReplicaSet controller of Kubernetes, with one difference: a Ray cluster that is on its way out keeps its place
until it is gone when it asks for accelerators, so two sets of them are never held by accident. A broken one keeps its
place too: it is counted, never left behind. The spec of a Ray cluster is never changed: it is taken or let go (its
owner), made and deleted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count

from rayfleet.manifest.replica_set import encode_replica_set_status
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.events import EventType
from rayfleet.model.fleet import ReplicaSet, ReplicaSetStatus
from rayfleet.model.json import Json
from rayfleet.model.propagation import Propagation
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.resources import RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.conditions import (
    Conditions,
    find_condition,
    new_condition,
    observed_at,
    with_condition,
    without_condition,
)
from rayfleet.objects.labels import DELETION_COST_ANNOTATION, TEMPLATE_HASH_ANNOTATION
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.availability import Availability, availability_of
from rayfleet.planning.claims import Claimant, claim_writes
from rayfleet.planning.names import ray_cluster_name
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica.state import replica_states
from rayfleet.planning.replica.summary import write_may_wait
from rayfleet.planning.writes import (
    NAME_MARK,
    Action,
    Delete,
    Event,
    Verb,
    WriteFailure,
    in_batches,
    permissions,
    ref_to,
    status_permission,
    status_replaced,
)

REPLICA_FAILURE = "ReplicaFailure"
WRITES = permissions(RAY_CLUSTERS, Verb.CREATE, Verb.PATCH, Verb.DELETE) | {status_permission(REPLICA_SETS)}
"""All that a plan for a replica set may write; Roles and tests read it."""
_CREATED = Event(reason="SuccessfulCreate", message=f"Created RayCluster {NAME_MARK}")
_DELETED = Event(reason="SuccessfulDelete", message=f"Deleted RayCluster {NAME_MARK}")
_BURST = 500  # creates of one pass at most, as Kubernetes' burstReplicas


def plan_replica_set(observed: ObservedReplicaSet, now: datetime) -> ReplicaSetPlan:
    """Return what to do now for one replica set; one that is being deleted gets its status alone.

    When Ray clusters change hands, that is all: what follows is decided on what is then its own.
    """
    replica_set = observed.replica_set
    if observed.claims and observed.failure is None:
        writes = claim_writes(replica_set_claimant(replica_set), observed.claims, RAY_CLUSTERS)
        return ReplicaSetPlan(actions=tuple(writes), status=replica_set.status)
    min_ready = timedelta(seconds=replica_set.spec.min_ready_seconds)
    active = [cluster for cluster in observed.ray_clusters if not cluster.is_terminating]
    availability = availability_of(active, replica_set.status.ready_since, min_ready, now)
    status, wait = _written_status(replica_set.status, _status(observed, active, availability, now), now)
    actions: list[Action] = []
    if replica_set.meta.deleted_at is None and observed.failure is None:
        missing = replica_set.spec.replicas - len(active)
        actions += _creations(observed, missing) if missing > 0 else _deletions(active, -missing)
    if encode_replica_set_status(status) != encode_replica_set_status(replica_set.status):
        actions.append(status_replaced(REPLICA_SETS, ref_to(replica_set.meta), encode_replica_set_status(status)))
    return ReplicaSetPlan(
        actions=tuple(actions),
        status=status,
        events=tuple(_failure_events(observed)),
        requeue_after=min((each for each in (availability.next_change, wait) if each is not None), default=None),
    )


def replica_set_claimant(replica_set: ReplicaSet) -> Claimant:
    """Return the replica set as a claimant of Ray clusters."""
    return Claimant(resource=REPLICA_SETS, meta=replica_set.meta, selector=replica_set.spec.selector)


def deletion_order(clusters: Sequence[RayCluster]) -> list[RayCluster]:
    """Return ``clusters`` with the one to delete first in front.

    Not ready before ready, lower ``pod-deletion-cost`` before higher, newer before older: the longest-serving one
    stays.
    """

    def rank(cluster: RayCluster) -> tuple[bool, int, float, str]:
        created = cluster.meta.created_at
        return cluster.is_ready, _deletion_cost(cluster), -(created.timestamp() if created else 0.0), cluster.meta.name

    return sorted(clusters, key=rank)


def _creations(observed: ObservedReplicaSet, missing: int) -> list[Action]:
    replica_set = observed.replica_set
    terminating = sum(cluster.is_terminating for cluster in observed.ray_clusters)
    if accelerators(replica_set.spec.template.spec):
        missing -= terminating
    taken = observed.taken_names | {cluster.meta.name for cluster in observed.ray_clusters}
    free = (name for ordinal in count() if (name := ray_cluster_name(replica_set.meta, ordinal)) not in taken)
    manifests = [_manifest(replica_set, next(free)) for _ in range(min(missing, _BURST))]
    return list(in_batches(RAY_CLUSTERS, manifests, _CREATED))


def _manifest(replica_set: ReplicaSet, name: str) -> Json:
    template = replica_set.spec.template
    annotations = dict(template.annotations)
    identity = replica_set.meta.annotations.get(TEMPLATE_HASH_ANNOTATION)
    if identity:
        annotations[TEMPLATE_HASH_ANNOTATION] = identity
    return {
        "apiVersion": RAY_CLUSTERS.api_version,
        "kind": RAY_CLUSTERS.kind,
        "metadata": {
            "name": name,
            "namespace": replica_set.meta.namespace,
            "labels": dict(template.labels),
            "annotations": annotations,
            "ownerReferences": [controller_reference(REPLICA_SETS, replica_set.meta.name, replica_set.meta.uid)],
        },
        "spec": template.spec,
    }


def _deletions(active: Sequence[RayCluster], surplus: int) -> list[Action]:
    """Return the deletions, in the foreground: the object stays in the books until its pods are gone."""
    return [
        Delete(resource=RAY_CLUSTERS, ref=ref_to(victim.meta), propagation=Propagation.FOREGROUND, event=_DELETED)
        for victim in deletion_order(active)[:surplus]
    ]


def _deletion_cost(cluster: RayCluster) -> int:
    """Return the cost that the annotation names; 0 when it names none that can be read, as Kubernetes does."""
    try:
        return int(cluster.meta.annotations.get(DELETION_COST_ANNOTATION, "0"))
    except ValueError:
        return 0


def _status(
    observed: ObservedReplicaSet, active: Sequence[RayCluster], availability: Availability, now: datetime
) -> ReplicaSetStatus:
    replica_set = observed.replica_set
    labels = replica_set.spec.template.labels.items()
    return ReplicaSetStatus(
        observed_generation=replica_set.meta.generation,
        replicas=len(active),
        fully_labeled_replicas=sum(labels <= cluster.meta.labels.items() for cluster in active),
        ready_replicas=len(availability.since),
        available_replicas=len(availability.available),
        terminating_replicas=len(observed.ray_clusters) - len(active),
        ready_since=availability.since,
        conditions=observed_at(_conditions(observed, active, now), replica_set.meta.generation),
        replica_states=replica_states(observed, now),
    )


def _written_status(
    before: ReplicaSetStatus, after: ReplicaSetStatus, now: datetime
) -> tuple[ReplicaSetStatus, timedelta | None]:
    """Return the status to write now; without the newest states when these alone differ and may wait so long."""
    held = replace(after, replica_states=before.replica_states)
    wait = write_may_wait(before.replica_states, after.replica_states, now)
    if wait is None or after == held or encode_replica_set_status(held) != encode_replica_set_status(before):
        return after, None
    return held, wait


def _conditions(observed: ObservedReplicaSet, active: Sequence[RayCluster], now: datetime) -> Conditions:
    conditions = observed.replica_set.status.conditions
    broken = next((cluster for cluster in active if cluster.failure), None)
    if observed.failure is not None:
        reason, message = _failure_reason(observed.failure), observed.failure.message
    elif broken is not None:
        reason, message = "RayClusterFailure", f"RayCluster {broken.meta.name}: {broken.failure}"
    else:
        return without_condition(conditions, REPLICA_FAILURE)
    return with_condition(conditions, new_condition(REPLICA_FAILURE, ConditionStatus.TRUE, reason, message, now))


def _failure_reason(failure: WriteFailure) -> str:
    return "FailedDelete" if isinstance(failure.action, Delete) else "FailedCreate"


def _failure_events(observed: ObservedReplicaSet) -> Iterator[Event]:
    """Yield the refusal once: not again while the condition already says the same."""
    failure = observed.failure
    if failure is None:
        return
    earlier = find_condition(observed.replica_set.status.conditions, REPLICA_FAILURE)
    if earlier is None or earlier.message != failure.message:
        yield Event(type=EventType.WARNING, reason=_failure_reason(failure), message=failure.message)
