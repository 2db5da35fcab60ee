"""Looks at the engine several times a second and keeps the newest judgement; what it means is readiness.py's to say."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from rayfleet_sidecar.checks import Check, checks_after
from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.duty import Duty, Leave
from rayfleet_sidecar.observation import LONG_AGO, Observation
from rayfleet_sidecar.readiness import (
    Judgement,
    Reason,
    TokenAction,
    Verdict,
    first_judgement,
    is_canary_due,
    judged,
    next_token_action,
    verdict_of,
    with_generation,
    with_token_action,
)
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.stages import StageClock, clock_after, overdue_words
from rayfleet_sidecar.traffic_monitor import TrafficMonitor

log = logging.getLogger(__name__)

# A generation's traces are on the engine's page by then: what moves afterwards is not its doing. One that has taken
# longer is late, and the page is read at each look, to see why.
_SETTLED_AFTER = timedelta(seconds=0.5)
_LATE_AFTER = timedelta(seconds=0.4)
_LEFT_ALONE = timedelta(seconds=5)  # longer than whoever drains a replica pauses between two questions


class Engine(Protocol):
    """What the judge asks; each question ends within a limit of its own."""

    async def observed(self) -> Observation:
        """Return one look."""
        ...

    async def token_failure(self) -> str:
        """Ask for one token; return what went wrong, empty when it came."""
        ...

    async def metrics_page(self) -> str:
        """Return the engine's own page, empty when it cannot be had."""
        ...

    async def load(self) -> int | None:
        """Return how many requests its port has taken up, 0 where it does not tell; None when it does not answer."""
        ...


class Judge:
    """``on_loss`` is called after a look when a ready engine was lost, or one has failed to generate.

    ``judgement`` is the newest; ``transitions``, ``generations`` and ``errors`` count for the metrics.
    ``traffic`` knows the engine's requests, for whoever asks; ``observation``, ``checks`` and ``stages`` are of the
    newest look, and ``duty`` is what operators have asked for.
    """

    def __init__(
        self,
        engine: Engine,
        settings: SidecarSettings,
        clock: Clock,
        on_loss: Callable[[datetime], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._on_loss = on_loss
        self._is_lost = False
        self._left_alone_until = LONG_AGO
        self._token: asyncio.Task[None] | None = None
        self.traffic = TrafficMonitor(engine, settings, clock)
        self.judgement: Judgement = first_judgement(clock())
        self.observation: Observation | None = None
        self.checks: tuple[Check, ...] = ()
        self.stages = clock_after(StageClock(), self.judgement, clock())
        self.duty = Duty(since=clock().date)
        self.transitions = 0
        self.errors = 0
        self.generations = {"ok": 0, "failed": 0}

    def verdict(self) -> Verdict:
        """Return what may be told about the engine now."""
        now = self._clock()
        verdict = verdict_of(self.judgement, self._settings.rules, now)
        if verdict.is_ready and self.duty.leave is not None:
            return Verdict(is_ready=False, reason=self.duty.leave.value, message=self.duty.words, since=self.duty.since)
        overdue = overdue_words(self.stages, now)
        return replace(verdict, message=f"{verdict.message} ({overdue})") if overdue else verdict

    def leave_alone(self) -> None:
        """Send no canary for a while, and drop the one that is under way: somebody waits for the last request's end."""
        self._left_alone_until = self._clock().steady + _LEFT_ALONE

    def set_duty(self, leave: Leave | None) -> None:
        """Let the engine serve (None), or tell that it does not."""
        before = self.duty
        self.duty = before.changed(leave, self._clock().date)
        if self.duty is not before:
            log.info("duty changed", extra={"engine": self._settings.engine, "duty": leave.value if leave else "Serve"})

    async def run(self) -> None:
        """Judge until cancelled.

        After an unexpected error the verdict goes stale, which is not ready, and the next look follows.
        """
        try:
            while True:
                try:
                    await self._look()
                except Exception:
                    self.errors += 1
                    log.exception("judging failed")
                await asyncio.sleep(self._settings.judge_period.total_seconds())
        finally:
            if self._token is not None:
                self._token.cancel()
                await asyncio.wait([self._token])

    async def _look(self) -> None:
        async with asyncio.TaskGroup() as group:
            look = group.create_task(self._engine.observed())
            group.create_task(self.traffic.read_when_due(is_due=self._is_page_due(self._clock().steady)))
        rules, now = self._settings.rules, self._clock()
        observation = replace(
            look.result(),
            stalled_for=self.traffic.stalled_for,
            failures=self.traffic.failures,
            read_at=self.traffic.read_at,
            moved_at=self.traffic.moved_at,
            busy_at=self.traffic.busy_at,
        )
        self._take(judged(self.judgement, observation, rules, now))
        self.observation = observation
        self.checks = checks_after(self.checks, self.judgement, observation, rules, now.date)
        if self._is_lost:
            self._is_lost = False
            self._on_loss(now.date)
        action = next_token_action(self.judgement, rules, now)
        if self.judgement.is_ready and (self.duty.leave is not None or now.steady < self._left_alone_until):
            action = TokenAction.DROP if self.judgement.is_asked else TokenAction.WAIT
        self._take(with_token_action(self.judgement, action, now))
        self.traffic.own = int(self.judgement.is_asked)
        if action is TokenAction.ASK:
            self._token = asyncio.create_task(self._generate())
        elif action is TokenAction.DROP and self._token is not None:
            self._token.cancel()

    def _is_page_due(self, now: timedelta) -> bool:
        """Whether canaries want to know now what the engine is at: see readiness."""
        seen, rules, read_at = self.judgement, self._settings.rules, self.traffic.read_at
        if not seen.is_ready or not rules.canary_every:
            return False
        if seen.is_asked:
            return now - seen.asked_at >= _LATE_AFTER
        is_settled = now - seen.proved_at >= _SETTLED_AFTER
        is_unsettled_page = read_at is None or read_at - seen.proved_at < _SETTLED_AFTER
        return is_canary_due(seen, rules, now) or (is_settled and is_unsettled_page)

    async def _generate(self) -> None:
        try:
            failure = await self._engine.token_failure()
        except Exception as error:
            self.errors += 1
            log.exception("asking for a token failed")
            failure = f"{type(error).__name__} in the sidecar; its log tells more"
        self.generations["failed" if failure else "ok"] += 1
        self._take(with_generation(self.judgement, failure, self._clock()))
        self.traffic.own = int(self.judgement.is_asked)

    def _take(self, judgement: Judgement) -> None:
        if judgement.reason is not self.judgement.reason:
            self.transitions += 1
            self._is_lost |= self.judgement.is_ready or judgement.reason is Reason.GENERATION_FAILED
            log.info(
                "judgement changed",
                extra={"engine": self._settings.engine, "reason": judgement.reason.value, "because": judgement.message},
            )
        self.judgement = judgement
        self.stages = clock_after(self.stages, judgement, self._clock())
