"""Following a change of ``spec.replicas``: in the middle of a rollout each replica set gets its share. Pure.

As Deployment's ``scale`` and ``GetReplicaSetProportion`` (Kubernetes, Deployments, "Proportional scaling"). One
difference: with places held by terminating Ray clusters growth waits, and what waits stays a scaling event until it is
done.
"""

from collections.abc import Mapping, Sequence

from rayfleet.objects.labels import DESIRED_REPLICAS_ANNOTATION, MAX_REPLICAS_ANNOTATION
from rayfleet.objects.parts import written_count
from rayfleet.planning.fleet.members import Member, total_size
from rayfleet.planning.fleet.view import View

Sizes = Mapping[str, int]
"""New sizes of replica sets by UID."""


def is_scaling_event(view: View) -> bool:
    """Whether an active replica set was last scaled for another ``spec.replicas``."""
    desired = str(view.bounds.desired)
    noted = (
        member.replica_set.meta.annotations.get(DESIRED_REPLICAS_ANNOTATION)
        for member in view.members
        if member.size > 0
    )
    return any(value is not None and value != desired for value in noted)


def scaled_sizes(view: View) -> Sizes:
    """Return the sizes for the present ``spec.replicas``; a paused fleet that nobody rescaled stays as it is.

    One active replica set (or none: the newest) takes all. A saturated new one empties the old. Otherwise the
    difference is shared in proportion: desired 10, surge 3, old 8 / new 5, then desired 30: old 20 / new 13.
    """
    active = [member for member in view.members if member.size > 0]
    if len(active) <= 1:
        only = active[0] if active else _latest(view)
        return {} if only is None else {_uid(only): _grown_or_shrunk(view, only)}
    if _is_saturated(view):
        return {_uid(member): 0 for member in view.old if member.size > 0}
    return _shares(view, active) if is_scaling_event(view) else {}


def _latest(view: View) -> Member | None:
    """Return the newest replica set."""
    return view.new or (view.old[-1] if view.old else None)


def _grown_or_shrunk(view: View, member: Member) -> int:
    """Return the desired size, as far as there is room to grow."""
    return min(view.bounds.desired, max(member.size, view.room_for(member)))


def _is_saturated(view: View) -> bool:
    new = view.new
    if new is None:
        return False
    noted = new.replica_set.meta.annotations.get(DESIRED_REPLICAS_ANNOTATION)
    desired = view.bounds.desired
    return new.size == desired == new.available and noted == str(desired)


def _shares(view: View, active: Sequence[Member]) -> Sizes:
    most = view.bounds.most if view.bounds.desired else 0
    to_add = most - total_size(active)
    if to_add > 0 and sum(member.occupied for member in view.members) > total_size(active):
        return {}
    ordered = sorted(active, key=_size_then_newer if to_add > 0 else _size_then_older, reverse=True)
    sizes: dict[str, int] = {}
    added = 0
    for member in ordered:
        share = _share(view, member, to_add, added)
        sizes[_uid(member)] = member.size + share
        added += share
    first = _uid(ordered[0])
    sizes[first] = max(0, sizes[first] + to_add - added)
    return sizes


def _size_then_newer(member: Member) -> tuple[int, float]:
    created = member.replica_set.meta.created_at
    return member.size, created.timestamp() if created else 0.0


def _size_then_older(member: Member) -> tuple[int, float]:
    size, created = _size_then_newer(member)
    return size, -created


def _share(view: View, member: Member, to_add: int, added: int) -> int:
    """Return how many of ``to_add`` (negative to shrink) go to ``member``, after ``added`` went elsewhere."""
    if to_add in {0, added}:
        return 0
    allowed = to_add - added
    fraction = _fraction(view, member)
    return min(fraction, allowed) if to_add > 0 else max(fraction, allowed)


def _fraction(view: View, member: Member) -> int:
    if view.bounds.desired == 0:
        return -member.size
    noted = member.replica_set.meta.annotations.get(MAX_REPLICAS_ANNOTATION, "")
    before = written_count(noted) or max(1, view.fleet.status.replicas)
    # Half rounds away from zero, as Go's math.Round.
    return (2 * member.size * view.bounds.most + before) // (2 * before) - member.size


def _uid(member: Member) -> str:
    return member.replica_set.meta.uid
