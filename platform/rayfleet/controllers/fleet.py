"""The fleet controller: replica sets, Service and disruption budget of each RayClusterFleet.

What it reads and what wakes it; the decisions are ``rayfleet.planning``'s, the writes the executor's.
"""

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import takewhile

from rayfleet.controllers.fleet_source import FleetSources, renewed_source
from rayfleet.controllers.reach import fleets_of_slice, reachable_of
from rayfleet.controllers.route import fleets_of_route, observed_route_of, other_fleets_of_model
from rayfleet.controllers.warm_up import observed_warm_up
from rayfleet.kube.watches import Reflectors, Stores
from rayfleet.manifest.fleet import decode_fleet_status
from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.manifest.replica_set import decode_replica_set, renewed_replica_set
from rayfleet.model.errors import ManifestError
from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.policies import RouteDefaults
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    FLEETS,
    HTTP_ROUTES,
    PODS,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SERVICES,
)
from rayfleet.objects.meta import decode_meta, key_of, labels_of, namespace_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.planning.claims import Claims, claims_of
from rayfleet.planning.fleet.claimant import fleet_claimant, might_claim
from rayfleet.planning.fleet.overlap import overlapping, selected_pairs, template_label_pairs
from rayfleet.planning.fleet.plan import WRITES, plan_fleet, plan_invalid_fleet
from rayfleet.planning.fleet.revisions import revision_names
from rayfleet.planning.observed import ObservedFleet, ObservedInvalidFleet
from rayfleet.planning.plan import FleetPlan
from rayfleet.planning.route.users import bears_on_routes
from rayfleet.planning.writes import WriteFailure
from rayfleet.reconciling.confirming import Server, confirmed
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, owner_key, primary

AnyObservedFleet = ObservedFleet | ObservedInvalidFleet
OPTIONAL = (DISRUPTION_BUDGETS,)
"""Kinds that a cluster may lack; a plan is told so."""


def fleet_steps(
    stores: Stores, sources: FleetSources, server: Server, routes: RouteDefaults | None = None
) -> Steps[AnyObservedFleet]:
    """Return the read and the decision for fleets.

    ``server`` is asked only before replica sets are taken, or made anew where there is none any more.
    """

    def observe(raw: ReadOnlyJson) -> AnyObservedFleet | Awaitable[AnyObservedFleet]:
        observed = observed_fleet(raw, stores, sources, routes)
        if isinstance(observed, ObservedFleet) and (observed.claims.taken or _has_lost_all(observed)):
            return confirmed(observed, raw, FLEETS, server)
        return observed

    return Steps(
        find=stores.store(FLEETS).get,
        observe=observe,
        plan=_plan,
        with_failure=_with_failure,
        writes=WRITES,
    )


def fleet_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes a fleet: itself, its replica sets, their Ray clusters, what it owns or would own."""
    return (
        primary(reflectors[FLEETS]),
        Watch(reflector=reflectors[REPLICA_SETS], keys=lambda raw: _fleets_of_replica_set(raw, reflectors)),
        Watch(reflector=reflectors[RAY_CLUSTERS], keys=lambda raw: _fleets_of_ray_cluster(raw, reflectors)),
        Watch(reflector=reflectors[SERVICES], keys=owner_key(FLEETS.kind)),
        Watch(
            reflector=reflectors[ENDPOINT_SLICES], keys=lambda raw: fleets_of_slice(raw, reflectors), is_optional=True
        ),
        Watch(reflector=reflectors[PODS], keys=owner_key(FLEETS.kind), is_optional=True),
        Watch(reflector=reflectors[DISRUPTION_BUDGETS], keys=owner_key(FLEETS.kind), is_optional=True),
        Watch(reflector=reflectors[HTTP_ROUTES], keys=lambda raw: fleets_of_route(raw, reflectors), is_optional=True),
        Watch(
            reflector=reflectors[FLEETS],
            keys=lambda raw: other_fleets_of_model(raw, reflectors),
            matters=bears_on_routes,
        ),
    )


def replica_sets_of(key: ObjectKey, stores: Stores) -> Iterable[ObjectKey]:
    """Return the keys of the replica sets that the fleet of a key controls.

    What their controller makes by a size that they no longer have takes places that no store shows: a fleet that grew
    another one meanwhile would have more Ray clusters at once than it may.
    """
    fleet = stores.store(FLEETS).get(key)
    return () if fleet is None else map(key_of, stores.store(REPLICA_SETS).by_owner(uid_of(fleet)))


def observed_fleet(
    raw: ReadOnlyJson, stores: Stores, sources: FleetSources, routes: RouteDefaults | None = None
) -> AnyObservedFleet:
    """Return everything that a plan for the fleet needs, from the stores only. No effect."""
    uid = uid_of(raw)
    try:
        source = stores.store(FLEETS).decoded(raw, sources.decoded, renewed_source)
        fleet, identity = source.fleet, source.identity
        store = stores.store(REPLICA_SETS)
        owned = store.by_owner(uid)
        claims = _claims(fleet, owned, stores)
        kept = (each for each in owned if each not in claims.let_go)
        replica_sets = tuple(store.decoded(each, decode_replica_set, renewed_replica_set) for each in kept)
    except ManifestError as error:
        return _observed_invalid(raw, error, stores)
    ray_clusters = _ray_clusters(replica_sets, stores)
    uids = (cluster.meta.uid for of_one in ray_clusters.values() for cluster in of_one)
    return ObservedFleet(
        fleet=fleet,
        manifest=raw,
        template=source.template,
        identity=identity,
        notes=source.notes,
        replica_sets=replica_sets,
        taken_names=_taken_names(fleet, identity, stores),
        ray_clusters=ray_clusters,
        claims=claims,
        overlapping=_overlapping(fleet, source.template, stores),
        services=tuple(stores.store(SERVICES).by_owner(uid)),
        budgets=tuple(stores.store(DISRUPTION_BUDGETS).by_owner(uid)),
        reachable=reachable_of(fleet.meta, uids, stores),
        route=observed_route_of(raw, stores, routes or RouteDefaults()),
        absences=stores.absences(OPTIONAL),
        warm_up=observed_warm_up(fleet, source.template, identity, replica_sets, stores, sources.engines),
        warm_up_pods=tuple(stores.store(PODS).by_owner(uid)),
        overlay=source.overlay,
    )


def _observed_invalid(raw: ReadOnlyJson, error: ManifestError, stores: Stores) -> ObservedInvalidFleet:
    left = tuple(_decodable(stores.store(REPLICA_SETS).by_owner(uid_of(raw))))
    return ObservedInvalidFleet(
        meta=decode_meta(raw),
        status=decode_fleet_status(raw.get("status")),
        error=error,
        replica_sets=left,
        ray_clusters=_ray_clusters(left, stores),
    )


def _plan(observed: AnyObservedFleet, now: datetime) -> FleetPlan:
    if isinstance(observed, ObservedInvalidFleet):
        return plan_invalid_fleet(observed, now)
    plan = plan_fleet(observed, now)
    return replace(plan, events=(*plan.events, *observed.notes))


def _with_failure(observed: AnyObservedFleet, failure: WriteFailure) -> AnyObservedFleet:
    """Return what was read, with the refused write; an invalid fleet writes nothing that could tell of it."""
    return observed if isinstance(observed, ObservedInvalidFleet) else replace(observed, failure=failure)


def _has_lost_all(observed: ObservedFleet) -> bool:
    """Whether a fleet that was seen to is to get a first replica set: it may itself be gone, and the store behind."""
    fleet = observed.fleet
    is_to_act = fleet.meta.deleted_at is None and not fleet.spec.paused
    return not observed.replica_sets and is_to_act and fleet.status.observed_generation > 0


def _claims(fleet: Fleet, owned: Sequence[ReadOnlyJson], stores: Stores) -> Claims:
    """Return which replica sets change hands; one that cannot be read is not taken."""
    claims = claims_of(fleet_claimant(fleet), owned, stores.store(REPLICA_SETS).orphans(fleet.meta.namespace))
    return replace(claims, taken=tuple(raw for raw in claims.taken if any(_decodable((raw,)))))


def _decodable(replica_sets: Iterable[ReadOnlyJson]) -> Iterable[ReplicaSet]:
    for raw in replica_sets:
        try:
            yield decode_replica_set(raw)
        except ManifestError:  # may be the very reason; the error of the fleet names it
            continue


def _overlapping(fleet: Fleet, template: RayClusterTemplate, stores: Stores) -> tuple[str, ...]:
    """Return the fleets that the fleet has to speak of: looked for among those with its rarest label."""
    store, pairs = stores.store(FLEETS), selected_pairs(fleet)
    if not pairs:
        return overlapping(fleet, template.labels, store.list(fleet.meta.namespace))
    rarest = min(pairs, key=lambda pair: store.count(template_label_pairs, pair))
    return overlapping(fleet, template.labels, store.by(template_label_pairs, rarest))


def _taken_names(fleet: Fleet, identity: str, stores: Stores) -> frozenset[str]:
    """Return the names that a new replica set would get and that are there, up to the first that is free."""
    store = stores.store(REPLICA_SETS)

    def is_taken(name: str) -> bool:
        return store.get(ObjectKey(namespace=fleet.meta.namespace, name=name)) is not None

    return frozenset(takewhile(is_taken, revision_names(fleet, identity)))


def _ray_clusters(replica_sets: Iterable[ReplicaSet], stores: Stores) -> Mapping[str, tuple[RayCluster, ...]]:
    store = stores.store(RAY_CLUSTERS)
    return {
        replica_set.meta.uid: tuple(
            store.decoded(raw, decode_ray_cluster) for raw in store.by_owner(replica_set.meta.uid)
        )
        for replica_set in replica_sets
    }


def _fleets_of_replica_set(raw: ReadOnlyJson, reflectors: Reflectors) -> Iterable[ObjectKey]:
    """Yield the fleet that controls a replica set; of one that nobody controls, all that might take it."""
    if controller_uid(raw) is not None:
        yield from owner_key(FLEETS.kind)(raw)
        return
    for fleet in reflectors.store(FLEETS).list(namespace_of(raw)):
        if might_claim(fleet, labels_of(raw)):
            yield key_of(fleet)


def _fleets_of_ray_cluster(raw: ReadOnlyJson, reflectors: Reflectors) -> Iterable[ObjectKey]:
    """Yield the fleet of the replica set that controls a Ray cluster."""
    for key in owner_key(REPLICA_SETS.kind)(raw):
        replica_set = reflectors.store(REPLICA_SETS).get(key)
        if replica_set is not None:
            yield from owner_key(FLEETS.kind)(replica_set)
