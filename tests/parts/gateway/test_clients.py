"""The real ``openai`` package, in both its forms, through the gateway to a fake engine.

Real sockets, nothing replaced.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

import openai
import pytest

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine
from rayfleet.testing.waiting import until
from rayfleet_gateway.testing import GatewayServer, endpoint_of, table_for

T = TypeVar("T")
PROMPT = "What is the capital of France?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A gateway, its engine, and the two clients."""

    gateway: GatewayServer
    engine: FakeEngine
    sync: openai.OpenAI
    client: openai.AsyncOpenAI


class OpenStage(Protocol):
    """Opens a stage; without ``has_endpoint`` the engine is not among the ready ones."""

    def __call__(
        self, *, fault: Fault = Fault.NONE, has_endpoint: bool = True, timeout: timedelta | None = None
    ) -> Awaitable[Stage]: ...


@pytest.fixture
async def stage() -> AsyncIterator[OpenStage]:
    async with AsyncExitStack() as stack:

        async def opened(
            *, fault: Fault = Fault.NONE, has_endpoint: bool = True, timeout: timedelta | None = None
        ) -> Stage:
            engine = await stack.enter_async_context(fake_engine(FakeEngine(model="smollm2", fault=fault)))
            endpoints = [endpoint_of(engine.url)] if has_endpoint else []
            gateway = GatewayServer(table_for("smollm2", *endpoints, timeout=timeout))
            await stack.enter_async_context(gateway)
            url = f"{gateway.url}/v1"
            sync = stack.enter_context(openai.OpenAI(base_url=url, api_key="unused"))
            client = await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="unused"))
            return Stage(gateway=gateway, engine=engine, sync=sync, client=client)

        yield opened


async def beside(work: Callable[[], T]) -> T:
    """Run the synchronous client beside the loop that serves it."""
    return await asyncio.to_thread(work)


async def test_models_are_listed_and_retrieved(stage: OpenStage) -> None:
    on = await stage()
    assert [model.id async for model in on.client.models.list()] == ["smollm2"]
    assert [model.id for model in await beside(lambda: list(on.sync.models.list()))] == ["smollm2"]
    assert (await on.client.models.retrieve("smollm2")).id == "smollm2"
    with pytest.raises(openai.NotFoundError, match="Did you mean smollm2"):
        await on.client.models.retrieve("smollm")


async def test_an_unknown_model_is_not_found_and_not_asked_again(stage: OpenStage) -> None:
    on = await stage()
    with pytest.raises(openai.NotFoundError, match="Did you mean smollm2") as caught:
        await on.client.completions.create(model="smollm3", prompt=PROMPT)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.request_id
    with pytest.raises(openai.NotFoundError):
        await beside(lambda: on.sync.completions.create(model="smollm3", prompt=PROMPT))
    assert on.gateway.counted() == {("unknown", "404", "refused"): 2}


async def test_header_and_body_that_differ_are_a_bad_request_not_asked_again(stage: OpenStage) -> None:
    on = await stage()
    with pytest.raises(openai.BadRequestError, match="must agree"):
        await on.client.completions.create(model="smollm2", prompt=PROMPT, extra_headers={"model": "other"})
    assert on.gateway.counted() == {("unknown", "400", "refused"): 1}


async def test_the_model_named_twice_is_a_bad_request(stage: OpenStage) -> None:
    on = await stage()
    body = b'{"model": "smollm2", "mod\\u0065l": "other", "prompt": "x"}'
    with pytest.raises(openai.BadRequestError, match="twice"):
        await on.client.post("/completions", cast_to=object, content=body)


@pytest.mark.parametrize("fault", [Fault.DIES_MID_STREAM, Fault.ERROR_IN_STREAM])
async def test_an_error_in_the_middle_of_a_stream_is_raised(stage: OpenStage, fault: Fault) -> None:
    on = await stage(fault=fault)
    stream = await on.client.completions.create(model="smollm2", prompt=PROMPT, stream=True)
    assert (await anext(stream)).choices[0].text == "The "
    with pytest.raises(openai.APIError):
        await anext(stream)
    with pytest.raises(openai.APIError):
        await beside(lambda: list(on.sync.completions.create(model="smollm2", prompt=PROMPT, stream=True)))


async def test_a_model_without_a_ready_replica_says_when_to_ask_again(stage: OpenStage) -> None:
    on = await stage(has_endpoint=False)
    with pytest.raises(openai.InternalServerError) as caught:
        await on.client.with_options(max_retries=0).completions.create(model="smollm2", prompt=PROMPT)
    assert (caught.value.status_code, caught.value.code) == (503, "model_not_ready")
    assert float(caught.value.response.headers["retry-after-ms"]) > 0


async def test_a_time_out_is_not_asked_again(stage: OpenStage) -> None:
    on = await stage(fault=Fault.HANGS, timeout=timedelta(seconds=1))  # which begins before the engine is reached
    with pytest.raises(openai.InternalServerError) as caught:
        await on.client.completions.create(model="smollm2", prompt=PROMPT)
    assert (caught.value.status_code, caught.value.code) == (504, "upstream_timeout")
    assert on.engine.requests == 1


async def test_a_client_that_gives_up_ends_the_generation(stage: OpenStage) -> None:
    on = await stage(fault=Fault.HANGS)
    asked = asyncio.create_task(on.client.completions.create(model="smollm2", prompt=PROMPT))
    await until(lambda: on.engine.running, "the engine is at work")
    asked.cancel()
    await until(lambda: not on.engine.running, "the engine has stopped")
    assert on.engine.aborted == 1
