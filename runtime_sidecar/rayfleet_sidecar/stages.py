"""The stage clock: how far the start of an engine has come, since when, and which stage takes too long. Pure.

These are the stages that can be seen from beside the engine; those of the pods (schedule, image) are the controllers'.
A start begins with the sidecar, and anew whenever an engine is lost that was there. How long a stage may take is a
choice, for words alone: nothing is decided on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType

from rayfleet_sidecar.readiness import Judgement, Moment, Reason


class StageName(StrEnum):
    """What is waited for."""

    RAY_NODES = "RayNodes"  # every node of the replica in Ray
    ENGINE_START = "EngineStart"  # the engine's port
    ENGINE_LOAD = "EngineLoad"  # the engine says that it loads
    FIRST_TOKEN = "FirstToken"  # noqa: S105 - a stage, no secret


PATIENCE: Mapping[StageName, timedelta] = MappingProxyType(
    {
        StageName.RAY_NODES: timedelta(minutes=5),
        StageName.ENGINE_START: timedelta(minutes=15),  # vLLM opens its port when it has loaded and compiled
        StageName.ENGINE_LOAD: timedelta(minutes=15),
        StageName.FIRST_TOKEN: timedelta(minutes=3),
    }
)
_STAGES: Mapping[Reason, StageName] = MappingProxyType(
    {
        Reason.RAY_NODES_UNKNOWN: StageName.RAY_NODES,
        Reason.RAY_NODES_MISSING: StageName.RAY_NODES,
        Reason.ENGINE_STARTING: StageName.ENGINE_START,
        Reason.ENGINE_UNREACHABLE: StageName.ENGINE_START,
        Reason.ENGINE_LOADING: StageName.ENGINE_LOAD,
        Reason.WARMING: StageName.FIRST_TOKEN,
        Reason.GENERATION_FAILED: StageName.FIRST_TOKEN,
    }
)
_LOST = frozenset({StageName.RAY_NODES, StageName.ENGINE_START, StageName.ENGINE_LOAD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage; ``ended`` is None while it lasts."""

    name: StageName
    began: Moment
    ended: Moment | None = None

    def lasted(self, now: Moment) -> timedelta:
        """Return how long it has taken so far, or in all."""
        return (self.ended or now).steady - self.began.steady

    def is_overdue(self, now: Moment) -> bool:
        """Whether it lasts longer than such a stage should."""
        return self.ended is None and self.lasted(now) > PATIENCE[self.name]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageClock:
    """The stages of the newest start, in the order in which they were gone through; ``is_done`` by its first token."""

    stages: tuple[Stage, ...] = ()
    is_done: bool = False

    @property
    def current(self) -> Stage | None:
        """The stage that lasts; None when there is none, since the engine has started."""
        return self.stages[-1] if self.stages and self.stages[-1].ended is None else None


def clock_after(before: StageClock, judgement: Judgement, now: Moment) -> StageClock:
    """Return the clock after a judgement."""
    name = _STAGES.get(judgement.reason)
    if judgement.is_ready:
        return before if before.is_done else StageClock(stages=_ended(before.stages, now), is_done=True)
    if name is None or (before.is_done and name not in _LOST):
        return before
    if before.is_done:
        return StageClock(stages=(Stage(name=name, began=now),))
    if before.current is not None and before.current.name is name:
        return before
    return StageClock(stages=(*_ended(before.stages, now), Stage(name=name, began=now))[-_MOST:])


def overdue_words(clock: StageClock, now: Moment) -> str:
    """Return what is to be said of a stage that takes too long, empty when none does."""
    stage = clock.current
    if stage is None or not stage.is_overdue(now):
        return ""
    minutes = PATIENCE[stage.name].total_seconds() / 60
    return f"stalled in stage {stage.name}, which should be over in {minutes:g} min"


_MOST = 32  # an engine that starts in a loop goes through many


def _ended(stages: tuple[Stage, ...], now: Moment) -> tuple[Stage, ...]:
    if not stages or stages[-1].ended is not None:
        return stages
    return (*stages[:-1], replace(stages[-1], ended=now))
