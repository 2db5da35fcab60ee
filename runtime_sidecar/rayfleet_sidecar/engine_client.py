"""Asks the engine, and Ray through it: how it is, for one token, for its metrics.

Every question has a limit, of time and of bytes, and whatever goes wrong with it is an answer too.
"""

import asyncio
import contextlib
import errno
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import aiohttp

from rayfleet_sidecar.aibrix import EngineAnswer
from rayfleet_sidecar.metrics.engine_page import EnginePage, PageState
from rayfleet_sidecar.observation import Answer, Observation
from rayfleet_sidecar.settings import SidecarSettings

_QUOTED_CHARACTERS = 200
_MOST_NAMES = 64


class _TooLarge(aiohttp.ClientPayloadError):
    """The body has more bytes than are read."""


class EngineClient:
    """The session is the caller's to close."""

    def __init__(self, settings: SidecarSettings, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        # Only for the engine: Ray's view may be somebody else's, who need not learn the key.
        self._headers = {"Authorization": f"Bearer {settings.api_key}"} if settings.api_key else {}

    async def observed(self) -> Observation:
        """Return one look: the engine's health and Ray's nodes, both asked at once."""
        async with asyncio.TaskGroup() as group:
            health = group.create_task(self._health())
            nodes = group.create_task(self._nodes())
        answer, detail = health.result()
        return replace(nodes.result(), answer=answer, detail=detail)

    async def token_failure(self) -> str:
        """Ask for one token; return what went wrong, empty when it came."""
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
            return _failure(error)
        if response.status != 200:
            return f"status {response.status}: {_error_text(text)}"
        return "" if _has_choice(text) else f"an answer without a choice: {text[:_QUOTED_CHARACTERS]}"

    async def metrics_page(self) -> str:
        """Return the engine's page, empty when it cannot be had."""
        return (await self.page()).text

    async def page(self) -> EnginePage:
        """Return the engine's metrics as they came, or why they did not."""
        settings = self._settings
        began = time.monotonic()
        headers = {**self._headers, "Accept": "text/plain;version=0.0.4", "Accept-Encoding": "identity"}
        body, state = b"", PageState.OK
        try:
            async with (
                asyncio.timeout(settings.answer_limit.total_seconds()),
                self._session.get(settings.engine_url + settings.metrics_path, headers=headers) as response,
            ):
                if response.status == 200:
                    body = await _body(response, settings.most_page_bytes)
                else:
                    state = PageState.REFUSED
        except TimeoutError:
            state = PageState.LATE
        except _TooLarge:
            state = PageState.TOO_LARGE
        except aiohttp.ClientError:
            state = PageState.UNREACHABLE
        text = body.decode("utf-8", "replace")
        return EnginePage(state=state, text=text, size_bytes=len(body), seconds=time.monotonic() - began)

    async def load(self) -> int | None:
        """Return how many requests the engine's port has taken up, 0 where it does not tell; None without an answer."""
        settings = self._settings
        path, _, key = settings.load_path.partition("#")
        if not path:
            return 0
        try:
            async with (
                asyncio.timeout(settings.answer_limit.total_seconds()),
                self._session.get(settings.engine_url + path, headers=self._headers, allow_redirects=False) as response,
            ):
                text = await _text(response, settings.most_bytes)
        except (TimeoutError, aiohttp.ClientError):
            return None
        return _number(text, key) if response.status == 200 else 0

    async def models(self, authorization: str) -> EngineAnswer:
        """Return the engine's answer to ``/v1/models``; asked as the caller, or as ourselves when there is no word."""
        limit = self._settings.answer_limit.total_seconds()
        headers = {"Authorization": authorization} if authorization else self._headers
        try:
            async with (
                asyncio.timeout(limit),
                self._session.get(f"{self._settings.engine_url}/v1/models", headers=headers) as response,
            ):
                text = await _text(response, self._settings.most_bytes)
        except TimeoutError:
            return EngineAnswer(failure=f"no answer within {limit:g} s", is_late=True)
        except aiohttp.ClientError as error:
            return EngineAnswer(failure=_failure(error))
        return EngineAnswer(status=response.status, text=text)

    async def operate(self, path: str) -> tuple[int, str]:
        """Post to one of the engine's own operations; return its status and what it says, 0 when it does not answer."""
        url = self._settings.engine_url + path
        try:
            async with (
                asyncio.timeout(self._settings.operation_limit.total_seconds()),
                self._session.post(url, headers=self._headers, allow_redirects=False) as response,
            ):
                return response.status, _error_text(await _text(response, self._settings.most_bytes))
        except TimeoutError:
            return 0, "no answer in time"
        except aiohttp.ClientError as error:
            return 0, _failure(error)

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
            return Answer.NONE, _failure(error)
        if response.status // 100 == 2:
            return Answer.OK, ""
        return Answer.UNWELL, _error_text(body) or f"status {response.status}"

    async def _nodes(self) -> Observation:
        """Return Ray's part of a look: how many nodes it shows alive, and how they are called."""
        unknown = Observation(answer=Answer.NONE)
        if not self._settings.rules.expected_nodes:
            return unknown
        try:
            async with (
                asyncio.timeout(self._settings.answer_limit.total_seconds()),
                self._session.get(self._settings.nodes_url, allow_redirects=False) as response,
            ):
                text = await _text(response, self._settings.most_bytes)
            content: Any = json.loads(text) if response.status == 200 else None
        except TimeoutError:
            return replace(unknown, are_nodes_late=True)
        except (aiohttp.ClientError, ValueError):
            return unknown
        match content:
            case {"alive": list(alive), **rest}:
                dead = rest.get("dead")
                return Observation(
                    answer=Answer.NONE,
                    alive_nodes=len(alive),
                    names=_names(alive),
                    dead_names=_names(dead if isinstance(dead, list) else ()),
                )
            case _:
                return unknown

    async def _first_model(self) -> str:
        async with self._session.get(f"{self._settings.engine_url}/v1/models", headers=self._headers) as response:
            return str(json.loads(await _text(response, self._settings.most_bytes))["data"][0]["id"])


def _names(values: Sequence[object]) -> tuple[str, ...]:
    """Return some of the nodes' names: they are for people."""
    return tuple(str(each)[:_QUOTED_CHARACTERS] for each in values[:_MOST_NAMES])


async def _text(response: aiohttp.ClientResponse, most_bytes: int) -> str:
    """Return the body; raises ClientPayloadError when it has more bytes than an honest one can have."""
    return (await _body(response, most_bytes)).decode("utf-8", "replace")


async def _body(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most_bytes:
            raise _TooLarge(f"an answer of more than {most_bytes} bytes")
    return bytes(body)


def _number(text: str, key: str) -> int:
    """Return the whole number under a key of a JSON object, 0 when there is none."""
    try:
        content: Any = json.loads(text)
    except ValueError:
        return 0
    value = content.get(key) if isinstance(content, dict) else None
    return value if type(value) is int else 0


def _has_choice(text: str) -> bool:
    try:
        answer: Any = json.loads(text)
    except ValueError:
        return False
    return isinstance(answer, dict) and bool(answer.get("choices"))


def _error_text(body: str) -> str:
    """Return what an error body says, in one line.

    OpenAI's ``error.message``, a ``message`` or ``reason``, else its beginning.
    """
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(body)
        inner = answer.get("error", answer)
        if isinstance(inner, dict):
            return str(inner.get("message") or inner.get("reason") or inner)[:_QUOTED_CHARACTERS]
        return str(inner)[:_QUOTED_CHARACTERS]
    return " ".join(body.split())[:_QUOTED_CHARACTERS]


def _failure(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno  # the event loop's own words repeat the address and lack the reason
        reason = os.strerror(code) if code is not None and code in errno.errorcode else error.os_error.strerror
        return f"cannot connect to {error.host}:{error.port}: {reason}"
    return (str(error) or type(error).__name__)[:_QUOTED_CHARACTERS]
