"""The replicas of a fleet as a table: where each stands, for how long, where its time went. Pure."""

from collections.abc import Iterable
from datetime import datetime

from rayfleet.cli.durations import age
from rayfleet.model.replica import ReplicaState

_HEAD = ("REPLICA", "PHASE", "PROGRESS", "FOR", "REASON", "SPENT IN")


def replica_rows(states: Iterable[ReplicaState], now: datetime) -> list[list[str]]:
    """Return a head and a row for each state, in the order given; empty without a state."""
    rows = [
        [
            state.name,
            state.phase.value,
            state.progress or "-",
            age(state.since, now),
            state.reason or "-",
            ", ".join(f"{stage} {seconds:.0f}s" for stage, seconds in state.stages.items()) or "-",
        ]
        for state in states
    ]
    return [list(_HEAD), *rows] if rows else []
