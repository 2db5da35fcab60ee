"""The real ``openai`` package, in both its forms, through the gateway to a fake engine.

Real sockets, nothing replaced.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import openai
import pytest

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet_gateway.routes import Endpoint
from rayfleet_gateway.testing import RunningGateway, running_gateway, table_for

T = TypeVar("T")
TEXT = "The capital of France is Paris."
PROMPT = "What is the capital of France?"
LIMIT_SECONDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A gateway, its engine, and the two clients."""

    gateway: RunningGateway
    engine: FakeEngine
    sync: openai.OpenAI
    client: openai.AsyncOpenAI


@asynccontextmanager
async def stage(
    *, fault: Fault = Fault.NONE, has_endpoint: bool = True, timeout: timedelta | None = None
) -> AsyncIterator[Stage]:
    async with asyncio.timeout(LIMIT_SECONDS), AsyncExitStack() as stack:
        engine = await stack.enter_async_context(fake_engine(FakeEngine(model="smollm2", fault=fault)))
        endpoint = Endpoint(address="127.0.0.1", port=int(engine.url.rsplit(":", 1)[1]))
        table = table_for("smollm2", *([endpoint] if has_endpoint else []), timeout=timeout)
        gateway = await stack.enter_async_context(running_gateway(table))
        url = f"{gateway.url}/v1"
        sync = stack.enter_context(openai.OpenAI(base_url=url, api_key="unused"))
        client = await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="unused"))
        yield Stage(gateway=gateway, engine=engine, sync=sync, client=client)


async def beside(work: Callable[[], T]) -> T:
    """Run the synchronous client beside the loop that serves it."""
    return await asyncio.to_thread(work)


async def test_completions() -> None:
    async with stage() as on:
        answer = await on.client.completions.create(model="smollm2", prompt=PROMPT)
        assert answer.choices[0].text == TEXT
        answer = await beside(lambda: on.sync.completions.create(model="smollm2", prompt=PROMPT))
        assert answer.choices[0].text == TEXT


async def test_chat() -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": PROMPT}]
    async with stage() as on:
        answer = await on.client.chat.completions.create(model="smollm2", messages=messages)
        assert answer.choices[0].message.content == TEXT
        answer = await beside(lambda: on.sync.chat.completions.create(model="smollm2", messages=messages))
        assert answer.choices[0].message.content == TEXT


async def test_streaming() -> None:
    messages: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": PROMPT}]
    async with stage() as on:
        stream = await on.client.chat.completions.create(model="smollm2", messages=messages, stream=True)
        assert "".join([part.choices[0].delta.content or "" async for part in stream]) == TEXT

        def synchronous() -> str:
            parts = on.sync.completions.create(model="smollm2", prompt=PROMPT, stream=True)
            return "".join(part.choices[0].text for part in parts)

        assert await beside(synchronous) == TEXT
        assert on.gateway.counted() == {("smollm2", "200", "ok"): 2}


async def test_models_are_listed_and_retrieved() -> None:
    async with stage() as on:
        assert [model.id async for model in on.client.models.list()] == ["smollm2"]
        assert [model.id for model in await beside(lambda: list(on.sync.models.list()))] == ["smollm2"]
        assert (await on.client.models.retrieve("smollm2")).id == "smollm2"
        with pytest.raises(openai.NotFoundError, match="Did you mean smollm2"):
            await on.client.models.retrieve("smollm")


async def test_an_unknown_model_is_not_found_and_not_asked_again() -> None:
    async with stage() as on:
        with pytest.raises(openai.NotFoundError, match="Did you mean smollm2") as caught:
            await on.client.completions.create(model="smollm3", prompt=PROMPT)
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert caught.value.request_id
        with pytest.raises(openai.NotFoundError):
            await beside(lambda: on.sync.completions.create(model="smollm3", prompt=PROMPT))
        assert on.gateway.counted() == {("unknown", "404", "refused"): 2}


async def test_header_and_body_that_differ_are_a_bad_request_not_asked_again() -> None:
    async with stage() as on:
        with pytest.raises(openai.BadRequestError, match="must agree"):
            await on.client.completions.create(model="smollm2", prompt=PROMPT, extra_headers={"model": "other"})
        assert on.gateway.counted() == {("unknown", "400", "refused"): 1}


async def test_the_model_named_twice_is_a_bad_request() -> None:
    async with stage() as on:
        body = b'{"model": "smollm2", "mod\\u0065l": "other", "prompt": "x"}'
        with pytest.raises(openai.BadRequestError, match="twice"):
            await on.client.post("/completions", cast_to=object, content=body)


async def test_an_error_in_the_middle_of_a_stream_is_raised() -> None:
    for fault in (Fault.DIES_MID_STREAM, Fault.ERROR_IN_STREAM):
        async with stage(fault=fault) as on:
            stream = await on.client.completions.create(model="smollm2", prompt=PROMPT, stream=True)
            assert (await anext(stream)).choices[0].text == "The "
            with pytest.raises(openai.APIError):
                await anext(stream)
            with pytest.raises(openai.APIError):
                await beside(lambda: list(on.sync.completions.create(model="smollm2", prompt=PROMPT, stream=True)))


async def test_a_model_without_a_ready_replica_says_when_to_ask_again() -> None:
    async with stage(has_endpoint=False) as on:
        with pytest.raises(openai.InternalServerError) as caught:
            await on.client.with_options(max_retries=0).completions.create(model="smollm2", prompt=PROMPT)
        assert (caught.value.status_code, caught.value.code) == (503, "model_not_ready")
        assert float(caught.value.response.headers["retry-after-ms"]) > 0


async def test_a_time_out_is_not_asked_again() -> None:
    async with stage(fault=Fault.HANGS, timeout=timedelta(seconds=0.2)) as on:
        with pytest.raises(openai.InternalServerError) as caught:
            await on.client.completions.create(model="smollm2", prompt=PROMPT)
        assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
        assert on.engine.requests == 1


async def test_a_client_that_gives_up_ends_the_generation() -> None:
    async with stage(fault=Fault.HANGS) as on:
        asked = asyncio.create_task(on.client.completions.create(model="smollm2", prompt=PROMPT))
        while not on.engine.running:
            await asyncio.sleep(0.01)
        asked.cancel()
        while on.engine.running:
            await asyncio.sleep(0.01)
        assert on.engine.aborted == 1
