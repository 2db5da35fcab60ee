"""The next sizes of a rolling update and of a recreation. Pure.

As Deployment's ``reconcileNewReplicaSet``, ``reconcileOldReplicaSets`` and ``rolloutRecreate``; one direction per pass.
One difference: what counts against the surge is what exists, not only what was asked for, and with accelerators also
what is still on its way out.
"""

from collections.abc import Sequence

from rayfleet.planning.fleet.members import Member, total_size
from rayfleet.planning.fleet.rescaling import Sizes
from rayfleet.planning.fleet.view import View


def first_size(view: View) -> int:
    """Return the size a new replica set is made with: what there is room for, 0 when the others fill the surge."""
    return max(0, min(view.bounds.desired, view.room_for(None)))


def rolling_sizes(view: View, new: Member) -> Sizes:
    """Return the next sizes: the new one grown, else the old ones shrunk, else nothing."""
    grown = _grown_size(view, new)
    if grown != new.size:
        return {new.replica_set.meta.uid: grown}
    return _shrunk_old(view, new)


def recreate_sizes(view: View) -> Sizes | None:
    """Return the next sizes of the old ones: 0; None once every old Ray cluster is gone."""
    if any(member.size for member in view.old):
        return {member.replica_set.meta.uid: 0 for member in view.old if member.size}
    return {} if any(member.active or member.terminating for member in view.old) else None


def _grown_size(view: View, new: Member) -> int:
    """Return what the new replica set may grow (or must shrink) to.

    With desired 10, surge 3 and old 10, a new set of 0 may grow to 3.
    """
    return min(view.bounds.desired, max(new.size, view.room_for(new)))


def _shrunk_old(view: View, new: Member) -> Sizes:
    """Return smaller sizes of the old ones, unhealthy ones first, such that enough stay available.

    Desired 10, unavailable 2, old 10 all available, new 3 of which 1 is available: at most 13 - 8 - 2 = 3 may go.
    """
    sizes = {member.replica_set.meta.uid: member.size for member in view.old}
    budget = total_size(view.members) - view.bounds.least_available - max(0, new.size - new.available)
    _take_unhealthy(view.old, sizes, budget)
    usable = new.usable + sum(min(sizes[member.replica_set.meta.uid], member.available) for member in view.old)
    surplus = usable - view.bounds.least_available if budget > 0 else 0
    for member in view.old:
        uid = member.replica_set.meta.uid
        taken = max(0, min(surplus, sizes[uid]))
        sizes[uid] -= taken
        surplus -= taken
    return {uid: size for uid, size in sizes.items() if size != _size_of(view.old, uid)}


def _take_unhealthy(old: Sequence[Member], sizes: dict[str, int], budget: int) -> None:
    """Take up to ``budget`` Ray clusters that are not available out of ``sizes``, oldest replica set first."""
    for member in old:
        unhealthy = member.size - member.usable
        taken = max(0, min(budget, unhealthy))
        sizes[member.replica_set.meta.uid] -= taken
        budget -= taken


def _size_of(members: Sequence[Member], uid: str) -> int:
    return next(member.size for member in members if member.replica_set.meta.uid == uid)
