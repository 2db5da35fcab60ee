"""One replica of a fleet as people are told of it: its phase, what blocks it, and where its time went. Pure.

Written into the statuses of replica sets and fleets (``replicaStates``); ``planning.replica`` derives it from the
RayCluster and its pods, never from KubeRay's sticky fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

FORMING_TIMED_OUT = "FormingTimedOut"
"""The reason of a Broken replica that has never been ready: Ray did not come to stand in its containers in time."""
NODE_LOST = "NodeLost"
"""The reason of a Terminating replica whose pods nobody will end any more: it keeps no place."""


class ReplicaPhase(StrEnum):
    """Where a replica stands between its RayCluster's making and its end, in that order."""

    PENDING = "Pending"
    SCHEDULING = "Scheduling"
    PULLING = "Pulling"
    RAY_FORMING = "RayForming"
    ENGINE_LOADING = "EngineLoading"
    WARMING = "Warming"
    READY = "Ready"
    DRAINING = "Draining"
    BROKEN = "Broken"
    TERMINATING = "Terminating"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """``name`` is the RayCluster's, ``uid`` its UID; ``since`` is when it came into this phase.

    ``progress`` is ``2/3`` where a phase counts pods. ``pod`` and ``container`` name what blocks, empty when nothing
    does. ``incarnation`` tells the lives of its pods apart as they were when it was last ready (empty before): when
    they differ, what its engine held is lost. ``stages`` are seconds spent in ``image``, ``scheduling``, ``ray``,
    ``weights`` and ``warmUp``, by name.
    """

    name: str
    uid: str
    phase: ReplicaPhase
    reason: str = ""
    message: str = ""
    since: datetime
    progress: str = ""
    pod: str = ""
    container: str = ""
    incarnation: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuild:
    """One replica that was given up and made anew: which place of its replica set, when and why.

    ``is_open``: it had been ready, and what is in its place since has not been yet.
    """

    index: int
    name: str
    time: datetime
    reason: str
    message: str = ""
    is_open: bool = False
