"""One step of a fleet's rollout, as writes to its replica sets. Pure.

The order of Deployment's sync: paused or rescaled, then the strategy, then clean-up; one direction per pass, and one
write per replica set, so that each is decided on what it really is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from rayfleet.manifest.policies import encode_policies
from rayfleet.model.events import EventType
from rayfleet.model.fleet import StrategyType
from rayfleet.model.json import Json
from rayfleet.model.resources import REPLICA_SETS
from rayfleet.objects.labels import REVISION_ANNOTATION
from rayfleet.objects.merge_patch import merge_patch_to
from rayfleet.planning.fleet.failed_rollout import health_note
from rayfleet.planning.fleet.members import Member
from rayfleet.planning.fleet.next_sizes import first_size, recreate_sizes, rolling_sizes
from rayfleet.planning.fleet.rescaling import Sizes, is_scaling_event, scaled_sizes
from rayfleet.planning.fleet.revisions import (
    cleanup,
    free_hash,
    replica_set_manifest,
    revision_annotations,
    size_annotations,
)
from rayfleet.planning.fleet.surge import withdrawal_note
from rayfleet.planning.fleet.view import View
from rayfleet.planning.fleet.warm_up import warm_up_step
from rayfleet.planning.warm_up.step import WarmUpStep
from rayfleet.planning.writes import Action, Create, Event, Merge, ObjectRef, ref_to, scaled

_SCALING = "ScalingReplicaSet"


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """What a pass does to replica sets.

    ``created`` names a new one, ``returned`` an old one whose template came back; ``collision_count`` is the status's
    from now on; ``warm_up`` is what is held back until nodes are warm, if the step deletes first.
    """

    actions: tuple[Action, ...] = ()
    created: str = ""
    returned: str = ""
    collision_count: int | None = None
    warm_up: WarmUpStep | None = None


def rollout_step(view: View) -> RolloutStep:
    """Return the next step; without actions when the rollout waits or is done."""
    spec = view.fleet.spec
    is_recreated = spec.strategy.type is StrategyType.RECREATE
    if spec.paused or (is_scaling_event(view) and not is_recreated):
        step = _resized(view, scaled_sizes(view), notes_partial_growth=False)
        return step if step.actions or not spec.paused else _cleaned_up(view)
    if is_recreated:
        return _recreated(view)
    if view.new is None:
        return _created(view, first_size(view))
    if view.stuck_surge:
        return _withdrawn(view, view.new)
    return _replaced(view, rolling_sizes(view, view.new))


def _replaced(view: View, sizes: Sizes) -> RolloutStep:
    """Return the writes of the sizes, as far as what they delete first need not wait for its nodes to be warm."""
    warm_up = warm_up_step(view, sizes)
    step = _resized(view, warm_up.sizes)
    if not step.actions and not warm_up.is_under_way:
        return _cleaned_up(view)
    return replace(step, actions=(*step.actions, *warm_up.actions), warm_up=warm_up)


def _withdrawn(view: View, new: Member) -> RolloutStep:
    """Return the write that takes the surge back for which there is no room; the rest of the rollout has none."""
    size, name = new.size - view.stuck_surge, new.replica_set.meta.name
    seconds = view.fleet.spec.strategy.surge_timeout_seconds
    message = (
        f"No room for a surge within {seconds}s: scaled {name} down from {new.size} to {size}, going on delete-first"
    )
    write = scaled(REPLICA_SETS, _ref(new), size, withdrawal_note(new))
    event = Event(type=EventType.WARNING, reason="SurgeWithdrawn", message=message)
    return RolloutStep(actions=(replace(write, event=event),), collision_count=view.fleet.status.collision_count)


def _recreated(view: View) -> RolloutStep:
    sizes = recreate_sizes(view)
    if sizes is not None:
        return _replaced(view, sizes)
    if view.new is None:
        return _created(view, view.bounds.desired)
    step = _resized(view, {view.new.replica_set.meta.uid: view.bounds.desired})
    return step if step.actions else _cleaned_up(view)


def _created(view: View, replicas: int) -> RolloutStep:
    short_hash, collisions = free_hash(view)
    manifest = replica_set_manifest(view, short_hash, replicas)
    name = manifest["metadata"]["name"]
    event = Event(reason=_SCALING, message=f"Scaled up replica set {name} from 0 to {replicas}") if replicas else None
    return RolloutStep(
        actions=(Create(resource=REPLICA_SETS, manifest=manifest, event=event),),
        created=name,
        collision_count=collisions,
    )


def _resized(view: View, sizes: Sizes, *, notes_partial_growth: bool = True) -> RolloutStep:
    """Return the writes that give replica sets their sizes, and the new one its annotations.

    Without ``notes_partial_growth`` a replica set that may not yet have its full size keeps its old note, so that the
    rest follows.
    """
    actions: list[Action] = []
    renewed = _renewed(view)
    for member in view.members:
        if member.replica_set.meta.deleted_at is not None:
            continue
        synced = dict(renewed) if member is view.new else {}
        size = sizes.get(member.replica_set.meta.uid)
        if size is not None and (size == view.bounds.desired or len(sizes) > 1 or notes_partial_growth):
            synced |= _changed_annotations(member, size_annotations(view.bounds))
        if size is not None and size != member.size:
            write = scaled(REPLICA_SETS, _ref(member), size, synced)
            actions.append(replace(write, event=_scaling_event(member, size)))
        else:
            actions += _synced(view, member, synced)
    return RolloutStep(
        actions=tuple(actions),
        returned=view.new.replica_set.meta.name if view.new and REVISION_ANNOTATION in renewed else "",
        collision_count=view.fleet.status.collision_count,
    )


def _renewed(view: View) -> Mapping[str, str]:
    """Return the annotations that the new replica set ought to get now; none while the fleet is paused."""
    if view.new is None or view.fleet.spec.paused:
        return {}
    return {**revision_annotations(view, view.new), **_changed_annotations(view.new, health_note(view))}


def _cleaned_up(view: View) -> RolloutStep:
    actions = tuple(cleanup(view)) if _is_settled(view) or view.fleet.spec.paused else ()
    return RolloutStep(actions=actions, collision_count=view.fleet.status.collision_count)


def _is_settled(view: View) -> bool:
    new, desired = view.new, view.bounds.desired
    return new is not None and new.size == new.active == new.available == desired


def _changed_annotations(member: Member, desired: dict[str, str]) -> dict[str, str]:
    present = member.replica_set.meta.annotations
    return {name: value for name, value in desired.items() if present.get(name) != value}


def _synced(view: View, member: Member, annotations: dict[str, str]) -> list[Action]:
    patch: Json = {"metadata": {"annotations": annotations}} if annotations else {}
    if spec := _spec_patch(view, member):
        patch |= {"spec": spec}
    return [Merge(resource=REPLICA_SETS, ref=_ref(member), patch=patch)] if patch else []


def _spec_patch(view: View, member: Member) -> Json:
    """Return what a replica set does not yet know of the fleet's policies; an old one that is empty needs none."""
    if member is not view.new and not member.size and not member.active:
        return {}
    fleet, present = view.fleet.spec, member.replica_set.spec
    patch = merge_patch_to(
        encode_policies(present.recovery, present.drain, present.replacement_policy),
        encode_policies(fleet.recovery, fleet.drain, fleet.replacement_policy),
    )
    if member is view.new and present.min_ready_seconds != fleet.min_ready_seconds:
        patch["minReadySeconds"] = fleet.min_ready_seconds
    return patch


def _scaling_event(member: Member, size: int) -> Event:
    direction = "up" if size > member.size else "down"
    name = member.replica_set.meta.name
    message = f"Scaled {direction} replica set {name} from {member.size} to {size}"
    return Event(reason=_SCALING, message=message)


def _ref(member: Member) -> ObjectRef:
    return ref_to(member.replica_set.meta, at_this_version=True)
