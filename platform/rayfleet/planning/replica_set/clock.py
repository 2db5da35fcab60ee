"""Times that a status notes, when the clock has been put back: none lies ahead of now. Pure.

A clock that was hours ahead for a while leaves times behind that have not come yet: a back-off, a grace or a budget
counted from them would hold a broken replica for hours. They begin anew now; with the status that says so they are
written once. A little is left alone, for controllers on two machines differ by that.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from rayfleet.model.fleet import ReplicaSetStatus

SKEW = timedelta(seconds=5)
"""So far ahead a time may lie: our choice."""


def is_ahead(time: datetime, now: datetime) -> bool:
    """Whether a time that was noted lies further ahead than clocks differ."""
    return time > now + SKEW


def status_until(status: ReplicaSetStatus, now: datetime) -> ReplicaSetStatus:
    """Return the status with ``now`` in the place of each time that lies ahead."""

    def until_now(time: datetime) -> datetime:
        return now if is_ahead(time, now) else time

    return replace(
        status,
        ready_since={uid: until_now(time) for uid, time in status.ready_since.items()},
        replica_states=tuple(replace(state, since=until_now(state.since)) for state in status.replica_states),
        rebuilds=tuple(replace(rebuild, time=until_now(rebuild.time)) for rebuild in status.rebuilds),
    )
