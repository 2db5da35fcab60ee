"""What one look at an engine shows, and the numbers that a judgement of it goes by. Pure data."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

LONG_AGO = timedelta(days=-1_000_000)
"""By the steady clock: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessRules:
    """The numbers that a judgement goes by; each is a choice.

    ``expected_nodes`` 0: the engine does not run on Ray. ``forgiven_looks``: late ones in a row that move no traffic;
    on a crowded machine one late answer is no news. ``shortest_refusal``: an engine that was ready and is not stays so
    for longer than a readiness probe's period of 1 s, so that no probe misses it. ``pause_after_failure``: a broken
    engine is not asked for tokens in a tight loop. ``stale_after``: a judge that stood still this long judges nothing.
    ``stall_after``: requests that run this long without a step of the engine are stuck (zero: not looked at); longer
    than any step takes. ``suspicious_failures``: so many generations that failed in a row are no client's doing.

    A *canary* is the one-token generation of an engine that is ready and that nobody has asked for anything for
    ``canary_every`` (zero: none). One that is late by ``canary_limit``, alone in the engine, is missed; of those that
    fail otherwise ``forgiven_canaries`` in a row move no traffic. Together with two looks they find an idle engine
    that froze within 10 s.
    """

    expected_nodes: int = 0
    forgiven_looks: int = 1
    shortest_refusal: timedelta = timedelta(seconds=1.5)
    pause_after_failure: timedelta = timedelta(seconds=1)
    stale_after: timedelta = timedelta(seconds=2)
    stall_after: timedelta = timedelta(seconds=120)
    suspicious_failures: int = 3
    canary_every: timedelta = timedelta(seconds=3)
    canary_limit: timedelta = timedelta(seconds=4)
    forgiven_canaries: int = 1


class Answer(StrEnum):
    """How the engine's health check went."""

    OK = "ok"
    UNWELL = "unwell"
    LATE = "late"  # none in time: frozen, or only busy
    NONE = "none"  # none at all: refused, reset


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look. ``alive_nodes`` is None when Ray's view could not be had, with ``are_nodes_late`` when not in time.

    ``detail`` is the engine's own word on its state, or how asking it failed; ``names`` and ``dead_names`` are Ray's
    nodes as it calls them. From the engine's metrics: ``stalled_for`` is how long running requests have not got on,
    ``failures`` the generations that have failed since one ended well, ``read_at`` when they were last read (None:
    never, nobody knows what the engine is at), ``moved_at`` when they last showed work besides the judge's own
    question, or any step; both by the steady clock, as is ``busy_at``: when the engine's port last told of requests
    besides that question, whether or not anything shows of them in the metrics.
    """

    answer: Answer
    detail: str = ""
    alive_nodes: int | None = None
    are_nodes_late: bool = False
    names: tuple[str, ...] = ()
    dead_names: tuple[str, ...] = ()
    stalled_for: timedelta = timedelta()
    failures: int = 0
    read_at: timedelta | None = None
    moved_at: timedelta = LONG_AGO
    busy_at: timedelta = LONG_AGO
