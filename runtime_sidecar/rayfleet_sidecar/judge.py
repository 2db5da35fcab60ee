"""Looks at the engine several times a second and keeps the newest judgement; what it means is readiness.py's to say."""

import asyncio
import logging
from dataclasses import replace
from typing import Protocol

from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.readiness import (
    Judgement,
    Observation,
    TokenAction,
    Verdict,
    first_judgement,
    judged,
    next_token_action,
    verdict_of,
    with_generation,
    with_token_action,
)
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.traffic_monitor import TrafficMonitor

log = logging.getLogger(__name__)


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


class Judge:
    """``judgement`` is the newest; ``transitions``, ``generations`` and ``errors`` count for the metrics.

    ``traffic`` knows the engine's requests, for whoever asks.
    """

    def __init__(self, engine: Engine, settings: SidecarSettings, clock: Clock) -> None:
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._token: asyncio.Task[None] | None = None
        self.traffic = TrafficMonitor(engine, settings, clock)
        self.judgement: Judgement = first_judgement(clock())
        self.transitions = 0
        self.errors = 0
        self.generations = {"ok": 0, "failed": 0}

    def verdict(self) -> Verdict:
        """Return what may be told about the engine now."""
        return verdict_of(self.judgement, self._settings.rules, self._clock())

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
            group.create_task(self.traffic.read_when_due())
        rules, now = self._settings.rules, self._clock()
        observation = replace(
            look.result(),
            stalled_for=self.traffic.stalled_for,
            failures=self.traffic.failures,
        )
        self._take(judged(self.judgement, observation, rules, now))
        action = next_token_action(self.judgement, rules, now)
        self._take(with_token_action(self.judgement, action))
        if action is TokenAction.ASK:
            self._token = asyncio.create_task(self._generate())
        elif action is TokenAction.DROP and self._token is not None:
            self._token.cancel()

    async def _generate(self) -> None:
        try:
            failure = await self._engine.token_failure()
        except Exception as error:
            self.errors += 1
            log.exception("asking for a token failed")
            failure = f"{type(error).__name__} in the sidecar; its log tells more"
        self.generations["failed" if failure else "ok"] += 1
        self._take(with_generation(self.judgement, failure, self._clock()))

    def _take(self, judgement: Judgement) -> None:
        if judgement.reason is not self.judgement.reason:
            self.transitions += 1
            log.info(
                "judgement changed",
                extra={"engine": self._settings.engine, "reason": judgement.reason.value, "because": judgement.message},
            )
        self.judgement = judgement
