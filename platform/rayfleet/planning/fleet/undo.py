"""What the annotation ``deprecated.deployment.rollback.to`` asks for, as AIBrix and old Deployments did it. Pure.

The template of a kept revision is written back into the fleet, in one write that takes the annotation off; what follows
is an ordinary rollout. A paused fleet waits with it. Source: Deployment's ``rollback.go`` (v1.15).
"""

from dataclasses import replace

from rayfleet.model.events import EventType
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS
from rayfleet.objects.labels import ROLLBACK_ANNOTATION
from rayfleet.objects.parts import part, written_count
from rayfleet.planning.fleet.rollback import Rollback, RollbackOutcome, rollback_to
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Event, Merge, ref_to

_LETTERS = 60  # of what cannot be read, in words about it


def undo_write(observed: ObservedFleet) -> Merge | None:
    """Return the write that the annotation asks for; None when there is none, or the fleet is paused."""
    fleet = observed.fleet
    asked = fleet.meta.annotations.get(ROLLBACK_ANNOTATION)
    if asked is None or fleet.spec.paused:
        return None
    rollback = _asked_for(observed, asked)
    annotations = part(rollback.patch, "metadata", "annotations") | {ROLLBACK_ANNOTATION: None}
    patch: Json = {**rollback.patch, "metadata": {"annotations": annotations}}
    is_done = rollback.outcome is RollbackOutcome.CHANGES
    event = Event(
        type=EventType.NORMAL if is_done else EventType.WARNING,
        reason=rollback.outcome.value,
        message=rollback.message,
    )
    write = Merge(resource=FLEETS, ref=ref_to(fleet.meta, at_this_version=True), patch=patch)
    return replace(write, event=event)


def _asked_for(observed: ObservedFleet, asked: str) -> Rollback:
    number = written_count(asked)
    if number is None:
        message = f"{ROLLBACK_ANNOTATION} is {asked[:_LETTERS]!r}, not the number of a revision (or 0, the one before)"
        return Rollback(outcome=RollbackOutcome.NOT_KEPT, message=message)
    return rollback_to(observed.manifest, observed.replica_sets, number)
