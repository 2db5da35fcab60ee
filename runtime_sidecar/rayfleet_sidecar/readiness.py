"""When an engine is ready, and when it is asked for a token: tables of observations, not of hopes. Pure.

Ready means: Ray shows every expected node alive (where the engine runs on Ray), the engine answers its health check,
and since it last became healthy a one-token generation came back. Health endpoints lie: vLLM answers 200 for more than
100 s while a node is frozen, and answers 200 before a first request that kills it.

The judge tells two things, each with the moment of its end: what a look showed (``judged``), and how a one-token
generation went (``with_generation``). After each look it carries out what ``next_token_action`` says. Nothing here
reads a clock, so every order of these and every pause between them can be tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

STALLED = "JudgeStalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One reading of two clocks: ``date`` is for people, ``steady`` never jumps and is what durations are counted by.

    ``steady`` counts from an arbitrary beginning.
    """

    date: datetime
    steady: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessRules:
    """The numbers that a judgement goes by; each is a choice.

    ``expected_nodes`` 0: the engine does not run on Ray. ``forgiven_looks``: late ones in a row that move no traffic;
    on a crowded machine one late answer is no news. ``shortest_refusal``: an engine that was ready and is not stays so
    for longer than a readiness probe's period of 1 s, so that no probe misses it. ``pause_after_failure``: a broken
    engine is not asked for tokens in a tight loop. ``stale_after``: a judge that stood still this long judges nothing.
    ``stall_after``: requests that run this long without a step of the engine are stuck (zero: not looked at); longer
    than any step takes. ``suspicious_failures``: so many generations that failed in a row are no client's doing.
    """

    expected_nodes: int = 0
    forgiven_looks: int = 1
    shortest_refusal: timedelta = timedelta(seconds=1.5)
    pause_after_failure: timedelta = timedelta(seconds=1)
    stale_after: timedelta = timedelta(seconds=2)
    stall_after: timedelta = timedelta(seconds=120)
    suspicious_failures: int = 3


class Reason(StrEnum):
    """Why an engine is not ready, or that it is; the value is part of ``/ready``'s answer."""

    ENGINE_STARTING = "EngineStarting"  # nothing answers, and never did
    ENGINE_LOADING = "EngineLoading"  # answers that it is not there yet, and was never ready
    ENGINE_UNREACHABLE = "EngineUnreachable"  # answered before, does not now
    ENGINE_FAILING = "EngineFailing"  # was ready, and now says that it is unwell
    RAY_NODES_UNKNOWN = "RayNodesUnknown"  # Ray's view cannot be had
    RAY_NODES_MISSING = "RayNodesMissing"  # fewer (or more) nodes alive than expected
    ENGINE_STALLED = "EngineStalled"  # was ready, and its running requests do not get on
    WARMING = "Warming"  # healthy; a first token is awaited
    GENERATION_FAILED = "GenerationFailed"  # healthy, but the one-token generation failed
    READY = "Ready"


_RAY_LOST = frozenset({Reason.RAY_NODES_UNKNOWN, Reason.RAY_NODES_MISSING})
_TOKEN_ENDED = frozenset({Reason.READY, Reason.GENERATION_FAILED})
_ENGINE_LOST = frozenset({Reason.ENGINE_UNREACHABLE, Reason.ENGINE_FAILING})

# A reason that stays is no transition. Ready is reached by a token alone.
TRANSITIONS: Mapping[Reason, frozenset[Reason]] = MappingProxyType(
    {
        # The engine's first word, or Ray's before it.
        Reason.ENGINE_STARTING: frozenset({Reason.ENGINE_LOADING, Reason.WARMING}) | _RAY_LOST,
        # It is there, or gone before it was; it cannot fail before it was ready.
        Reason.ENGINE_LOADING: frozenset({Reason.ENGINE_UNREACHABLE, Reason.WARMING}) | _RAY_LOST,
        # It is there again, as a new engine: loading, whatever it was before.
        Reason.ENGINE_UNREACHABLE: frozenset({Reason.ENGINE_LOADING, Reason.WARMING}) | _RAY_LOST,
        # It got over it (a token has to say so), or fell silent.
        Reason.ENGINE_FAILING: frozenset({Reason.ENGINE_UNREACHABLE, Reason.WARMING}) | _RAY_LOST,
        # Ray answers, or the engine has a trouble of its own, which explains more.
        Reason.RAY_NODES_UNKNOWN: frozenset({Reason.RAY_NODES_MISSING, Reason.ENGINE_LOADING, Reason.WARMING})
        | _ENGINE_LOST,
        # The nodes are there again, and what they hid shows: anything that does not need a ready engine before.
        Reason.RAY_NODES_MISSING: frozenset(Reason) - _TOKEN_ENDED - {Reason.RAY_NODES_MISSING, Reason.ENGINE_STALLED},
        # It gets on, or has nothing to do any more (a token has to say so), or it was lost.
        Reason.ENGINE_STALLED: frozenset({Reason.WARMING}) | _RAY_LOST | _ENGINE_LOST,
        # The token came or failed, or the engine was lost while it was awaited.
        Reason.WARMING: _TOKEN_ENDED | _RAY_LOST | _ENGINE_LOST | {Reason.ENGINE_LOADING},
        # The next token came, or the engine was lost while it was awaited.
        Reason.GENERATION_FAILED: frozenset({Reason.READY, Reason.ENGINE_LOADING}) | _RAY_LOST | _ENGINE_LOST,
        # Lost: never straight to loading, since it was ready. Or it was suspect, and a token has told.
        Reason.READY: _RAY_LOST | _ENGINE_LOST | {Reason.ENGINE_STALLED, Reason.GENERATION_FAILED},
    }
)


class Answer(StrEnum):
    """How the engine's health check went."""

    OK = "ok"
    UNWELL = "unwell"
    LATE = "late"  # none in time: frozen, or only busy
    NONE = "none"  # none at all: refused, reset


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look. ``alive_nodes`` is None when Ray's view could not be had, with ``are_nodes_late`` when not in time.

    ``detail`` is the engine's own word on its state, or how asking it failed. From its metrics: ``stalled_for`` is how
    long running requests have not got on, ``failures`` the generations that have failed since one ended well.
    """

    answer: Answer
    detail: str = ""
    alive_nodes: int | None = None
    are_nodes_late: bool = False
    stalled_for: timedelta = timedelta()
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known of the engine: the reason, a sentence, since when, and what the next judgement depends on.

    ``has_answered`` remembers this sidecar's whole life, ``was_ready`` only the engine's present one: it ends when the
    engine stops answering, so that one that was started anew is loading and not failing. ``late_looks`` in a row
    brought no answer in time. ``is_asked``: a one-token generation is under way. ``excused_failures`` of clients' were
    before the newest token came; ``is_suspect``: too many have come since. By the steady clock: ``looked_at`` is the
    newest look, ``lost_at`` when the engine last ceased to be ready, ``failed_at`` when the newest generation failed,
    None unless that is the reason.
    """

    reason: Reason
    message: str
    since: datetime
    looked_at: timedelta
    has_answered: bool = False
    was_ready: bool = False
    is_proved: bool = False
    late_looks: int = 0
    is_asked: bool = False
    failures: int = 0
    excused_failures: int = 0
    is_suspect: bool = False
    lost_at: timedelta | None = None
    failed_at: timedelta | None = None

    @property
    def is_ready(self) -> bool:
        """Whether requests may come."""
        return self.reason is Reason.READY

    @property
    def wants_token(self) -> bool:
        """Whether all is well but a token, or its clients' generations fail: only then does one prove anything."""
        return self.reason in {Reason.WARMING, Reason.GENERATION_FAILED} or (self.is_ready and self.is_suspect)


class TokenAction(StrEnum):
    """What is to be done now about the one-token generation."""

    ASK = "ask"
    DROP = "drop"  # it was asked of an engine that has become unwell: its answer would prove nothing
    WAIT = "wait"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be told about the engine; ``reason`` is a Reason's value or ``STALLED``."""

    is_ready: bool
    reason: str
    message: str
    since: datetime


def first_judgement(now: Moment) -> Judgement:
    """Return the judgement before anything was observed."""
    return Judgement(
        reason=Reason.ENGINE_STARTING,
        message="the engine has not answered yet",
        since=now.date,
        looked_at=now.steady,
    )


def judged(before: Judgement, observation: Observation, rules: ReadinessRules, now: Moment) -> Judgement:
    """Return the judgement after a look.

    A proof by generation holds only as long as everything else holds without a break. As many late answers of a ready
    engine as ``rules`` forgive are no break, one more in a row is.
    """
    is_late = _is_late(observation, rules)
    late_looks = before.late_looks + 1 if is_late else 0
    excused = min(before.excused_failures, observation.failures)  # fewer than before: they are counted anew
    looked = replace(
        before,
        looked_at=now.steady,
        late_looks=late_looks,
        failures=observation.failures,
        excused_failures=excused,
        is_suspect=observation.failures - excused >= rules.suspicious_failures,
    )
    is_forgiven = is_late and late_looks <= rules.forgiven_looks and not _are_nodes_missing(observation, rules)
    if before.is_ready and is_forgiven:
        return looked
    is_silent = observation.answer in {Answer.LATE, Answer.NONE}
    reason, message = _cause(before, observation, rules)
    after = replace(
        looked,
        message=message,
        has_answered=before.has_answered or not is_silent,
        was_ready=before.was_ready and not is_silent,
        is_proved=before.is_proved and reason is Reason.READY,
        lost_at=now.steady if before.is_ready and reason is not Reason.READY else before.lost_at,
        failed_at=before.failed_at if reason is Reason.GENERATION_FAILED else None,
    )
    return _moved(after, reason, now)


def with_generation(before: Judgement, failure: str, now: Moment) -> Judgement:
    """Return the judgement after a one-token generation ended; ``failure`` is empty when a token came.

    One that was dropped, or that ends after the engine became unwell, proves nothing.
    """
    if not before.is_asked:
        return before
    ended = replace(before, is_asked=False)
    if not before.wants_token:
        return ended
    if failure:
        after = replace(
            ended,
            message=f"the one-token generation failed: {failure}",
            is_proved=False,
            lost_at=now.steady if before.is_ready else before.lost_at,
            failed_at=now.steady,
        )
        return _moved(after, Reason.GENERATION_FAILED, now)
    after = replace(
        ended,
        message="ready",
        is_proved=True,
        was_ready=True,
        excused_failures=before.failures,
        is_suspect=False,
        failed_at=None,
    )
    return _moved(after, Reason.READY, now)


def next_token_action(judgement: Judgement, rules: ReadinessRules, now: Moment) -> TokenAction:
    """Return what to do about the one-token generation after a look; at most one is under way.

    None is asked for while a refusal is held or a failure is just past.
    """
    match (judgement.wants_token, judgement.is_asked, _is_held(judgement, rules, now)):
        case (True, False, False):
            return TokenAction.ASK
        case (False, True, _):
            return TokenAction.DROP
        case _:
            return TokenAction.WAIT


def with_token_action(before: Judgement, action: TokenAction) -> Judgement:
    """Return the judgement once ``action`` is carried out."""
    return before if action is TokenAction.WAIT else replace(before, is_asked=action is TokenAction.ASK)


def verdict_of(judgement: Judgement, rules: ReadinessRules, now: Moment) -> Verdict:
    """Return what may be told of a judgement; that of a judge which stands still is not ready, whatever it says."""
    if now.steady - judgement.looked_at > rules.stale_after:
        message = "the sidecar's own judge stands still"
        return Verdict(is_ready=False, reason=STALLED, message=message, since=judgement.since)
    return Verdict(
        is_ready=judgement.is_ready,
        reason=judgement.reason.value,
        message=judgement.message,
        since=judgement.since,
    )


def _is_late(observation: Observation, rules: ReadinessRules) -> bool:
    are_nodes_late = bool(rules.expected_nodes) and observation.are_nodes_late
    return observation.answer is Answer.LATE or (observation.answer is Answer.OK and are_nodes_late)


def _are_nodes_missing(observation: Observation, rules: ReadinessRules) -> bool:
    is_known = bool(rules.expected_nodes) and observation.alive_nodes is not None
    return is_known and observation.alive_nodes != rules.expected_nodes


def _cause(before: Judgement, observation: Observation, rules: ReadinessRules) -> tuple[Reason, str]:
    """Return the cause that lies deepest: nodes that are known to be missing explain whatever the engine says."""
    if _are_nodes_missing(observation, rules):
        message = f"{observation.alive_nodes}/{rules.expected_nodes} Ray nodes are alive"
        return Reason.RAY_NODES_MISSING, message
    if observation.answer is not Answer.OK:
        return _engine_cause(before, observation)
    if rules.expected_nodes and observation.alive_nodes is None:
        return Reason.RAY_NODES_UNKNOWN, "Ray's view of its nodes cannot be had"
    return _well_cause(before, observation, rules)


def _well_cause(before: Judgement, observation: Observation, rules: ReadinessRules) -> tuple[Reason, str]:
    """Return what is to be said of an engine that says itself that it is well."""
    if before.reason in {Reason.READY, Reason.ENGINE_STALLED} and _is_stalled(observation, rules):
        seconds = observation.stalled_for.total_seconds()
        return Reason.ENGINE_STALLED, f"requests are running, and the engine has taken no step for {seconds:.0f} s"
    if before.is_proved:
        return Reason.READY, "ready"
    if before.reason is Reason.GENERATION_FAILED:
        return Reason.GENERATION_FAILED, before.message
    return Reason.WARMING, "healthy; waiting for a first token"


def _is_stalled(observation: Observation, rules: ReadinessRules) -> bool:
    return bool(rules.stall_after) and observation.stalled_for >= rules.stall_after


def _engine_cause(before: Judgement, observation: Observation) -> tuple[Reason, str]:
    detail = f": {observation.detail}" if observation.detail else ""
    if observation.answer is Answer.UNWELL and before.was_ready:
        return Reason.ENGINE_FAILING, f"the engine says that it is unwell{detail}"
    if observation.answer is Answer.UNWELL:
        return Reason.ENGINE_LOADING, f"the engine is loading{detail}"
    if before.has_answered:
        return Reason.ENGINE_UNREACHABLE, f"the engine does not answer{detail}"
    return Reason.ENGINE_STARTING, f"the engine has not answered yet{detail}"


def _moved(judgement: Judgement, reason: Reason, now: Moment) -> Judgement:
    """Return the judgement with another reason; ValueError for a step that the table lacks."""
    if reason is judgement.reason:
        return judgement
    if reason not in TRANSITIONS[judgement.reason]:
        raise ValueError(f"an engine cannot go from {judgement.reason} to {reason}")
    return replace(judgement, reason=reason, since=now.date)


def _is_held(judgement: Judgement, rules: ReadinessRules, now: Moment) -> bool:
    is_refusal_young = judgement.lost_at is not None and now.steady - judgement.lost_at < rules.shortest_refusal
    is_failure_young = judgement.failed_at is not None and now.steady - judgement.failed_at < rules.pause_after_failure
    return is_refusal_young or is_failure_young
