"""Warm before you cut: what serves is deleted for its successor once its nodes have what that needs. Pure.

For steps that delete first alone (surge 0, a withdrawn surge, ``Recreate``): with a surge the successor itself warms
its nodes up while the others serve. Only what serves is held: of a replica that is not ready the gap is there already.
A rebuild makes the same again, on nodes that have what it needs: nothing is brought for it. A change of
``spec.replicas`` is no replacement, and goes at once.

The decision rests on what is there. The pods have names that follow from the fleet, the template and the node, so that
a controller that is started again meets its own; they are deleted in a pass after the one that cuts. How long it lasts
counts from the condition ``Progressing``, which has a reason of its own for it, or from the oldest pod.

What cannot be done is no reason to stay: a pod that fails, that has no place, that may not be made, or that takes
longer than ``warmUp.timeoutSeconds``, is told and left behind. But for an image that a node cannot have nothing is cut:
the rollout stands, with what serves, until its deadline, and then as any that has failed.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from rayfleet.model.events import EventType
from rayfleet.model.fleet import Fleet, RayClusterTemplate, ReplicaSet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.resources import PODS
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.labels import SURGE_WITHDRAWN_ANNOTATION
from rayfleet.objects.meta import created_at, is_terminating, name_of
from rayfleet.objects.pods import is_finished, is_ready, node_name
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.fleet.bounds import rollout_bounds
from rayfleet.planning.fleet.conditions import (
    DEADLINE_EXCEEDED,
    PROGRESSING,
    WARM_UP_BLOCKED,
    WARMING_UP,
    WRITE_REFUSED,
    refusal_reason,
    warming_since,
)
from rayfleet.planning.fleet.members import Member
from rayfleet.planning.fleet.rescaling import Sizes
from rayfleet.planning.fleet.view import View
from rayfleet.planning.observed import ObservedReplicaSet, ObservedWarmUp
from rayfleet.planning.replica.obstacles import Obstacle
from rayfleet.planning.replica_set.replicas import Replica, replicas_of
from rayfleet.planning.replica_set.victims import deletion_order
from rayfleet.planning.warm_up.load import load_of
from rayfleet.planning.warm_up.pods import warm_up_pods
from rayfleet.planning.warm_up.standing import Stage, Standing, standing_of
from rayfleet.planning.warm_up.step import WarmUpStep, bringing, refusal_words
from rayfleet.planning.writes import NAME_MARK, Delete, Event, Verb, in_batches, ref_of

_CREATED = Event(reason=WARMING_UP, message=f"Created pod {NAME_MARK} to bring images and weights to a node")
_NOT_YET = Standing(stage=Stage.UNDER_WAY)


def may_warm_up(fleet: Fleet, template: RayClusterTemplate, replica_sets: Sequence[ReplicaSet]) -> bool:
    """Whether a rollout of the fleet may have to warm nodes up: it is worth reading what that is decided on."""
    bounds = rollout_bounds(fleet.spec, has_accelerators=accelerators(template.spec) > 0)
    is_withdrawn = any(SURGE_WITHDRAWN_ANNOTATION in each.meta.annotations for each in replica_sets)
    return fleet.spec.warm_up.enabled and (not bounds.surge or is_withdrawn)


def warm_up_step(view: View, sizes: Sizes) -> WarmUpStep:
    """Return what may be made of ``sizes`` now."""
    facts = view.observed.warm_up
    if facts is None or view.bounds.surge or _was_refused(view.fleet):
        return WarmUpStep(sizes=sizes)
    cuts = [
        (member, *_cut(view, facts, member, range(sizes[member.replica_set.meta.uid], kept)))
        for member, kept in _shrinking(view, sizes)
    ]
    nodes = tuple(sorted({node for _, _, nodes in cuts for node in nodes}))
    fleet, template = view.fleet.meta, view.template
    needed = [pod for node in nodes for pod in warm_up_pods(fleet, template, facts.bring, node)]
    if not needed:
        return WarmUpStep(sizes=sizes)
    there = {name_of(pod): pod for pod in view.observed.warm_up_pods}
    standings = {pod.name: standing_of(there[pod.name], view.now) if pod.name in there else _NOT_YET for pod in needed}
    refusal = next((each.obstacle for each in standings.values() if each.stage is Stage.IMAGE_REFUSED), None)
    left = _time_left(view, bringing(view.identity), [there[name] for name in standings if name in there])
    is_over = all(each.is_over for each in standings.values()) or (refusal is None and left <= timedelta(0))
    names = frozenset(standings)
    if is_over:
        return WarmUpStep(sizes=sizes, pods=names, nodes=nodes, events=tuple(_news(standings)))
    held = {member.replica_set.meta.uid: size for member, size, cold in cuts if cold}
    again = [each.look_again for each in standings.values() if each.look_again is not None]
    missing = [pod.manifest for pod in needed if pod.name not in there]
    return WarmUpStep(
        sizes={**sizes, **held},
        subject=bringing(view.identity),
        actions=tuple(in_batches(PODS, missing, _CREATED)),
        pods=names,
        nodes=nodes,
        refusal=refusal,
        is_under_way=True,
        events=tuple(_first_refusal(view, refusal)),
        look_again=min([*again, *([left] if refusal is None else [])], default=None),
    )


def outdated_pods(pods: Sequence[ReadOnlyJson], needed: frozenset[str]) -> Iterator[Delete]:
    """Yield the deletion of each pod of the fleet that nothing is held back for any more."""
    for pod in pods:
        if name_of(pod) not in needed and not is_terminating(pod):
            yield Delete(resource=PODS, ref=ref_of(pod))


def _was_refused(fleet: Fleet) -> bool:
    """Whether such a pod was just refused: the step is made without, and the next one tries again."""
    refused = find_condition(fleet.status.conditions, WRITE_REFUSED)
    return refused is not None and refused.reason == refusal_reason(PODS, Verb.CREATE)


def _shrinking(view: View, sizes: Sizes) -> Iterator[tuple[Member, int]]:
    """Yield who is to shrink, and the largest size that it may keep: all together no more than are desired.

    A recreation that is held meets changes of ``spec.replicas`` here alone.
    """
    left = view.bounds.desired
    for member in view.old:
        kept = min(member.size, left)
        left -= kept
        is_scaled = member.replica_set.meta.deleted_at is None
        if is_scaled and sizes.get(member.replica_set.meta.uid, member.size) < kept:
            yield member, kept


def _cut(view: View, facts: ObservedWarmUp, member: Member, sizes: range) -> tuple[int, frozenset[str]]:
    """Return the size that leaves what serves of a replica set, and the nodes of what would go that are cold.

    ``sizes`` are from the one that it is to have to the one that it may keep, which is left out.
    """
    uid = member.replica_set.meta.uid
    serving = [replica for replica in _victims(view, facts, member, sizes) if replica.cluster.is_ready]
    load = load_of(view.template.spec, facts.bring)
    old = load_of(member.replica_set.spec.template.spec, facts.old_brings.get(uid, ""))
    nodes = {node_name(pod) for replica in serving for pod in replica.pods if not is_finished(pod)} - {""}
    cold = frozenset() if load.is_there_with(old) else frozenset(nodes - _warm_nodes(view, facts))
    return sizes.start + min(len(sizes), len(serving)), cold


def _victims(view: View, facts: ObservedWarmUp, member: Member, sizes: range) -> list[Replica]:
    """Return the Ray clusters that the replica set would delete between these sizes, by its own rule."""
    clusters = view.observed.ray_clusters.get(member.replica_set.meta.uid, ())
    active = tuple(cluster for cluster in clusters if not cluster.is_terminating)
    observed = ObservedReplicaSet(replica_set=member.replica_set, ray_clusters=active, pods=facts.pods)
    given_up = frozenset(rebuild.name for rebuild in member.replica_set.status.rebuilds)
    ordered = deletion_order(replicas_of(observed), given_up)
    return ordered[max(0, len(active) - sizes.stop) : max(0, len(active) - sizes.start)]


def _warm_nodes(view: View, facts: ObservedWarmUp) -> frozenset[str]:
    """Return the nodes that a pod of the new template is ready on."""
    clusters = view.observed.ray_clusters.get(view.new.replica_set.meta.uid, ()) if view.new is not None else ()
    pods = [pod for cluster in clusters for pod in facts.pods.get(cluster.meta.uid, ())]
    return frozenset(node_name(pod) for pod in pods if is_ready(pod))


def _time_left(view: View, subject: str, pods: Sequence[ReadOnlyJson]) -> timedelta:
    """Return how long may still be waited for ``subject``.

    A time that lies ahead counts as now; the condition is then written anew.
    """
    progressing = find_condition(view.fleet.status.conditions, PROGRESSING)
    noted = warming_since(progressing, subject)
    created = min((time for pod in pods if (time := created_at(pod)) is not None), default=view.now)
    return min(noted or created, view.now) + timedelta(seconds=view.fleet.spec.warm_up.timeout_seconds) - view.now


def _first_refusal(view: View, refusal: Obstacle | None) -> Iterator[Event]:
    """Yield that nothing is cut, when that is new."""
    progressing = find_condition(view.fleet.status.conditions, PROGRESSING)
    is_known = progressing is not None and progressing.reason in {WARM_UP_BLOCKED, DEADLINE_EXCEEDED}
    if refusal is not None and not is_known:
        yield Event(type=EventType.WARNING, reason=WARM_UP_BLOCKED, message=refusal_words(refusal))


def _news(standings: Mapping[str, Standing]) -> Iterator[Event]:
    """Yield what was waited for in vain."""
    for name, standing in standings.items():
        if standing.stage is Stage.UNDER_WAY:
            message = f"Pod {name} took longer than warmUp.timeoutSeconds; going on without"
            yield Event(type=EventType.WARNING, reason="WarmUpTimedOut", message=message)
        elif standing.stage is Stage.FAILED:
            obstacle = standing.obstacle
            why = ": ".join(word for word in (obstacle.reason, obstacle.message) if word) if obstacle else "Failed"
            message = f"Pod {name}: {why}; going on without"
            yield Event(type=EventType.WARNING, reason="WarmUpFailed", message=message)
