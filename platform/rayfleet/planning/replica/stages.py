"""The stage clock: where the time of a replica's start went. Pure.

Seconds are added to a stage when a phase of it ends, so a status that holds them changes only with the phase. A replica
that is suspended (Kueue) waits for no stage.
"""

from collections.abc import Mapping
from datetime import datetime

from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.replica.obstacles import Calm

_STAGES: Mapping[ReplicaPhase, str] = {
    ReplicaPhase.PENDING: "scheduling",
    ReplicaPhase.SCHEDULING: "scheduling",
    ReplicaPhase.PULLING: "image",
    ReplicaPhase.RAY_FORMING: "ray",
    ReplicaPhase.ENGINE_LOADING: "weights",
    ReplicaPhase.WARMING: "warmUp",
}
STAGES = tuple(dict.fromkeys(_STAGES.values()))


def stages_after(before: ReplicaState, phase: ReplicaPhase, now: datetime) -> Mapping[str, float]:
    """Return the seconds by stage when a replica that was in ``before`` is in ``phase`` now; tenths are kept."""
    stage = _STAGES.get(before.phase)
    if stage is None or phase is before.phase or before.reason == Calm.SUSPENDED:
        return before.stages
    seconds = max(0.0, (now - before.since).total_seconds())
    return {**before.stages, stage: round(before.stages.get(stage, 0.0) + seconds, 1)}
