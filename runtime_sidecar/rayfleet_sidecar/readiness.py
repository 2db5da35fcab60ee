"""When an engine is ready: a table of observations, not of hopes. Pure.

Ready means: Ray shows every expected node alive (where the engine runs on Ray), the engine answers its health check,
and since it last became healthy a one-token generation came back. Health endpoints lie: vLLM answers 200 for more than
100 s while a node is frozen, and answers 200 before a first request that kills it.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

_FORGIVEN_LOOKS = 1  # in a row; on a crowded machine one late answer is no news, and traffic should not flap with it


class Reason(StrEnum):
    """Why an engine is not ready, or that it is; the value is part of ``/ready``'s answer."""

    ENGINE_STARTING = "EngineStarting"  # nothing answers, and never did
    ENGINE_LOADING = "EngineLoading"  # answers that it is not there yet, and was never ready
    ENGINE_UNREACHABLE = "EngineUnreachable"  # answered before, does not now
    ENGINE_FAILING = "EngineFailing"  # was ready, and now says that it is unwell
    RAY_NODES_UNKNOWN = "RayNodesUnknown"  # Ray's view cannot be had
    RAY_NODES_MISSING = "RayNodesMissing"  # fewer (or more) nodes alive than expected
    WARMING = "Warming"  # healthy; a first token is awaited
    GENERATION_FAILED = "GenerationFailed"  # healthy, but the one-token generation failed
    READY = "Ready"


class Answer(StrEnum):
    """How the engine's health check went."""

    OK = "ok"
    UNWELL = "unwell"
    LATE = "late"  # none in time: frozen, or only busy
    NONE = "none"  # none at all: refused, reset


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look. ``alive_nodes`` is None when Ray's view could not be had, with ``are_nodes_late`` when not in time.

    ``said`` is the engine's own word on its state.
    """

    answer: Answer
    said: str = ""
    alive_nodes: int | None = None
    are_nodes_late: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What ``/ready`` says: the reason, a sentence, and since when.

    ``has_answered`` remembers this sidecar's whole life, ``was_ready`` only the engine's present one: it ends when the
    engine stops answering, so that one that was started anew is loading and not failing. ``late_looks`` in a row
    brought no answer in time.
    """

    reason: Reason
    message: str
    since: datetime
    has_answered: bool = False
    was_ready: bool = False
    is_proved: bool = False
    late_looks: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether requests may come."""
        return self.reason is Reason.READY

    @property
    def wants_token(self) -> bool:
        """Whether a one-token generation should be running."""
        return self.reason in {Reason.WARMING, Reason.GENERATION_FAILED}


def first_judgement(now: datetime) -> Judgement:
    """Return the judgement before anything was observed."""
    return Judgement(reason=Reason.ENGINE_STARTING, message="the engine has not answered yet", since=now)


def judged(before: Judgement, seen: Observation, expected_nodes: int, now: datetime) -> Judgement:
    """Return the judgement after an observation; ``expected_nodes`` 0 means that the engine does not run on Ray.

    A proof by generation holds only as long as everything else holds without a break. One late answer of a ready engine
    is no break, two in a row are.
    """
    is_late = seen.answer is Answer.LATE or (seen.answer is Answer.OK and bool(expected_nodes) and seen.are_nodes_late)
    late_looks = before.late_looks + 1 if is_late else 0
    if is_late and before.is_ready and late_looks <= _FORGIVEN_LOOKS and not _are_nodes_missing(seen, expected_nodes):
        return replace(before, late_looks=late_looks)
    is_silent = seen.answer in {Answer.LATE, Answer.NONE}
    has_answered = before.has_answered or not is_silent
    reason, message = _reason(before, seen, expected_nodes)
    is_proved = before.is_proved and reason is Reason.READY
    after = replace(
        before,
        message=message,
        has_answered=has_answered,
        was_ready=before.was_ready and not is_silent,
        is_proved=is_proved,
        late_looks=late_looks,
    )
    return _with_reason(after, reason, now)


def with_generation(before: Judgement, failure: str, now: datetime) -> Judgement:
    """Return the judgement after a one-token generation ended; ``failure`` is empty when a token came.

    A generation that ends after the engine became unwell proves nothing.
    """
    if not before.wants_token:
        return before
    if failure:
        after = replace(before, message=f"the one-token generation failed: {failure}")
        return _with_reason(after, Reason.GENERATION_FAILED, now)
    after = replace(before, message="ready", is_proved=True, was_ready=True)
    return _with_reason(after, Reason.READY, now)


def _with_reason(judgement: Judgement, reason: Reason, now: datetime) -> Judgement:
    since = judgement.since if judgement.reason is reason else now
    return replace(judgement, reason=reason, since=since)


def _reason(before: Judgement, seen: Observation, expected_nodes: int) -> tuple[Reason, str]:
    """Return the cause that lies deepest: nodes that are known to be missing explain whatever the engine says."""
    if _are_nodes_missing(seen, expected_nodes):
        return Reason.RAY_NODES_MISSING, f"{seen.alive_nodes}/{expected_nodes} Ray nodes are alive"
    if seen.answer is not Answer.OK:
        return _unwell(before, seen)
    if expected_nodes and seen.alive_nodes is None:
        return Reason.RAY_NODES_UNKNOWN, "Ray's view of its nodes cannot be had"
    if before.is_proved:
        return Reason.READY, "ready"
    if before.reason is Reason.GENERATION_FAILED:
        return Reason.GENERATION_FAILED, before.message
    return Reason.WARMING, "healthy; waiting for a first token"


def _are_nodes_missing(seen: Observation, expected_nodes: int) -> bool:
    return bool(expected_nodes) and seen.alive_nodes is not None and seen.alive_nodes != expected_nodes


def _unwell(before: Judgement, seen: Observation) -> tuple[Reason, str]:
    said = f": {seen.said}" if seen.said else ""
    if seen.answer is Answer.UNWELL and before.was_ready:
        return Reason.ENGINE_FAILING, f"the engine says that it is unwell{said}"
    if seen.answer is Answer.UNWELL:
        return Reason.ENGINE_LOADING, f"the engine is loading{said}"
    if before.has_answered:
        return Reason.ENGINE_UNREACHABLE, f"the engine does not answer{said}"
    return Reason.ENGINE_STARTING, f"the engine has not answered yet{said}"
