"""The replica set controller: the Ray clusters of each RayClusterReplicaSet.

What it reads and what wakes it; the decisions are ``rayfleet.planning``'s, the writes the executor's. Children are
those of its UID; labels decide only who takes what nobody controls, so two fleets with overlapping labels do not count
each other's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from rayfleet.controllers.reach import reachable_of, replica_sets_of_slice
from rayfleet.controllers.sidecar_looks import SidecarLooks
from rayfleet.controllers.sidecar_questions import reasons_not_ready, requests_in_flight
from rayfleet.kube.client import KubeClient
from rayfleet.kube.store import Store
from rayfleet.kube.watches import Reflectors, Stores
from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.manifest.replica_set import decode_replica_set, renewed_replica_set
from rayfleet.manifest.template import decode_selector
from rayfleet.model.fleet import ReplicaSet, ReplicaSetStatus
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.resources import ENDPOINT_SLICES, FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.meta import key_of, labels_of, namespace_of
from rayfleet.objects.owners import controller_of, controller_uid, is_controlled_by
from rayfleet.objects.parts import part
from rayfleet.objects.selectors import selects
from rayfleet.planning.claims import claims_of
from rayfleet.planning.observed import ObservedReplicaSet, SidecarAnswers
from rayfleet.planning.replica_set.places import names_in_question, with_number
from rayfleet.planning.replica_set.plan import WRITES, plan_replica_set, replica_set_claimant
from rayfleet.reconciling.assembly import ControllerPart, Wake
from rayfleet.reconciling.confirming import Server, confirmed
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, owner_key, primary

REPLICA_SET = "replica-set"
"""The controller's name."""


def replica_set_steps(
    stores: Stores, server: Server, answers: Callable[[], SidecarAnswers]
) -> Steps[ObservedReplicaSet]:
    """Return the read and the decision for replica sets.

    ``server`` is asked only before Ray clusters are taken, or made anew where there is none any more; ``answers``
    returns those of sidecars up to now.
    """

    def observe(raw: ReadOnlyJson) -> ObservedReplicaSet | Awaitable[ObservedReplicaSet]:
        observed = observed_replica_set(raw, stores, answers())
        is_in_doubt = observed.claims.taken or _has_lost_all(observed)
        return confirmed(observed, raw, REPLICA_SETS, server) if is_in_doubt else observed

    def with_withheld(observed: ObservedReplicaSet, status: ReplicaSetStatus) -> ObservedReplicaSet:
        counted = with_number(observed.replica_set, status.incarnations)
        taken = frozenset(_others_names(counted, observed.ray_clusters, stores.store(RAY_CLUSTERS)))
        return replace(observed, number=status.incarnations, taken_names=taken)

    return Steps(
        find=stores.store(REPLICA_SETS).get,
        observe=observe,
        plan=plan_replica_set,
        with_failure=lambda observed, failure: replace(observed, failure=failure),
        with_withheld=with_withheld,
        writes=WRITES,
    )


def replica_set_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes a replica set: itself, its Ray clusters, their pods, and who of them requests can reach."""
    return (
        primary(reflectors[REPLICA_SETS]),
        Watch(reflector=reflectors[RAY_CLUSTERS], keys=lambda raw: _replica_sets_of_ray_cluster(raw, reflectors)),
        Watch(
            reflector=reflectors[PODS],
            keys=lambda raw: replica_sets_of_pod(raw, reflectors),
            matters=differ_beyond_version,
            is_optional=True,
        ),
        Watch(
            reflector=reflectors[ENDPOINT_SLICES],
            keys=lambda raw: replica_sets_of_slice(raw, reflectors),
            is_optional=True,
        ),
    )


def replica_set_part(reflectors: Reflectors, client: KubeClient) -> ControllerPart:
    """Return the whole controller, with the tasks that ask sidecars: for requests of drained replicas, for words."""
    in_flight = SidecarLooks(reflectors[PODS], requests_in_flight(), now=client.clock.now)
    words = SidecarLooks(reflectors[PODS], reasons_not_ready(), now=client.clock.now)

    def answers() -> SidecarAnswers:
        return SidecarAnswers(in_flight=in_flight.looks(), words=words.looks())

    async def ask_sidecars(wake: Wake) -> None:
        async with asyncio.TaskGroup() as tasks:
            for looks in (in_flight, words):
                tasks.create_task(looks.run(lambda head: _wake_all(wake, replica_sets_of_pod(head, reflectors))))

    return ControllerPart(
        name=REPLICA_SET,
        steps=replica_set_steps(reflectors, client, answers),
        watches=replica_set_watches(reflectors),
        beside=ask_sidecars,
    )


def observed_replica_set(raw: ReadOnlyJson, stores: Stores, answers: SidecarAnswers) -> ObservedReplicaSet:
    """Return everything that a plan for the replica set needs, from the stores and ``answers`` only.

    No effect. Raises ManifestError.
    """
    replica_set = stores.store(REPLICA_SETS).decoded(raw, decode_replica_set, renewed_replica_set)
    store, pods = stores.store(RAY_CLUSTERS), stores.store(PODS)
    owned = store.by_owner(replica_set.meta.uid)
    claims = claims_of(replica_set_claimant(replica_set), owned, store.orphans(replica_set.meta.namespace))
    ray_clusters = tuple(store.decoded(each, decode_ray_cluster) for each in owned if each not in claims.let_go)
    return ObservedReplicaSet(
        replica_set=replica_set,
        ray_clusters=ray_clusters,
        claims=claims,
        taken_names=frozenset(_others_names(replica_set, ray_clusters, store)),
        reachable=_reachable(raw, (cluster.meta.uid for cluster in ray_clusters), stores),
        pods={cluster.meta.uid: tuple(pods.by_owner(cluster.meta.uid)) for cluster in ray_clusters},
        pods_absence=stores.absences((PODS,)).get(PODS),
        answers=_answers_of(ray_clusters, answers),
    )


def _has_lost_all(observed: ObservedReplicaSet) -> bool:
    """Whether one that had Ray clusters is to get a first one: it may itself be gone, and the store behind."""
    replica_set = observed.replica_set
    is_to_act = replica_set.meta.deleted_at is None and replica_set.spec.replicas > 0
    return not observed.ray_clusters and is_to_act and replica_set.status.replicas > 0


def _answers_of(ray_clusters: Sequence[RayCluster], answers: SidecarAnswers) -> SidecarAnswers:
    uids = [cluster.meta.uid for cluster in ray_clusters]
    return SidecarAnswers(
        in_flight={uid: answers.in_flight[uid] for uid in uids if uid in answers.in_flight},
        words={uid: answers.words[uid] for uid in uids if uid in answers.words},
    )


def _reachable(replica_set: ReadOnlyJson, ray_clusters: Iterable[str], stores: Stores) -> frozenset[str] | None:
    owner = controller_of(replica_set)
    if owner is None or owner.kind != FLEETS.kind:
        return None
    return reachable_of(ObjectMeta(name=owner.name, uid=owner.uid), ray_clusters, stores)


def differ_beyond_version(old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> bool:
    """Whether a stored object changed in anything that the store holds of it (probes and kubelets write the rest)."""
    return old is None or new is None or _without_version(old) != _without_version(new)


def replica_sets_of_pod(pod: ReadOnlyJson, stores: Stores) -> Iterable[ObjectKey]:
    """Yield the replica set that controls the Ray cluster that controls a pod."""
    for key in owner_key(RAY_CLUSTERS.kind)(pod):
        ray_cluster = stores.store(RAY_CLUSTERS).get(key)
        if ray_cluster is not None:
            yield from owner_key(REPLICA_SETS.kind)(ray_cluster)


def _wake_all(wake: Wake, keys: Iterable[ObjectKey]) -> None:
    for key in keys:
        wake(key)


def _without_version(raw: ReadOnlyJson) -> Json:
    meta = {name: value for name, value in part(raw, "metadata").items() if name != "resourceVersion"}
    return {**raw, "metadata": meta}


def _replica_sets_of_ray_cluster(raw: ReadOnlyJson, reflectors: Reflectors) -> Iterable[ObjectKey]:
    """Yield the replica set that controls a Ray cluster; of one that nobody controls, all that might take it."""
    if controller_uid(raw) is not None:
        yield from owner_key(REPLICA_SETS.kind)(raw)
        return
    for replica_set in reflectors.store(REPLICA_SETS).list(namespace_of(raw)):
        if selects(decode_selector(part(replica_set, "spec", "selector")), labels_of(raw)):
            yield key_of(replica_set)


def _others_names(replica_set: ReplicaSet, ray_clusters: Sequence[RayCluster], store: Store) -> Iterator[str]:
    """Yield the names that a plan may want to give, and that others' Ray clusters have."""
    for name in names_in_question(replica_set, ray_clusters):
        raw = store.get(ObjectKey(namespace=replica_set.meta.namespace, name=name))
        if raw is not None and not is_controlled_by(raw, replica_set.meta.uid):
            yield name
