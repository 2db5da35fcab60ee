"""Places of a replica set, and the names of the Ray clusters that fill them. Pure.

A place is an index from 0; a new Ray cluster gets the one of a rebuild that is open, else the lowest free one, and
rebuilds are counted by place. Each also gets a number that no other of its replica set ever had:
``status.incarnations`` (the highest that is surely known to be used) plus one plus its index. Its name is made of both.
So one that was deleted in the background never shares a name, and with it a Secret or a Service, with its successor;
and one whose create got no answer is asked for again under the same name, since the status is written after its creates
and says nothing of one that failed. A status that still waits to be written counts as well (``with_number``), and we
delete or release none before its number is noted (``are_numbers_noted``). A number is forgotten all the same where
others delete its Ray cluster before that and the pass that made it failed or its controller died; where a status that
an earlier leader sent arrives after its successor's; and where the definition in the cluster lacks the field.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice

from rayfleet.model.fleet import ReplicaSet, ReplicaSetStatus
from rayfleet.model.json import Json
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.resources import RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.labels import INCARNATION_ANNOTATION, INDEX_LABEL, TEMPLATE_HASH_ANNOTATION
from rayfleet.objects.meta import annotations_of
from rayfleet.objects.owners import controller_reference
from rayfleet.objects.parts import written_count
from rayfleet.planning.names import ray_cluster_name
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.overlay import note_of, with_overlay

BURST = 500  # creates of one pass at most, as Kubernetes' burstReplicas
MOST = 10**9
"""Places and numbers beyond are somebody else's writing: with one more and an index they still fit into a status."""
_MOST_WRITTEN = MOST // 4
"""What is read of a label or an annotation, so that what follows from it is none beyond ``MOST``."""
_ATTEMPTS = 3  # names of five letters that are all another's: nobody meets that by accident


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRayCluster:
    """One that is to be made."""

    index: int
    number: int
    name: str


def places_of(clusters: Sequence[RayCluster]) -> dict[str, int]:
    """Return the place of each by UID; one whose label cannot be read has the lowest that nobody else has."""
    places = {
        each.meta.uid: index for each in clusters if (index := _number(each.meta.labels, INDEX_LABEL)) is not None
    }
    free = free_indexes(set(places.values()))
    for each in sorted(clusters, key=lambda each: each.meta.name):
        if each.meta.uid not in places:
            places[each.meta.uid] = next(free)
    return places


def highest_number(observed: ObservedReplicaSet) -> int:
    """Return the highest number that one of its Ray clusters has, one that it is to let go included; 0 without any."""
    own = (each.meta.annotations for each in observed.ray_clusters)
    let_go = map(annotations_of, observed.claims.let_go)
    return max((_number(each, INCARNATION_ANNOTATION) or 0 for each in chain(own, let_go)), default=0)


def last_number(status: ReplicaSetStatus) -> int:
    """Return the highest number that is noted, 0 for one that is somebody else's writing."""
    known = status.incarnations
    return known if 0 <= known <= MOST else 0


def are_numbers_noted(observed: ObservedReplicaSet) -> bool:
    """Whether the status knows the numbers of all its Ray clusters, so that each of them may go.

    One that tells of this generation and of no number is of a definition without that field: nothing would ever be.
    """
    replica_set, noted = observed.replica_set, observed.replica_set.status
    if highest_number(observed) <= last_number(noted):
        return True
    return noted.incarnations == 0 and noted.observed_generation == replica_set.meta.generation


def with_number(replica_set: ReplicaSet, number: int) -> ReplicaSet:
    """Return the replica set as one whose status knows that a Ray cluster of it had this number."""
    if number <= last_number(replica_set.status):
        return replica_set
    return replace(replica_set, status=replace(replica_set.status, incarnations=number))


def free_indexes(occupied: Collection[int]) -> Iterator[int]:
    """Yield the places that are not ``occupied``, lowest first, without end."""
    return (index for index in count() if index not in occupied)


def free_places(replica_set: ReplicaSet, occupied: Collection[int]) -> Iterator[int]:
    """Yield the places that are not ``occupied`` in the order in which they are filled, without end."""
    is_open = {each.index for each in replica_set.status.rebuilds if each.is_open and 0 <= each.index <= MOST}
    lost = sorted(is_open.difference(occupied))
    return chain(lost, free_indexes({*occupied, *lost}))


def new_ray_clusters(replica_set: ReplicaSet, indexes: Sequence[int], taken: Collection[str]) -> list[NewRayCluster]:
    """Return what is to be made at these places, in order; no name is one that is ``taken``."""
    made: list[NewRayCluster] = []
    for index in indexes:
        number = last_number(replica_set.status) + 1 + index
        names = (ray_cluster_name(replica_set.meta, index, number, attempt) for attempt in count())
        made.append(NewRayCluster(index=index, number=number, name=next(each for each in names if each not in taken)))
    return made


def names_in_question(replica_set: ReplicaSet, clusters: Sequence[RayCluster]) -> Iterator[str]:
    """Yield the names that a plan may want to give now; none when nothing is missing, however many others there are."""
    places = places_of(clusters)
    active = {places[each.meta.uid] for each in clusters if not each.is_terminating}
    terminating = sum(each.is_terminating for each in clusters)
    most = min(BURST, replica_set.spec.replicas - len(active)) + terminating
    given_up = {rebuild.index for rebuild in replica_set.status.rebuilds}
    for index in {*islice(free_places(replica_set, active), max(0, most)), *(given_up & active)}:
        number = last_number(replica_set.status) + 1 + index
        yield from (ray_cluster_name(replica_set.meta, index, number, attempt) for attempt in range(_ATTEMPTS))


def manifest_of(new: NewRayCluster, replica_set: ReplicaSet) -> Json:
    """Return the RayCluster: the template with its place, its number, its owner and the sidecar that its head lacks."""
    template = replica_set.spec.template
    annotations = {**template.annotations, INCARNATION_ANNOTATION: str(new.number)}
    identity = replica_set.meta.annotations.get(TEMPLATE_HASH_ANNOTATION)
    if identity:
        annotations[TEMPLATE_HASH_ANNOTATION] = identity
    return {
        "apiVersion": RAY_CLUSTERS.api_version,
        "kind": RAY_CLUSTERS.kind,
        "metadata": {
            "name": new.name,
            "namespace": replica_set.meta.namespace,
            "labels": {**template.labels, INDEX_LABEL: str(new.index)},
            "annotations": annotations,
            "ownerReferences": [controller_reference(REPLICA_SETS, replica_set.meta.name, replica_set.meta.uid)],
        },
        "spec": with_overlay(template.spec, note_of(replica_set.meta.annotations)),
    }


def _number(labels: Mapping[str, str], name: str) -> int | None:
    """Return a label's or an annotation's whole number, None when there is none that can be read."""
    return written_count(labels.get(name, ""), _MOST_WRITTEN)
