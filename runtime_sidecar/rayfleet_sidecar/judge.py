"""Asks the engine and Ray, several times a second, and keeps the newest judgement.

Every question has a limit, of time and of bytes.
"""

import asyncio
import contextlib
import errno
import json
import logging
import math
import os
import time
from datetime import UTC, datetime
from typing import Any

import aiohttp

from rayfleet_sidecar.readiness import Answer, Judgement, Observation, first_judgement, judged, with_generation
from rayfleet_sidecar.settings import SidecarSettings

log = logging.getLogger(__name__)

_PAUSE_AFTER_FAILED_TOKEN_SECONDS = 1.0
_SAID_LIMIT = 200


class Judge:
    """``judgement`` is the newest verdict; ``transitions``, ``generations`` and ``errors`` count for the metrics."""

    def __init__(self, settings: SidecarSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        # Only for the engine: Ray's view may be somebody else's, who need not learn the key.
        self._headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}
        self._token: asyncio.Task[None] | None = None
        self._looked_at = time.monotonic()
        self._lost_at = -math.inf
        self.judgement: Judgement = first_judgement(datetime.now(UTC))
        self.transitions = 0
        self.errors = 0
        self.generations = {"ok": 0, "failed": 0}

    @property
    def is_stale(self) -> bool:
        """Whether the judge has stood still too long for its word to count."""
        return time.monotonic() - self._looked_at > self._settings.stale_after.total_seconds()

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

    async def engine_metrics(self) -> str:
        """Return the engine's page, empty when it cannot be had."""
        settings = self._settings
        try:
            async with (
                asyncio.timeout(settings.answer_limit.total_seconds()),
                self._session.get(settings.engine_url + settings.metrics_path, headers=self._headers) as response,
            ):
                return await _text(response, settings.most_page_bytes) if response.status == 200 else ""
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def _look(self) -> None:
        seen = await self._observed()
        self._take(judged(self.judgement, seen, self._settings.expected_nodes, datetime.now(UTC)))
        self._looked_at = time.monotonic()
        if self._token is not None and self._token.done():
            ended, self._token = self._token, None
            if not ended.cancelled():
                ended.result()  # an unexpected error is the loop's to log
        is_held = time.monotonic() - self._lost_at < self._settings.shortest_refusal.total_seconds()
        if self.judgement.wants_token and self._token is None and not is_held:
            self._token = asyncio.create_task(self._generate())
        elif not self.judgement.wants_token and not self.judgement.is_ready and self._token is not None:
            self._token.cancel()  # asked an engine that has become unwell: its answer would prove nothing

    def _take(self, judgement: Judgement) -> None:
        if self.judgement.is_ready and not judgement.is_ready:
            self._lost_at = time.monotonic()
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
        alive, are_late = nodes.result()
        return Observation(answer=answer, said=said, alive_nodes=alive, are_nodes_late=are_late)

    async def _health(self) -> tuple[Answer, str]:
        limit = self._settings.answer_limit.total_seconds()
        url = self._settings.engine_url + self._settings.health_path
        try:
            async with (
                asyncio.timeout(limit),
                self._session.get(url, headers=self._headers, allow_redirects=False) as response,
            ):
                body = await _text(response, self._settings.most_bytes)
        except TimeoutError:
            return Answer.LATE, f"no answer within {limit:g} s"
        except aiohttp.ClientError as error:
            return Answer.NONE, _short(error)
        if response.status // 100 == 2:
            return Answer.OK, ""
        return Answer.UNWELL, _said(body) or f"status {response.status}"

    async def _alive_nodes(self) -> tuple[int | None, bool]:
        """Return how many nodes Ray shows alive, None when that cannot be had, and whether that is for want of time."""
        if not self._settings.expected_nodes:
            return None, False
        try:
            async with (
                asyncio.timeout(self._settings.answer_limit.total_seconds()),
                self._session.get(self._settings.nodes_url, allow_redirects=False) as response,
            ):
                text = await _text(response, self._settings.most_bytes)
            alive = json.loads(text).get("alive") if response.status == 200 else None
        except TimeoutError:
            return None, True
        except (aiohttp.ClientError, ValueError, AttributeError):
            return None, False
        return (len(alive) if isinstance(alive, list) else None), False

    async def _generate(self) -> None:
        """Ask for one token; on failure wait a moment, so that a broken engine is not asked in a tight loop."""
        failure = await self._token_failure()
        self.generations["failed" if failure else "ok"] += 1
        self._take(with_generation(self.judgement, failure, datetime.now(UTC)))
        if failure:
            await asyncio.sleep(_PAUSE_AFTER_FAILED_TOKEN_SECONDS)

    async def _token_failure(self) -> str:
        limit = self._settings.token_limit.total_seconds()
        url = f"{self._settings.engine_url}/v1/completions"
        try:
            async with asyncio.timeout(limit):
                model = self._settings.model or await self._first_model()
                body = {"model": model, "prompt": "Hello", "max_tokens": 1, "temperature": 0}
                async with self._session.post(url, json=body, headers=self._headers) as response:
                    text = await _text(response, self._settings.most_bytes)
        except TimeoutError:
            return f"no token within {limit:g} s"
        except (aiohttp.ClientError, ValueError, KeyError, IndexError, TypeError) as error:
            return _short(error)
        if response.status != 200:
            return f"status {response.status}: {_said(text)}"
        return "" if _has_choice(text) else f"an answer without a choice: {text[:_SAID_LIMIT]}"

    async def _first_model(self) -> str:
        async with self._session.get(f"{self._settings.engine_url}/v1/models", headers=self._headers) as response:
            return str(json.loads(await _text(response, self._settings.most_bytes))["data"][0]["id"])


async def _text(response: aiohttp.ClientResponse, most_bytes: int) -> str:
    """Return the body; raises ClientPayloadError when it has more bytes than an honest one can have."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            raise aiohttp.ClientPayloadError(f"an answer of more than {most_bytes} bytes")
    return body.decode("utf-8", "replace")


def _has_choice(text: str) -> bool:
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.get("choices"))


def _said(body: str) -> str:
    """Return what an error body says, in one line.

    OpenAI's ``error.message``, else a ``message`` or ``reason``, else the body's beginning.
    """
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(body)
        inner = answer.get("error", answer)
        if isinstance(inner, dict):
            return str(inner.get("message") or inner.get("reason") or inner)[:_SAID_LIMIT]
        return str(inner)[:_SAID_LIMIT]
    return " ".join(body.split())[:_SAID_LIMIT]


def _short(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno  # the event loop's own words repeat the address and lack the reason
        reason = os.strerror(code) if code is not None and code in errno.errorcode else error.os_error.strerror
        return f"cannot connect to {error.host}:{error.port}: {reason}"
    return (str(error) or type(error).__name__)[:_SAID_LIMIT]
