"""The first question to a fleet (rayfleet.local.up.ask)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rayfleet.local.up.ask import ask
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.engine import FakeEngine, Fault, fake_engine

LIMIT = timedelta(seconds=20)
SHORT = timedelta(seconds=2)
SILENT = 0


@asynccontextmanager
async def gateway(*statuses: int) -> AsyncIterator[str]:
    """Answer with each status in turn, and with the last one for ever; 200 is a whole stream, SILENT is no answer."""
    left = list(statuses)

    async def serve(_: web.Request) -> web.Response:
        status = left.pop(0) if len(left) > 1 else left[0]
        if status == SILENT:
            await asyncio.Event().wait()
        if status != 200:
            return web.Response(status=status, text="the model has no ready replica")
        text = 'data: {"choices": [{"delta": {"content": "Paris"}}]}\n\ndata: [DONE]\n\n'
        return web.Response(text=text, content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", serve)
    async with TestServer(app) as server:
        yield str(server.make_url("/")).rstrip("/")


async def test_an_answer_is_read_to_its_end_and_timed() -> None:
    async with fake_engine() as engine:
        answer = await ask(engine.url, "fake", "What is the capital of France?", LIMIT)
    assert answer.text == "The capital of France is Paris."
    assert answer.chunks == 6
    assert answer.first_token <= answer.total


async def test_a_gateway_that_has_not_seen_the_replica_yet_is_asked_again() -> None:
    async with gateway(503, 503, 200) as url:
        assert (await ask(url, "m", "?", LIMIT)).text == "Paris"


@pytest.mark.parametrize(
    ("statuses", "limit"), [((404,), LIMIT), ((502,), LIMIT), ((503,), SHORT), ((503, 502), LIMIT)]
)
async def test_a_refusal_that_stays_is_told(statuses: tuple[int, ...], limit: timedelta) -> None:
    async with gateway(*statuses) as url:
        with pytest.raises(EnvironmentProblem, match=f"{statuses[-1]}.*no ready replica"):
            await ask(url, "m", "?", limit)


async def test_a_gateway_that_falls_silent_is_told_by_its_last_word() -> None:
    async with gateway(503, SILENT) as url:
        with pytest.raises(EnvironmentProblem, match=r"503.*no ready replica"):
            await ask(url, "m", "?", SHORT)


async def test_a_gateway_that_says_nothing_is_named() -> None:
    async with gateway(SILENT) as url:
        with pytest.raises(EnvironmentProblem, match=f"no whole answer from {url} within 0.1 s"):
            await ask(url, "m", "?", timedelta(seconds=0.1))


@pytest.mark.parametrize("fault", [Fault.DIES_MID_STREAM, Fault.ERROR_IN_STREAM])
async def test_half_an_answer_is_no_answer(fault: Fault) -> None:
    async with fake_engine(FakeEngine(fault=fault)) as engine:
        with pytest.raises(EnvironmentProblem):
            await ask(engine.url, "fake", "?", LIMIT)
