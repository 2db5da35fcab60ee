"""Asks the engine and Ray, several times a second, and keeps the newest judgement. Every question has a limit."""

import asyncio
import contextlib
import json
import logging
from datetime import UTC, datetime
from typing import Any

import aiohttp

from rayfleet_sidecar.readiness import Answer, Judgement, Observation, first_judgement, judged, with_generation
from rayfleet_sidecar.settings import SidecarSettings

log = logging.getLogger(__name__)

_PAUSE_AFTER_FAILED_TOKEN_SECONDS = 1.0
_SAID_LIMIT = 200


class Judge:
    """``judgement`` is the newest verdict; ``transitions`` and ``generations`` count for the metrics."""

    def __init__(self, settings: SidecarSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self.judgement: Judgement = first_judgement(datetime.now(UTC))
        self.transitions = 0
        self.generations = {"ok": 0, "failed": 0}

    def is_stale(self, now: datetime) -> bool:
        """Whether the judge has stood still too long for its word to count."""
        return now - self.judgement.judged_at > self._settings.stale_after

    async def run(self) -> None:
        """Judge until cancelled."""
        token: asyncio.Task[None] | None = None
        try:
            while True:
                seen = await self._observed()
                self._take(judged(self.judgement, seen, self._settings.expected_nodes, datetime.now(UTC)))
                if self.judgement.wants_token and (token is None or token.done()):
                    token = asyncio.create_task(self._generate())
                elif not self.judgement.wants_token and not self.judgement.is_ready and token is not None:
                    token.cancel()  # asked an engine that has become unwell: its answer would prove nothing
                    token = None
                await asyncio.sleep(self._settings.judge_period.total_seconds())
        finally:
            if token is not None:
                token.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await token

    async def engine_metrics(self) -> str:
        """Return the engine's page, empty when it cannot be had."""
        try:
            async with (
                asyncio.timeout(self._settings.answer_limit.total_seconds()),
                self._session.get(self._settings.engine_url + self._settings.metrics_path) as response,
            ):
                return await response.text() if response.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
            return ""

    def _take(self, judgement: Judgement) -> None:
        if judgement.reason is not self.judgement.reason:
            self.transitions += 1
            log.info(
                "judgement changed",
                extra={"engine": self._settings.engine, "reason": judgement.reason.value, "because": judgement.message},
            )
        self.judgement = judgement

    async def _observed(self) -> Observation:
        async with asyncio.TaskGroup() as group:
            health = group.create_task(self._health())
            nodes = group.create_task(self._alive_nodes())
        answer, said = health.result()
        return Observation(answer=answer, said=said, alive_nodes=nodes.result())

    async def _health(self) -> tuple[Answer, str]:
        limit = self._settings.answer_limit.total_seconds()
        try:
            async with (
                asyncio.timeout(limit),
                self._session.get(self._settings.engine_url + self._settings.health_path) as response,
            ):
                body = await response.text()
        except TimeoutError:
            return Answer.NONE, f"no answer within {limit:.0f} s"
        except (aiohttp.ClientError, UnicodeDecodeError) as error:
            return Answer.NONE, _short(error)
        return (
            (Answer.OK, "") if response.status == 200 else (Answer.UNWELL, _said(body) or f"status {response.status}")
        )

    async def _alive_nodes(self) -> int | None:
        if not self._settings.expected_nodes:
            return None
        try:
            async with (
                asyncio.timeout(self._settings.answer_limit.total_seconds()),
                self._session.get(self._settings.nodes_url) as response,
            ):
                alive = json.loads(await response.read()).get("alive") if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError):
            return None
        return len(alive) if isinstance(alive, list) else None

    async def _generate(self) -> None:
        """Ask for one token; on failure wait a moment, so that a broken engine is not asked in a tight loop."""
        failure = await self._token_failure()
        self.generations["failed" if failure else "ok"] += 1
        self._take(with_generation(self.judgement, failure, datetime.now(UTC)))
        if failure:
            await asyncio.sleep(_PAUSE_AFTER_FAILED_TOKEN_SECONDS)

    async def _token_failure(self) -> str:
        limit = self._settings.token_limit.total_seconds()
        try:
            async with asyncio.timeout(limit):
                model = self._settings.model or await self._first_model()
                body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
                async with self._session.post(f"{self._settings.engine_url}/v1/completions", json=body) as response:
                    text = await response.text()
        except TimeoutError:
            return f"no token within {limit:.0f} s"
        except (aiohttp.ClientError, ValueError, KeyError, IndexError, TypeError) as error:
            return _short(error)
        if response.status != 200:
            return f"status {response.status}: {_said(text)}"
        return "" if _has_choice(text) else f"an answer without a choice: {text[:_SAID_LIMIT]}"

    async def _first_model(self) -> str:
        async with self._session.get(f"{self._settings.engine_url}/v1/models") as response:
            return str(json.loads(await response.read())["data"][0]["id"])


def _has_choice(text: str) -> bool:
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.get("choices"))


def _said(body: str) -> str:
    """Return what an error body says, in one line: OpenAI's ``error.message``, a ``message`` or ``reason``, else its beginning."""
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(body)
        inner = answer.get("error", answer)
        if isinstance(inner, dict):
            return str(inner.get("message") or inner.get("reason") or inner)[:_SAID_LIMIT]
        return str(inner)[:_SAID_LIMIT]
    return " ".join(body.split())[:_SAID_LIMIT]


def _short(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_SAID_LIMIT]
