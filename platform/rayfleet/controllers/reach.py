"""Which Ray clusters requests can reach: from a fleet's Service, its EndpointSlices and the pods behind them. An edge.

Nobody can tell where the fleet has no Service of ours, where nobody makes slices for it (a slice is there from the
Service's first moment on), or where slices or pods cannot be read: then ready is all that availability asks.
"""

from collections.abc import Iterable, Iterator

from rayfleet.kube.watches import Stores
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.model.resources import ENDPOINT_SLICES, FLEETS, PODS, REPLICA_SETS, SERVICES
from rayfleet.objects.meta import key_of, name_of, uid_of
from rayfleet.planning.availability import reachable_clusters
from rayfleet.planning.fleet.service import SERVE_PORT
from rayfleet.planning.names import service_name
from rayfleet.reconciling.runtime import owner_key

OPTIONAL = (ENDPOINT_SLICES, PODS)


def reachable_of(fleet: ObjectMeta, ray_clusters: Iterable[str], stores: Stores) -> frozenset[str] | None:
    """Return those of a fleet's Ray clusters, by UID, that requests can reach; None: nobody can tell.

    Of the fleet only name and UID are asked.
    """
    if stores.absences(OPTIONAL):
        return None
    services = stores.store(SERVICES).by_owner(fleet.uid)
    service = next((raw for raw in services if name_of(raw) == service_name(fleet)), None)
    slices = stores.store(ENDPOINT_SLICES).by_owner(uid_of(service)) if service is not None else ()
    if not slices:
        return None
    pods = stores.store(PODS)
    return reachable_clusters(slices, {uid: pods.by_owner(uid) for uid in ray_clusters}, SERVE_PORT)


def fleets_of_slice(endpoint_slice: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the fleet that controls the Service that controls a slice."""
    for service_key in owner_key(SERVICES.kind)(endpoint_slice):
        service = stores.store(SERVICES).get(service_key)
        if service is not None:
            yield from owner_key(FLEETS.kind)(service)


def replica_sets_of_slice(endpoint_slice: ReadOnlyJson, stores: Stores) -> Iterator[ObjectKey]:
    """Yield the replica sets of the fleet that a slice concerns."""
    for key in fleets_of_slice(endpoint_slice, stores):
        fleet = stores.store(FLEETS).get(key)
        for replica_set in stores.store(REPLICA_SETS).by_owner(uid_of(fleet)) if fleet is not None else ():
            yield key_of(replica_set)
