"""When an engine is ready, and when it is asked for a token: tables of observations, not of hopes. Pure.

Ready means: Ray shows every expected node alive (where the engine runs on Ray), the engine answers its health check,
and since it last became healthy a one-token generation came back. Health endpoints lie: vLLM answers 200 for more than
100 s while a node is frozen, and answers 200 before a first request that kills it. So an engine that is ready and idle
is asked for a token again and again (canary): vLLM without Ray does not notice the death of an idle rank.

A canary waits its turn behind clients' requests, so a late one says something only of an engine that has nothing else
in flight and takes no step: by the engine's own metrics, read after its limit. Without them lateness says nothing. Of
one that is late beside others, which an engine's port may know before its metrics do, a stall is said, in its time.

The judge tells two things, each with the moment of its end: what a look showed (``judged``), and how a one-token
generation went (``with_generation``). After each look it carries out what ``next_token_action`` says. Nothing here
reads a clock, so every order of these and every pause between them can be tried.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from rayfleet_sidecar.observation import LONG_AGO, Answer, Observation, ReadinessRules

STALLED = "JudgeStalled"
_NAMED = 3  # nodes in a sentence at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One reading of two clocks: ``date`` is for people, ``steady`` never jumps and is what durations are counted by.

    ``steady`` counts from an arbitrary beginning.
    """

    date: datetime
    steady: timedelta


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
    CANARY_MISSED = "CanaryMissed"  # was ready and had nothing to do, and a token did not come
    READY = "Ready"


_RAY_LOST = frozenset({Reason.RAY_NODES_UNKNOWN, Reason.RAY_NODES_MISSING})
_TOKEN_ENDED = frozenset({Reason.READY, Reason.GENERATION_FAILED})
_ENGINE_LOST = frozenset({Reason.ENGINE_UNREACHABLE, Reason.ENGINE_FAILING})
_TOKEN_AWAITED = frozenset({Reason.WARMING, Reason.GENERATION_FAILED, Reason.CANARY_MISSED})
_OF_A_READY_ENGINE = frozenset({Reason.ENGINE_STALLED, Reason.CANARY_MISSED})

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
        Reason.RAY_NODES_MISSING: frozenset(Reason) - _TOKEN_ENDED - _OF_A_READY_ENGINE - {Reason.RAY_NODES_MISSING},
        # It gets on, or has nothing to do any more (a token has to say so), or it was lost.
        Reason.ENGINE_STALLED: frozenset({Reason.WARMING}) | _RAY_LOST | _ENGINE_LOST,
        # The token came or failed, or the engine was lost while it was awaited.
        Reason.WARMING: _TOKEN_ENDED | _RAY_LOST | _ENGINE_LOST | {Reason.ENGINE_LOADING},
        # The next token came, or the engine was lost while it was awaited.
        Reason.GENERATION_FAILED: frozenset({Reason.READY, Reason.ENGINE_LOADING}) | _RAY_LOST | _ENGINE_LOST,
        # A token came after all, or the next one failed; or the engine was lost while it was awaited.
        Reason.CANARY_MISSED: _TOKEN_ENDED | _RAY_LOST | _ENGINE_LOST,
        # Lost: never straight to loading, since it was ready. Or it was suspect or idle, and a token has told.
        Reason.READY: _RAY_LOST
        | _ENGINE_LOST
        | {Reason.ENGINE_STALLED, Reason.GENERATION_FAILED, Reason.CANARY_MISSED},
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is known of the engine: the reason, a sentence, since when, and what the next judgement depends on.

    ``has_answered`` remembers this sidecar's whole life, ``was_ready`` only the engine's present one: it ends when the
    engine stops answering, so that one that was started anew is loading and not failing. ``late_looks`` in a row
    brought no answer in time. ``is_asked``: a one-token generation is under way. ``excused_failures`` of clients' were
    before the newest token came; ``is_suspect``: too many have come since. By the steady clock: ``looked_at`` is the
    newest look, ``lost_at`` when the engine last ceased to be ready, ``failed_at`` when the newest generation failed,
    None unless that is the reason or it was a canary: ``failed_canaries`` have in a row, the last one by
    ``canary_failure``. ``asked_at`` is when the newest token was asked for, ``proved_at`` when one came; ``read_at``,
    ``moved_at`` and ``busy_at`` as in an Observation.
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
    asked_at: timedelta = LONG_AGO
    proved_at: timedelta = LONG_AGO
    moved_at: timedelta = LONG_AGO
    busy_at: timedelta = LONG_AGO
    read_at: timedelta = LONG_AGO
    failed_canaries: int = 0
    canary_failure: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether requests may come."""
        return self.reason is Reason.READY

    @property
    def wants_token(self) -> bool:
        """Whether all is well but a token, or its clients' generations fail: only then does one prove anything."""
        return self.reason in _TOKEN_AWAITED or (self.is_ready and self.is_suspect)

    @property
    def is_question_void(self) -> bool:
        """Whether the question that is under way was asked before the engine ceased to be ready by its silence."""
        is_old = self.lost_at is not None and self.asked_at < self.lost_at
        return self.is_asked and self.reason is Reason.CANARY_MISSED and is_old


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
        moved_at=max(before.moved_at, observation.moved_at),
        busy_at=max(before.busy_at, observation.busy_at),
        read_at=before.read_at if observation.read_at is None else observation.read_at,
    )
    if looked.failed_at is not None and looked.moved_at > looked.failed_at:  # canaries fail of an engine that is full
        looked = replace(looked, failed_canaries=0, canary_failure="")
    is_forgiven = is_late and late_looks <= rules.forgiven_looks and not _are_nodes_missing(observation, rules)
    if before.is_ready and is_forgiven:
        return looked
    is_silent = observation.answer in {Answer.LATE, Answer.NONE}
    reason, message = _cause(looked, observation, rules)
    is_forgiven_canary = reason is Reason.READY and looked.failed_canaries > 0
    after = replace(
        looked,
        message=message,
        has_answered=before.has_answered or not is_silent,
        was_ready=before.was_ready and not is_silent,
        is_proved=before.is_proved and reason is Reason.READY,
        lost_at=now.steady if before.is_ready and reason is not Reason.READY else before.lost_at,
        failed_at=before.failed_at if reason is Reason.GENERATION_FAILED or is_forgiven_canary else None,
        failed_canaries=looked.failed_canaries if is_forgiven_canary else 0,
    )
    return _moved(after, reason, now)


def with_generation(before: Judgement, failure: str, now: Moment) -> Judgement:
    """Return the judgement after a one-token generation ended; ``failure`` is empty when a token came.

    One that was dropped, or that ends after the engine became unwell, proves nothing.
    """
    if not before.is_asked:
        return before
    ended = replace(before, is_asked=False)
    is_canary = before.is_ready and not before.is_suspect
    if before.is_question_void or not (before.wants_token or is_canary):
        return ended
    if failure:
        return _with_failed_canary(ended, failure, now) if is_canary else _with_failure(ended, failure, now)
    after = replace(
        ended,
        message="ready",
        is_proved=True,
        was_ready=True,
        excused_failures=before.failures,
        is_suspect=False,
        failed_at=None,
        proved_at=now.steady,
        failed_canaries=0,
    )
    return _moved(after, Reason.READY, now)


def is_canary_due(judgement: Judgement, rules: ReadinessRules, at: timedelta) -> bool:
    """Return whether an engine that is ready would be idle for long enough at ``at``, if nothing were read until then.

    True of one whose metrics were never read: it has to be read first.
    """
    seen_at = max(judgement.proved_at, judgement.moved_at)
    return judgement.is_ready and bool(rules.canary_every) and at - seen_at >= rules.canary_every


def next_token_action(judgement: Judgement, rules: ReadinessRules, now: Moment) -> TokenAction:
    """Return what to do about the one-token generation after a look; at most one is under way.

    None is asked for while a refusal is held or a failure is just past.
    """
    if judgement.is_question_void:
        return TokenAction.DROP
    is_canary = is_canary_due(judgement, rules, judgement.read_at) or (judgement.is_ready and judgement.is_asked)
    match (judgement.wants_token or is_canary, judgement.is_asked, _is_held(judgement, rules, now)):
        case (True, False, False):
            return TokenAction.ASK
        case (False, True, _):
            return TokenAction.DROP
        case _:
            return TokenAction.WAIT


def with_token_action(before: Judgement, action: TokenAction, now: Moment) -> Judgement:
    """Return the judgement once ``action`` is carried out."""
    match action:
        case TokenAction.ASK:
            return replace(before, is_asked=True, asked_at=now.steady)
        case TokenAction.DROP:
            return replace(before, is_asked=False)
        case _:
            return before


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
        dead = f"; dead: {', '.join(observation.dead_names[:_NAMED])}" if observation.dead_names else ""
        message = f"{observation.alive_nodes}/{rules.expected_nodes} Ray nodes are alive{dead}"
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
    if before.is_ready and before.failed_canaries > rules.forgiven_canaries:
        return Reason.GENERATION_FAILED, f"the one-token generation failed: {before.canary_failure}"
    if before.is_ready and _is_canary_missed(before, rules):
        seconds = rules.canary_limit.total_seconds()
        return Reason.CANARY_MISSED, f"a generation that is alone in the engine has brought no token for {seconds:g} s"
    if before.is_proved:
        return Reason.READY, "ready"
    if before.reason in {Reason.GENERATION_FAILED, Reason.CANARY_MISSED}:
        return before.reason, before.message
    return Reason.WARMING, "healthy; waiting for a first token"


def _is_canary_missed(before: Judgement, rules: ReadinessRules) -> bool:
    """Whether a token is late of an engine that, by its metrics, does nothing else and does not get on with it."""
    since = max(before.asked_at, before.moved_at, before.busy_at)
    return before.is_asked and bool(rules.canary_every) and before.read_at - since >= rules.canary_limit


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


def _with_failure(ended: Judgement, failure: str, now: Moment) -> Judgement:
    after = replace(
        ended,
        message=f"the one-token generation failed: {failure}",
        is_proved=False,
        lost_at=now.steady if ended.is_ready else ended.lost_at,
        failed_at=now.steady,
    )
    return _moved(after, Reason.GENERATION_FAILED, now)


def _with_failed_canary(ended: Judgement, failure: str, now: Moment) -> Judgement:
    """Return the judgement with one more failed canary; what so many mean is the next look's to say."""
    failed = ended.failed_canaries + 1
    return replace(ended, failed_canaries=failed, canary_failure=failure, failed_at=now.steady)


def _is_held(judgement: Judgement, rules: ReadinessRules, now: Moment) -> bool:
    is_refusal_young = judgement.lost_at is not None and now.steady - judgement.lost_at < rules.shortest_refusal
    is_failure_young = judgement.failed_at is not None and now.steady - judgement.failed_at < rules.pause_after_failure
    return is_refusal_young or is_failure_young
