"""Ask a model one question through the gateway, and time the answer."""

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import timedelta

import aiohttp

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.json import ReadOnlyJson

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; ``chunks`` counts the events that carried text, about one per token."""

    text: str
    first_token: timedelta
    total: timedelta
    chunks: int


async def ask(url: str, model: str, question: str, limit: timedelta) -> Answer:
    """Return the answer of ``model`` behind the gateway at ``url``.

    A gateway that has not yet seen a replica that is just ready (503) is asked again within ``limit``. Raises
    EnvironmentProblem with what the gateway or the engine said last, also when the stream ends without ``[DONE]``.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit.total_seconds()
    left, refusal = limit, None
    while True:
        try:
            return await _asked(url, model, question, left)
        except _NotReadyYet as error:
            refusal = error
        except _NotInTime as error:
            raise refusal or error from error
        log.info("not ready yet, asking again", extra={"model": model, "reason": refusal.message})
        await asyncio.sleep(ASK_AGAIN_SECONDS)
        left = timedelta(seconds=deadline - loop.time())
        if left <= timedelta():
            raise refusal


class _NotReadyYet(EnvironmentProblem):
    """The gateway said 503."""


class _NotInTime(EnvironmentProblem):
    """No whole answer came within the limit."""


async def _asked(url: str, model: str, question: str, limit: timedelta) -> Answer:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": question}],
        "temperature": 0,
        "max_tokens": 64,
        "stream": True,
    }
    started = asyncio.get_running_loop().time()
    timeout = aiohttp.ClientTimeout(total=limit.total_seconds())
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(f"{url}/v1/chat/completions", json=body) as response,
        ):
            if response.status != 200:
                words = (await response.text())[:500]
                problem = _NotReadyYet if response.status == 503 else EnvironmentProblem
                raise problem(f"the gateway answered {response.status}: {words}")
            return await _read(response, started)
    except TimeoutError as error:
        raise _NotInTime(f"no whole answer from {url} within {limit.total_seconds():.1f} s") from error
    except aiohttp.ClientError as error:
        raise EnvironmentProblem(f"no answer from {url}: {str(error) or type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse, started: float) -> Answer:
    loop = asyncio.get_running_loop()
    texts: list[str] = []
    first = 0.0
    async for line in response.content:
        data = line.strip().removeprefix(b"data:").strip()
        if data == b"[DONE]":
            break
        if not data or not line.startswith(b"data:"):
            continue
        text = _text(json.loads(data))
        if text and not texts:
            first = loop.time() - started
        texts += [text] if text else []
    else:
        raise EnvironmentProblem("the answer ended before it was complete")
    return Answer(
        text="".join(texts).strip(),
        first_token=timedelta(seconds=first),
        total=timedelta(seconds=loop.time() - started),
        chunks=len(texts),
    )


def _text(event: ReadOnlyJson) -> str:
    if "error" in event:
        raise EnvironmentProblem(f"the engine said: {event['error']}")
    choices = event.get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")
