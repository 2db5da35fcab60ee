"""A rollout that has failed goes back to the last healthy revision (``strategy.rollbackOnFailure``). Pure.

Failed is: no progress before the deadline, or a replica of the new revision that used up its rebuilds. Healthy is a
revision that was once fully available; its replica set notes that. The way back is written into the fleet together with
a note of what was left, so that no crash in between loses it, and what was left is not tried again: whoever applies the
same template once more gets the healthy one again, until the template changes or the policy is taken off.
"""

import json
from dataclasses import dataclass, replace
from datetime import datetime

from rayfleet.model.conditions import ConditionStatus
from rayfleet.model.events import EventType
from rayfleet.model.fleet import Fleet
from rayfleet.model.json import Json
from rayfleet.model.replica import ReplicaPhase
from rayfleet.model.resources import FLEETS
from rayfleet.objects.conditions import Conditions, find_condition, new_condition, with_condition, without_condition
from rayfleet.objects.labels import HEALTHY_ANNOTATION, ROLLED_BACK_ANNOTATION
from rayfleet.objects.notes import read_note
from rayfleet.objects.parts import part
from rayfleet.planning.fleet.conditions import DEADLINE_EXCEEDED, PROGRESSING
from rayfleet.planning.fleet.members import Member, revision
from rayfleet.planning.fleet.rollback import RollbackOutcome, rollback_to
from rayfleet.planning.fleet.view import View
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Event, Merge, ref_to

ROLLED_BACK = "RolledBack"
_LETTERS = 16  # of a hash, in a note for people too


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the fleet notes of its last way back: the identities left and come to (their beginnings), and why."""

    left: str
    came_to: str
    reason: str
    message: str


def failed_rollout_write(observed: ObservedFleet, view: View) -> Merge | None:
    """Return the write that brings the last healthy revision back; None when nothing failed, or there is none."""
    why, target = _failure(view), _last_healthy(view)
    if why is None or target is None:
        return None
    rollback = rollback_to(observed.manifest, observed.replica_sets, revision(target))
    if rollback.outcome is not RollbackOutcome.CHANGES:
        return None
    reason, cause = why
    message = f"Rolled back to revision {revision(target)}: {cause}"
    note = {"left": _short(view.identity), "cameTo": _short(rollback.identity), "reason": reason, "message": message}
    annotations = part(rollback.patch, "metadata", "annotations") | {ROLLED_BACK_ANNOTATION: json.dumps(note)}
    patch: Json = {**rollback.patch, "metadata": {"annotations": annotations}}
    write = Merge(resource=FLEETS, ref=ref_to(view.fleet.meta, at_this_version=True), patch=patch)
    return replace(write, event=Event(type=EventType.WARNING, reason=ROLLED_BACK, message=message))


def health_note(view: View) -> dict[str, str]:
    """Return the annotation of the new replica set that says it was fully available; empty while it was not."""
    new, desired = view.new, view.bounds.desired
    is_whole = new is not None and new.size == new.active == new.available == desired > 0
    return {HEALTHY_ANNOTATION: "true"} if is_whole and view.fleet.spec.strategy.rollback_on_failure else {}


def outdated_note(view: View) -> list[Merge]:
    """Return the write that takes the note of a way back off.

    Once the template is neither of the two, or is the one that was left, by somebody who took the policy off.
    """
    note, present = _note(view.fleet), _short(view.identity)
    is_tried_again = note is not None and present == note.left and not view.fleet.spec.strategy.rollback_on_failure
    if note is None or (present in {note.left, note.came_to} and not is_tried_again):
        return []
    patch: Json = {"metadata": {"annotations": {ROLLED_BACK_ANNOTATION: None}}}
    return [Merge(resource=FLEETS, ref=ref_to(view.fleet.meta), patch=patch)]


def with_rolled_back(conditions: Conditions, view: View, now: datetime) -> Conditions:
    """Return the conditions with RolledBack for as long as the template is the one that was come to."""
    note = _note(view.fleet)
    if note is None or note.came_to != _short(view.identity):
        return without_condition(conditions, ROLLED_BACK)
    return with_condition(conditions, new_condition(ROLLED_BACK, ConditionStatus.TRUE, note.reason, note.message, now))


def _failure(view: View) -> tuple[str, str] | None:
    """Return the reason and the cause of a failed rollout, None while it has not failed (or nobody wants to know)."""
    fleet, new = view.fleet, view.new
    if fleet.spec.paused or not fleet.spec.strategy.rollback_on_failure or (new is not None and _was_healthy(new)):
        return None
    note = _note(fleet)
    if note is not None and note.left == _short(view.identity):
        return note.reason, "the template is one that failed before; change it to try again"
    if new is None and not any(member.size for member in view.old):
        return None  # a recreation waits for the old ones to be gone; while they stay, its image cannot be had
    states = new.replica_set.status.replica_states if new is not None else ()
    failed = next((each for each in states if each.phase is ReplicaPhase.FAILED), None)
    if failed is not None:
        return "ReplicaFailed", f"RayCluster {failed.name} used up its rebuilds: {failed.message or failed.reason}"
    progressing = find_condition(fleet.status.conditions, PROGRESSING)
    is_of_now = fleet.status.observed_generation == fleet.meta.generation
    if is_of_now and progressing is not None and progressing.reason == DEADLINE_EXCEEDED:
        # What a recreation waited for is not the fault of what it then made.
        is_of_new = new is None or f'"{new.replica_set.meta.name}"' in progressing.message
        return (DEADLINE_EXCEEDED, progressing.message) if is_of_new else None
    return None


def _last_healthy(view: View) -> Member | None:
    """Return the old replica set of the highest revision that was once, or is now, fully available."""
    healthy = [member for member in view.old if _was_healthy(member) or 0 < member.size <= member.available]
    return max(healthy, key=revision, default=None)


def _was_healthy(member: Member) -> bool:
    return HEALTHY_ANNOTATION in member.replica_set.meta.annotations


def _short(identity: str) -> str:
    return identity[:_LETTERS]


def _note(fleet: Fleet) -> Note | None:
    text = fleet.meta.annotations.get(ROLLED_BACK_ANNOTATION)
    if text is None:
        return None
    parts = read_note(text)
    if not parts:  # somebody else's writing
        return None
    left, came_to, reason, message = (str(parts.get(name, "")) for name in ("left", "cameTo", "reason", "message"))
    return Note(left=left, came_to=came_to, reason=reason, message=message)
