"""What the controller process asks of an API server before it starts: that it answers, nothing else."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta

import pytest
from aiohttp import web
from yarl import URL

from rayfleet.controllers import run as controllers
from rayfleet.controllers.run import check_server
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Unauthorized, Unreachable
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer
from rayfleet.testing.waiting import LIMIT_SECONDS

NOW = timedelta(0)


@pytest.mark.parametrize("code", [200, 403, 404])
async def test_a_server_that_answers_will_do_whatever_it_lacks(code: int) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return json_answer({"items": []}) if code == 200 else status_answer(code)

    async with scripted_server(answer) as address, KubeClient(address) as client:
        await check_server(client, limit=NOW)


async def test_who_is_not_let_in_is_told_at_once() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return status_answer(401, "Unauthorized")

    async with scripted_server(answer) as address, KubeClient(address) as client:
        with pytest.raises(Unauthorized):
            await check_server(client, limit=timedelta(seconds=20))


async def test_a_server_that_comes_up_in_time_will_do() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return json_answer({"items": []})

    async with scripted_server(answer) as address:
        port = URL(address.url).port
    async with KubeClient(address) as client:
        checking = asyncio.create_task(check_server(client, limit=timedelta(seconds=20)))
        await asyncio.wait({checking}, timeout=0.3)
        assert not checking.done(), "it is waited for"
        async with scripted_server(answer, port):
            await checking


async def test_no_server_is_unreachable() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return json_answer({})

    async with scripted_server(answer) as address:
        pass
    async with KubeClient(address) as client:
        with pytest.raises(Unreachable):
            await check_server(client, limit=NOW)


async def test_signals_are_heard_until_the_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second SIGTERM ended the process while it closed them."""
    steps: list[str] = []

    @asynccontextmanager
    async def connected() -> AsyncIterator[object]:
        try:
            yield object()
        finally:
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            steps.append("closed")

    async def connect(*_: object, **__: object) -> AbstractAsyncContextManager[object]:
        return connected()

    async def run_controllers(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.Event().wait()

    monkeypatch.setattr(controllers, "connect", connect)
    monkeypatch.setattr(controllers, "run_controllers", run_controllers)
    async with asyncio.timeout(LIMIT_SECONDS):
        await controllers.run(controllers.ControllerSettings())
    assert steps == ["closed"]
