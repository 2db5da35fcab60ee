"""What a fleet's pass reads of nodes: the pods of its Ray clusters, and what brings the models. No effect."""

from collections.abc import Mapping, Sequence

from rayfleet.kube.watches import Stores
from rayfleet.manifest.serving import decode_serving
from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.policies import WarmUp
from rayfleet.model.resources import PODS, RAY_CLUSTERS
from rayfleet.objects.meta import uid_of
from rayfleet.planning.fleet.identity import is_of_revision, kept_serving
from rayfleet.planning.fleet.warm_up import may_warm_up
from rayfleet.planning.observed import ObservedWarmUp
from rayfleet.planning.warm_up.bringing import bring_command
from rayfleet.plugin.contracts import Engine


def observed_warm_up(
    fleet: Fleet,
    template: RayClusterTemplate,
    identity: str,
    replica_sets: Sequence[ReplicaSet],
    stores: Stores,
    engines: Mapping[str, Engine],
) -> ObservedWarmUp | None:
    """Return what warming nodes up rests on, None when nothing is replaced, or not delete-first."""
    if not may_warm_up(fleet, template, replica_sets):
        return None
    clusters = {each.meta.uid: stores.store(RAY_CLUSTERS).by_owner(each.meta.uid) for each in replica_sets}
    active = [each for each in replica_sets if clusters[each.meta.uid]]
    old = [each for each in active if not is_of_revision(each, identity, template)]
    if not old:
        return None
    return ObservedWarmUp(
        pods={uid_of(raw): _pods(raw, stores) for each in active for raw in clusters[each.meta.uid]},
        bring=bring_command(fleet.spec.warm_up, fleet.spec.serving, engines),
        old_brings={each.meta.uid: _old_bring(each, engines) for each in old},
    )


def _pods(ray_cluster: ReadOnlyJson, stores: Stores) -> tuple[ReadOnlyJson, ...]:
    return tuple(stores.store(PODS).by_owner(uid_of(ray_cluster)))


def _old_bring(replica_set: ReplicaSet, engines: Mapping[str, Engine]) -> str:
    """Return what brings the model that a replica set was made for; a command in a manifest is not kept."""
    serving = kept_serving(replica_set)
    return bring_command(WarmUp(), decode_serving(serving, default_name=""), engines) if serving else ""
