"""How far a rollout is, in the words of ``kubectl rollout status``. Pure.

Source: kubectl v1.36 ``pkg/polymorphichelpers/rollout_status.go``, for Deployments. An exceeded deadline, a spec that
is refused and a revision that was rolled back are failures; all else goes on.
"""

from dataclasses import dataclass

from rayfleet.cli.advice import Blocker, blockers
from rayfleet.manifest.fleet import decode_fleet_status
from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import find_condition
from rayfleet.objects.fleets import desired_replicas, is_paused
from rayfleet.objects.meta import generation_of, key_of
from rayfleet.objects.parts import part
from rayfleet.planning.fleet.conditions import DEADLINE_EXCEEDED, PROGRESSING, WARMING_UP

_FAILURES = {
    ("Invalid", ConditionStatus.TRUE): "its spec is refused",
    ("RolledBack", ConditionStatus.TRUE): "it was rolled back",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """One look: what to print, whether it is over, and if it failed; ``blockers`` are what keeps it from going on."""

    message: str
    is_done: bool = False
    is_failed: bool = False
    blockers: tuple[Blocker, ...] = ()


def rollout_step(fleet: ReadOnlyJson) -> RolloutStep:
    """Return how far the rollout of a fleet is, as the API server gave it."""
    key, status = key_of(fleet), decode_fleet_status(part(fleet, "status"))
    name = f'fleet "{key.name}"'
    if status.observed_generation < generation_of(fleet):
        return RolloutStep(message=f"Waiting for {name} spec update to be observed...")
    failure = _failure(status)
    if failure:
        return RolloutStep(message=f"{name}: {failure}", is_failed=True, blockers=blockers(key, status))
    waits = _waits_for(status, desired_replicas(fleet))
    if not waits:
        return RolloutStep(message=f"{name} successfully rolled out", is_done=True)
    pause = f" It is paused: `rayfleet rollout resume rcf/{key.name}` lets it go on." if is_paused(fleet) else ""
    message = f"Waiting for {name} rollout to finish: {waits}...{pause}{_warm_up(status)}"
    return RolloutStep(message=message, blockers=blockers(key, status))


def _failure(status: FleetStatus) -> str:
    """Return why the rollout has failed, empty while it has not."""
    for condition in status.conditions:
        words = _FAILURES.get((condition.type, condition.status))
        if words:
            return f"{words}: {condition.message}"
    progressing = find_condition(status.conditions, PROGRESSING)
    if progressing is not None and progressing.reason == DEADLINE_EXCEEDED:
        return f"exceeded its progress deadline: {progressing.message}"
    return ""


def _warm_up(status: FleetStatus) -> str:
    """Return that nodes are warmed up, empty while they are not."""
    progressing = find_condition(status.conditions, PROGRESSING)
    return f" {progressing.message}" if progressing is not None and progressing.reason == WARMING_UP else ""


def _waits_for(status: FleetStatus, desired: int) -> str:
    """Return what is missing, empty when nothing is."""
    updated = status.updated_replicas
    if updated < desired:
        return f"{updated} out of {desired} new replicas have been updated"
    if status.replicas > updated:
        return f"{status.replicas - updated} old replicas are pending termination"
    if status.available_replicas < updated:
        return f"{status.available_replicas} of {updated} updated replicas are available"
    return ""
