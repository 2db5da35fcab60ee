"""What a change of a fleet would do: revisions, Ray clusters and accelerators, now, at the peak, and then. Pure.

The very plan of the controller (``planning.fleet``) is asked for its first step; the peak follows from the bounds of
the rollout, whichever way its steps fall.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rayfleet.model.fleet import StrategyType
from rayfleet.objects.meta import name_of
from rayfleet.objects.ray_spec import accelerators
from rayfleet.planning.fleet.bounds import Bounds
from rayfleet.planning.fleet.members import Member, next_revision, revision
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.fleet.view import View, view_of
from rayfleet.planning.observed import ObservedFleet
from rayfleet.planning.writes import Action, Create, CreateTogether, Delete, Merge, Replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """A number now, the most of it at once on the way, and in the end."""

    now: int
    peak: int
    then: int

    def __str__(self) -> str:
        return f"{self.now} now, {self.peak} at the peak, {self.then} then"


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What lies before a fleet. ``revision`` is in words; ``steps`` are the controller's first writes."""

    revision: str
    bounds: Bounds
    ray_clusters: Amounts
    accelerators: Amounts
    steps: tuple[str, ...]


def course(observed: ObservedFleet, now: datetime) -> Course:
    """Return the course of a fleet whose spec is the one that would be; what exists is as it was read."""
    view = view_of(observed, now)
    old = [cluster.accelerators for member in view.old for cluster in observed.ray_clusters.get(_uid(member), ())]
    kept = observed.ray_clusters.get(_uid(view.new), ()) if view.new is not None else ()
    each = accelerators(observed.template.spec)
    is_recreated = view.fleet.spec.strategy.type is StrategyType.RECREATE
    return Course(
        revision=_revision_words(view),
        bounds=view.bounds,
        ray_clusters=_amounts([1] * len(old), len(kept), 1, view.bounds, is_recreated=is_recreated),
        accelerators=_amounts(old, len(kept), each, view.bounds, is_recreated=is_recreated),
        steps=tuple(words for action in plan_fleet(observed, now).actions for words in _words(action)),
    )


def _uid(member: Member) -> str:
    return member.replica_set.meta.uid


def _amounts(old: Sequence[int], kept: int, each: int, bounds: Bounds, *, is_recreated: bool) -> Amounts:
    """Return amounts of what a Ray cluster holds: ``old`` of those that go, ``each`` of the ``kept`` and the new ones.

    With 2 old of 4 each, desired 2 of 8 and surge 1 the peak is 20: two new and one old, before it goes.
    """
    now, then = sum(old) + kept * each, bounds.desired * each
    largest_first = sorted(old, reverse=True)
    mixed = [new * each + sum(largest_first[: max(0, bounds.most - new)]) for new in range(bounds.desired + 1)]
    peak = max((now, then) if is_recreated or not old else (now, then, *mixed))
    return Amounts(now=now, peak=peak, then=then)


def _revision_words(view: View) -> str:
    following = next_revision(view.old)
    if view.new is None:
        return f"{following} (new template)" if view.old else f"{following} (first)"
    number = revision(view.new)
    return f"{number} (unchanged)" if number >= following else f"{following} (revision {number} comes back)"


def _words(action: Action) -> Sequence[str]:
    match action:
        case Create(resource=resource, manifest=manifest):
            return (f"create {resource.kind} {name_of(manifest)}",)
        case CreateTogether(resource=resource, manifests=manifests):
            return tuple(f"create {resource.kind} {name_of(each)}" for each in manifests)
        case Merge(resource=resource, ref=ref):
            return (f"change {resource.kind} {ref.key.name}",)
        case Delete(resource=resource, ref=ref):
            return (f"delete {resource.kind} {ref.key.name}",)
        case Replace():
            return ()  # the status
