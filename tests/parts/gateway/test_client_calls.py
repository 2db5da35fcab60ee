"""Real clients hear through the gateway what they hear from the engine itself, errors by class included.

The packages `openai` (both forms) and `anthropic` (both forms); npm's `openai` is in tests/clients.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from rayfleet.testing.client_engine import client_engine
from rayfleet_gateway.testing import GatewayServer, endpoint_of, table_for

M = "m"
KEY = "k"
CHAT: list[Any] = [{"role": "user", "content": "What is the capital of France? \u00e9\U0001f600"}]
IMAGE = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
WAV = ("a.wav", b"RIFF\x00\xff" * 1000, "audio/wav")
PNG = ("a.png", b"\x89PNG" * 100, "image/png")
STATUSES = (400, 401, 403, 404, 409, 422, 429, 500, 503)
PATHS = ("/v1/messages/count_tokens", "/v1/messages", "/v1/embeddings", "/v1/responses", "/v1/moderations", "/")
Call = Callable[[Any], Any]


def say(what: object) -> dict[str, str]:
    return {"x-say": str(what)}


def refused_chat(status: int) -> Call:
    return lambda c: c.chat.completions.create(model=M, messages=CHAT, extra_headers=say(status))


def refused_stream(status: int) -> Call:
    return lambda c: c.completions.create(model=M, prompt="x", stream=True, extra_headers=say(status))


def refused_message(status: int) -> Call:
    return lambda c: c.messages.create(model=M, max_tokens=5, messages=CHAT, extra_headers=say(status))


OPENAI: dict[str, Call] = {
    "completion": lambda c: c.completions.create(model=M, prompt="x"),
    "completion of a list": lambda c: c.completions.create(model=M, prompt=["x", "y"], n=2),
    "completion of tokens": lambda c: c.completions.create(model=M, prompt=[1, 2, 3], max_tokens=5),
    "completion with options": lambda c: c.completions.create(model=M, prompt="x", stop=["a"], logprobs=1, seed=7),
    "completion stream": lambda c: c.completions.create(model=M, prompt="x", stream=True),
    "completion stream with usage": lambda c: c.completions.create(
        model=M, prompt="x", stream=True, stream_options={"include_usage": True}
    ),
    "chat": lambda c: c.chat.completions.create(model=M, messages=CHAT),
    "chat stream": lambda c: c.chat.completions.create(model=M, messages=CHAT, stream=True),
    "chat stream with usage": lambda c: c.chat.completions.create(
        model=M, messages=CHAT, stream=True, stream_options={"include_usage": True}
    ),
    "chat with tools": lambda c: c.chat.completions.create(model=M, messages=CHAT, tools=[TOOL]),
    "chat with a format": lambda c: c.chat.completions.create(
        model=M, messages=CHAT, response_format={"type": "json_object"}
    ),
    "chat with an image": lambda c: c.chat.completions.create(model=M, messages=[{"role": "user", "content": IMAGE}]),
    "long chat": lambda c: c.chat.completions.create(model=M, messages=CHAT * 500),
    "chat with more": lambda c: c.chat.completions.create(
        model=M, messages=CHAT, extra_body={"top_k": 1}, extra_headers={"x-own": "1"}, extra_query={"q": "a b"}
    ),
    "embeddings": lambda c: c.embeddings.create(model=M, input="x", encoding_format="float"),
    "embeddings of a list": lambda c: c.embeddings.create(model=M, input=["x"] * 100, encoding_format="float"),
    "response": lambda c: c.responses.create(model=M, input="x"),
    "response stream": lambda c: c.responses.create(model=M, input="x", stream=True),
    "moderation": lambda c: c.moderations.create(model=M, input="x"),
    "transcription": lambda c: c.audio.transcriptions.create(model=M, file=WAV),
    "images": lambda c: c.images.generate(model=M, prompt="x"),
    "image edit": lambda c: c.images.edit(model=M, prompt="x", image=PNG),
    "error event": lambda c: c.completions.create(model=M, prompt="x", stream=True, extra_headers=say("error-event")),
    "time-out": lambda c: c.with_options(timeout=0.3).completions.create(
        model=M, prompt="x", extra_headers=say("silence")
    ),
    **{f"error {status}": refused_chat(status) for status in STATUSES},
    **{f"error {status} of a stream": refused_stream(status) for status in STATUSES[::3]},
}
ANTHROPIC: dict[str, Call] = {
    "message": lambda c: c.messages.create(model=M, max_tokens=5, messages=CHAT),
    "message with a system": lambda c: c.messages.create(model=M, max_tokens=5, messages=CHAT, system="be brief"),
    "message with options": lambda c: c.messages.create(
        model=M,
        max_tokens=5,
        messages=CHAT,
        stop_sequences=["a"],
        metadata={"user_id": "u"},
        extra_headers={"x-own": "1"},
    ),
    "long message": lambda c: c.messages.create(model=M, max_tokens=5, messages=CHAT * 500),
    "message stream": lambda c: c.messages.create(model=M, max_tokens=5, messages=CHAT, stream=True),
    "tokens": lambda c: c.messages.count_tokens(model=M, messages=CHAT),
    "error event": lambda c: c.messages.create(
        model=M, max_tokens=5, messages=CHAT, stream=True, extra_headers=say("error-event")
    ),
    **{f"error {status}": refused_message(status) for status in (*STATUSES, 529)},
}


@dataclass(frozen=True, slots=True)
class Urls:
    """The engine's own, and the gateway's."""

    direct: str
    through: str


@pytest.fixture
async def urls() -> AsyncIterator[Urls]:
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(client_engine())
        gateway = GatewayServer(table_for(M, endpoint_of(direct), paths=PATHS))
        await stack.enter_async_context(gateway)
        yield Urls(direct, gateway.url)


def refusals() -> tuple[type[Exception], ...]:
    """Return what the packages raise for an answer; the larger one is imported by who runs a test here, not by all."""
    import anthropic

    return (openai.APIError, anthropic.APIError)


def told(error: Exception) -> tuple[object, ...]:
    """Return what of an error a program may look at."""
    names = ("status_code", "code", "param", "type", "body", "message")
    return (type(error), *(getattr(error, name, None) for name in names))


async def heard(client: Any, call: Call) -> object:
    """Return what a client hears: an answer, the events of a stream, or an error."""
    try:
        answer = call(client)
        if inspect.isawaitable(answer):
            answer = await answer
        if hasattr(answer, "__aiter__"):
            return [piece.model_dump() async for piece in answer]
        return answer.model_dump()
    except refusals() as error:
        return told(error)


def heard_at_once(client: Any, call: Call) -> object:
    """As ``heard``, of a synchronous client."""
    try:
        answer = call(client)
        return answer.model_dump() if hasattr(answer, "model_dump") else [piece.model_dump() for piece in answer]
    except refusals() as error:
        return told(error)


def is_as_it_should_be(name: str, answer: object) -> bool:
    """Whether an answer is what its call is for: an error where one was asked for, else none."""
    return isinstance(answer, tuple) == name.startswith(("error", "time-out"))


@pytest.mark.parametrize("name", OPENAI)
async def test_openai_asynchronous(urls: Urls, name: str) -> None:
    answers = []
    for url in (urls.direct, urls.through):
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            answers.append(await heard(client, OPENAI[name]))
    assert is_as_it_should_be(name, answers[0])
    assert answers[1] == answers[0]


@pytest.mark.parametrize("name", OPENAI)
async def test_openai_synchronous(urls: Urls, name: str) -> None:
    answers = []
    for url in (urls.direct, urls.through):
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0) as client:
            answers.append(await asyncio.to_thread(heard_at_once, client, OPENAI[name]))
    assert is_as_it_should_be(name, answers[0])
    assert answers[1] == answers[0]


@pytest.mark.parametrize("name", ANTHROPIC)
async def test_anthropic_asynchronous(urls: Urls, name: str) -> None:
    import anthropic

    answers = []
    for url in (urls.direct, urls.through):
        async with anthropic.AsyncAnthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            answers.append(await heard(client, ANTHROPIC[name]))
    assert is_as_it_should_be(name, answers[0])
    assert answers[1] == answers[0]


@pytest.mark.parametrize("name", ANTHROPIC)
async def test_anthropic_synchronous(urls: Urls, name: str) -> None:
    import anthropic

    answers = []
    for url in (urls.direct, urls.through):
        with anthropic.Anthropic(base_url=url, api_key=KEY, max_retries=0) as client:
            answers.append(await asyncio.to_thread(heard_at_once, client, ANTHROPIC[name]))
    assert is_as_it_should_be(name, answers[0])
    assert answers[1] == answers[0]
