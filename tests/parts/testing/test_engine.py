"""The fake engine speaks the protocol that the real client reads (rayfleet.testing.engine)."""

from collections.abc import AsyncIterator

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from rayfleet.testing.engine import FakeEngine, Fault, fake_engine

SENTENCE = "The capital of France is Paris."
QUESTION: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
async def engine() -> AsyncIterator[FakeEngine]:
    async with fake_engine(FakeEngine(model="m")) as running:
        yield running


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="none", max_retries=0, timeout=60) as found:
        yield found


async def test_chat_in_one_piece(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="m", messages=QUESTION)
    assert answer.choices[0].message.content == SENTENCE
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


async def test_chat_in_pieces_ends_with_its_reason_and_usage(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="m", messages=QUESTION, stream=True, stream_options={"include_usage": True}
    )
    pieces = [piece async for piece in stream]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces[:-1]) == SENTENCE
    assert [piece.choices[0].finish_reason for piece in pieces[:-1]] == [None] * 5 + ["stop"]
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[-1].choices == []
    assert pieces[-1].usage is not None


async def test_completions_stop_at_the_limit_of_tokens(client: openai.AsyncOpenAI) -> None:
    answer = await client.completions.create(model="m", prompt="Hello", max_tokens=1)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("The ", "length")


async def test_models_are_listed_and_others_unknown(client: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["m"]
    with pytest.raises(openai.NotFoundError):
        await client.completions.create(model="nope", prompt="Hello")


async def test_a_key_is_wanted_when_it_has_one(engine: FakeEngine, client: openai.AsyncOpenAI) -> None:
    engine.api_key = "k3y"
    with pytest.raises(openai.AuthenticationError):
        await client.models.list()


@pytest.mark.parametrize("fault", [Fault.DIES_MID_STREAM, Fault.ERROR_IN_STREAM])
async def test_streams_break_as_real_ones_do(engine: FakeEngine, client: openai.AsyncOpenAI, fault: Fault) -> None:
    engine.fault = fault
    stream = await client.chat.completions.create(model="m", messages=QUESTION, stream=True)
    assert (await anext(stream)).choices[0].delta.content == "The "
    with pytest.raises(openai.APIError):
        await anext(stream)
