"""Bring a fleet one step nearer its spec. Pure.

Everything of one pass in order: the rollout's step, the Service and the disruption budget, the status with its
conditions. A fleet whose manifest is invalid is left exactly as it runs, and says what is wrong.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from rayfleet.manifest.fleet import encode_fleet_status
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.events import EventType
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import DISRUPTION_BUDGETS, FLEETS, PODS, REPLICA_SETS, SERVICES
from rayfleet.objects.conditions import (
    Conditions,
    find_condition,
    new_condition,
    observed_at,
    with_condition,
    without_condition,
)
from rayfleet.objects.labels import FLEET_LABEL, HEAD_NODE_TYPE, NODE_TYPE_LABEL
from rayfleet.planning.claims import claim_writes
from rayfleet.planning.fleet.claimant import fleet_claimant
from rayfleet.planning.fleet.conditions import (
    PROGRESSING,
    WRITE_REFUSED,
    is_complete,
    is_refused,
    summary_of,
    until_deadline,
    with_availability,
    with_progress,
    with_refusal,
    with_replica_failure,
    with_returned,
)
from rayfleet.planning.fleet.degradation import phase, with_degradation
from rayfleet.planning.fleet.disruption import budget_actions
from rayfleet.planning.fleet.failed_rollout import failed_rollout_write, outdated_note, with_rolled_back
from rayfleet.planning.fleet.members import total_size
from rayfleet.planning.fleet.overlap import SELECTOR_OVERLAP, with_overlap
from rayfleet.planning.fleet.readiness import (
    READY,
    STALLED,
    stalled,
    with_readiness,
    with_stall,
)
from rayfleet.planning.fleet.revisions import present_revision
from rayfleet.planning.fleet.rollout import RolloutStep, rollout_step
from rayfleet.planning.fleet.service import service_actions
from rayfleet.planning.fleet.undo import undo_write
from rayfleet.planning.fleet.view import View, view_of
from rayfleet.planning.fleet.warm_up import outdated_pods
from rayfleet.planning.model_name import model_name
from rayfleet.planning.observed import ObservedFleet, ObservedInvalidFleet
from rayfleet.planning.plan import FleetPlan
from rayfleet.planning.replica.summary import is_noteworthy
from rayfleet.planning.route.conditions import ROUTE_ACCEPTED, with_routing
from rayfleet.planning.route.users import ROUTED
from rayfleet.planning.urgency import is_urgent
from rayfleet.planning.warm_up.step import WarmUpStep
from rayfleet.planning.writes import Action, Event, Verb, permissions, ref_to, status_permission, status_replaced

INVALID = "Invalid"
WRITES = (
    permissions(REPLICA_SETS, Verb.CREATE, Verb.PATCH, Verb.DELETE)
    | permissions(SERVICES, Verb.CREATE, Verb.PATCH, Verb.DELETE)
    | permissions(DISRUPTION_BUDGETS, Verb.CREATE, Verb.PATCH, Verb.DELETE)
    | permissions(PODS, Verb.CREATE, Verb.DELETE)
    | permissions(FLEETS, Verb.PATCH)
    | {status_permission(FLEETS)}
)
"""All that a plan for a fleet may write; Roles and tests read it."""


def plan_fleet(observed: ObservedFleet, now: datetime) -> FleetPlan:
    """Return what to do now for one fleet; one that is being deleted gets its status alone.

    When replica sets change hands, or an old template comes back, that is all: what follows is decided on what is then
    there.
    """
    fleet = observed.fleet
    acts = fleet.meta.deleted_at is None and observed.failure is None
    view = view_of(observed, now)
    first = tuple(_first_of_all(observed, view)) if acts else ()
    if first:
        return FleetPlan(actions=first, status=fleet.status)
    step = rollout_step(view) if acts else _told_step(observed, view)
    network = (*service_actions(observed), *budget_actions(observed, view.bounds)) if acts else ()
    status = _written_status(fleet.status, _status(observed, view, step, now))
    is_done = fleet.meta.deleted_at is not None or is_complete(view, status)
    warm_up = step.warm_up or WarmUpStep(sizes={})
    waits = (view.next_change, until_deadline(fleet, status, now, is_done=is_done), warm_up.look_again)
    return FleetPlan(
        actions=(
            *step.actions,
            *(outdated_pods(observed.warm_up_pods, warm_up.pods) if acts else ()),
            *(outdated_note(view) if acts else ()),
            *network,
            *_status_write(fleet.meta, fleet.status, status, has_news=bool(warm_up.events)),
        ),
        status=status,
        events=(*warm_up.events, *_condition_events(fleet.status.conditions, status.conditions)),
        requeue_after=min((wait for wait in waits if wait is not None), default=None),
    )


def plan_invalid_fleet(observed: ObservedInvalidFleet, now: datetime) -> FleetPlan:
    """Return the status of a fleet that cannot be accepted, and nothing else: what runs, runs on.

    Who is available is as its replica sets say: its share of the requests for its model goes on resting on that.
    """
    message = "; ".join(str(error) for error in observed.error.errors)
    invalid = new_condition(INVALID, ConditionStatus.TRUE, "InvalidSpec", message, now)
    not_ready = new_condition(READY, ConditionStatus.FALSE, "InvalidSpec", message, now)
    conditions = with_condition(with_condition(observed.status.conditions, invalid), not_ready)
    conditions = with_condition(conditions, stalled("InvalidSpec", message, now))
    clusters = [each for owned in observed.ray_clusters.values() for each in owned]
    active = [cluster for cluster in clusters if not cluster.is_terminating]
    status = replace(
        observed.status,
        observed_generation=observed.meta.generation,
        replicas=len(active),
        ready_replicas=sum(cluster.is_ready for cluster in active),
        available_replicas=sum(each.status.available_replicas for each in observed.replica_sets),
        terminating_replicas=len(clusters) - len(active),
        conditions=observed_at(conditions, observed.meta.generation, INVALID, READY, STALLED),
        phase=INVALID,
    )
    return FleetPlan(
        actions=tuple(_status_write(observed.meta, observed.status, status)),
        status=status,
        events=tuple(_condition_events(observed.status.conditions, status.conditions)),
    )


def _first_of_all(observed: ObservedFleet, view: View) -> Iterator[Action]:
    """Yield the writes that change what all else is decided on."""
    if observed.claims:
        yield from claim_writes(fleet_claimant(observed.fleet), observed.claims, REPLICA_SETS)
    elif write := undo_write(observed) or failed_rollout_write(observed, view):
        yield write


def _told_step(observed: ObservedFleet, view: View) -> RolloutStep:
    """Return the step of a pass that acts no more; what a refused write does not bear on is held back all the same."""
    failure = observed.failure
    warm_up = rollout_step(view).warm_up if failure is not None and failure.action.resource is not PODS else None
    return RolloutStep(collision_count=observed.fleet.status.collision_count, warm_up=warm_up)


def _status(observed: ObservedFleet, view: View, step: RolloutStep, now: datetime) -> FleetStatus:
    fleet = observed.fleet
    counted = _counts(view, step)
    conditions = without_condition(fleet.status.conditions, INVALID)
    conditions = with_availability(conditions, view, counted.available_replicas, now)
    if observed.failure is not None:
        conditions = with_refusal(conditions, observed.failure, now)
        if (view.new is not None or step.warm_up is not None) and not is_refused(conditions):
            conditions = with_progress(conditions, view, counted, "", step.warm_up)
    elif fleet.meta.deleted_at is None:
        conditions = without_condition(conditions, WRITE_REFUSED)
        conditions = with_progress(conditions, view, counted, step.created, step.warm_up)
        conditions = with_returned(conditions, step.returned, now) if step.returned else conditions
        conditions = with_routing(conditions, observed.route, fleet.meta.key, now)
    conditions = with_rolled_back(with_replica_failure(conditions, view), view, now)
    conditions = with_overlap(conditions, observed.overlapping, now)
    conditions = with_degradation(with_stall(conditions, now), view)
    conditions = with_readiness(conditions, view, counted, now)
    status = replace(counted, conditions=observed_at(conditions, fleet.meta.generation), model=model_name(fleet) or "")
    return replace(status, phase=phase(view, status))


def _written_status(before: FleetStatus, after: FleetStatus) -> FleetStatus:
    """Return the status that is to be stored: the one before when only who is well differs."""
    return before if _noteworthy(before) == _noteworthy(after) else after


def _noteworthy(status: FleetStatus) -> FleetStatus:
    return replace(status, replica_states=tuple(filter(is_noteworthy, status.replica_states)))


def _counts(view: View, step: RolloutStep) -> FleetStatus:
    fleet, members = view.fleet, view.members
    available = sum(member.available for member in members)
    ready = sum(member.ready for member in members)
    return FleetStatus(
        observed_generation=fleet.meta.generation,
        replicas=sum(member.active for member in members),
        updated_replicas=view.new.active if view.new else 0,
        ready_replicas=ready,
        available_replicas=available,
        unavailable_replicas=max(0, total_size(members) - available),
        terminating_replicas=sum(member.terminating for member in members),
        collision_count=step.collision_count,
        revision=present_revision(view, is_created=bool(step.created)),
        scaling_target_selector=f"{FLEET_LABEL}={fleet.meta.name},{NODE_TYPE_LABEL}={HEAD_NODE_TYPE}",
        ready=f"{ready}/{view.bounds.desired}",
        replica_states=view.replicas.listed,
    )


def _status_write(
    meta: ObjectMeta, before: FleetStatus, after: FleetStatus, *, has_news: bool = False
) -> Iterator[Action]:
    """Yield the write; ``has_news``: events go with it that a later plan may not have."""
    if before == after:
        return
    stored, encoded = encode_fleet_status(before), encode_fleet_status(after)
    if encoded != stored:
        loses_all = before.available_replicas > 0 == after.available_replicas  # its share of requests rests on that
        may_wait = not (loses_all or has_news or is_urgent(stored, encoded))
        yield status_replaced(FLEETS, ref_to(meta), encoded, may_wait=may_wait)


def _condition_events(before: Conditions, after: Conditions) -> Iterator[Event]:
    """Yield a warning for each problem that was not said before in these words."""
    for name, is_problem in _PROBLEMS:
        condition = find_condition(after, name)
        earlier = find_condition(before, name)
        if condition is None or condition.status is not is_problem:
            continue
        if earlier is None or (earlier.reason, summary_of(earlier)) != (condition.reason, summary_of(condition)):
            yield Event(type=EventType.WARNING, reason=condition.reason, message=condition.message)


_PROBLEMS = (
    (INVALID, ConditionStatus.TRUE),
    (ROUTED, ConditionStatus.FALSE),
    (SELECTOR_OVERLAP, ConditionStatus.TRUE),
    (ROUTE_ACCEPTED, ConditionStatus.FALSE),
    (PROGRESSING, ConditionStatus.FALSE),
    (WRITE_REFUSED, ConditionStatus.TRUE),
)
