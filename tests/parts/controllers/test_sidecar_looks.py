"""Sidecars are asked the question that concerns their head, others are not; what is news wakes a replica set."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from aiohttp import web

from rayfleet.controllers.sidecar_looks import Ask, LookSettings, Question, Reply, SidecarLooks, asking
from rayfleet.controllers.sidecar_questions import reasons_not_ready, requests_in_flight
from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, RAY_CLUSTERS
from rayfleet.objects.meta import name_of
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.observed import InFlight
from rayfleet.testing.ray_pods import head_pod, leaving_pod, withdrawn_pod, worker_pod
from rayfleet.testing.stored_objects import with_metadata
from rayfleet.testing.waiting import until

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
SOON = timedelta(milliseconds=1)
LOADING = Reply(status=503, body=b'{"reason": "EngineLoading", "message": "the engine is loading"}')
T = TypeVar("T")


def owned(pod: ReadOnlyJson, uid: str) -> Json:
    return with_metadata(pod, {"ownerReferences": [controller_reference(RAY_CLUSTERS, "a", uid)]})


def counted(requests: int) -> Reply:
    return Reply(status=200, body=f'{{"in_flight": {requests}}}'.encode())


class Script:
    """Says what a test wants, and notes who was asked for what."""

    def __init__(self, reply: Reply | None) -> None:
        self.reply = reply
        self.asked: list[tuple[str, int, str]] = []

    async def __call__(self, address: str, port: int, path: str) -> Reply | None:
        self.asked.append((address, port, path))
        return self.reply


@asynccontextmanager
async def running(question: Question[T], ask: Ask) -> AsyncIterator[tuple[SidecarLooks[T], list[str]]]:
    pods = Reflector(KubeClient(KubeAddress(url="http://nowhere")), PODS)
    looks = SidecarLooks(pods, replace(question, every=SOON), ask=ask)
    woken: list[str] = []
    task = asyncio.create_task(looks.run(lambda head: woken.append(name_of(head))))
    try:
        yield looks, woken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def asked_again(ask: Script, times: int = 3) -> None:
    """Wait until that many more looks were made."""
    before = len(ask.asked)
    await until(lambda: len(ask.asked) >= before + times, "more looks")


async def test_a_drained_head_is_asked_until_it_may_go() -> None:
    ask = Script(counted(2))
    out = owned(withdrawn_pod(head_pod("a", since=LONG_AGO), at=LONG_AGO), "c1")
    async with running(requests_in_flight(), ask) as (looks, woken):
        looks.hear(None, owned(head_pod("other", since=LONG_AGO), "c2"))
        looks.hear(None, out)
        await until(lambda: looks.looks().get("c1") == InFlight(requests=2), "a count")
        assert set(ask.asked) == {("10.0.0.1", 8080, "/inflight")}
        assert woken == []
        ask.reply = counted(0)
        await until(lambda: "a-head" in woken, "a wake-up")
        assert looks.looks()["c1"].idle_looks >= 2


async def test_a_silent_sidecar_lets_it_go_after_three_looks() -> None:
    async with running(requests_in_flight(), Script(None)) as (looks, woken):
        looks.hear(None, owned(withdrawn_pod(head_pod("a", since=LONG_AGO), at=LONG_AGO), "c1"))
        await until(lambda: "a-head" in woken, "a wake-up")
        assert looks.looks()["c1"].failed_looks >= 3


@pytest.mark.parametrize("how", ["back", "going", "gone"])
async def test_one_that_is_drained_no_more_is_forgotten(how: str) -> None:
    back = owned(head_pod("a", since=LONG_AGO), "c1")
    out = owned(withdrawn_pod(head_pod("a", since=LONG_AGO), at=LONG_AGO), "c1")
    async with running(requests_in_flight(), Script(counted(2))) as (looks, _):
        looks.hear(back, out)
        await until(lambda: "c1" in looks.looks(), "a count")
        looks.hear(out, {"back": back, "going": leaving_pod(out, at=LONG_AGO), "gone": None}[how])
        assert looks.looks() == {}


async def test_only_a_running_head_with_a_sidecar_that_is_not_ready_is_asked_why() -> None:
    unready = head_pod("a", since=LONG_AGO, ready=False)
    pending = {**unready, "status": {**unready["status"], "phase": "Pending"}}
    others = (
        head_pod("b", since=LONG_AGO),
        head_pod("c", since=LONG_AGO, ready=False, sidecar=False),
        with_metadata(pending, {"uid": "d"}),
        worker_pod("e", since=LONG_AGO, ready=False),
        leaving_pod(head_pod("f", since=LONG_AGO, ready=False), at=LONG_AGO),
    )
    async with running(reasons_not_ready(), Script(LOADING)) as (looks, _):
        for number, pod in enumerate(others):
            looks.hear(None, owned(pod, f"other-{number}"))
        looks.hear(None, owned(unready, "c1"))
        await until(lambda: "c1" in looks.looks(), "words")
        assert set(looks.looks()) == {"c1"}
        assert (looks.looks()["c1"].reason, looks.looks()["c1"].pod) == ("EngineLoading", "a-head")


async def test_words_wake_once_until_they_are_others() -> None:
    ask = Script(LOADING)
    unready = owned(head_pod("a", since=LONG_AGO, ready=False), "c1")
    async with running(reasons_not_ready(), ask) as (looks, woken):
        looks.hear(None, unready)
        await asked_again(ask)
        assert woken == ["a-head"]
        ask.reply = Reply(status=503, body=b'{"reason": "Warming", "message": "healthy"}')
        await until(lambda: len(woken) == 2, "a wake-up")
        await asked_again(ask)
        assert len(woken) == 2
        ask.reply = None
        await until(lambda: len(woken) == 3, "a wake-up")
        assert looks.looks()["c1"].reason == ""
        looks.hear(unready, owned(head_pod("a", since=LONG_AGO), "c1"))
        assert looks.looks() == {}


async def test_another_head_of_the_same_ray_cluster_begins_anew() -> None:
    ask = Script(LOADING)
    first = owned(head_pod("a", since=LONG_AGO, ready=False, uid="one"), "c1")
    second = owned(head_pod("a", since=LONG_AGO, ready=False, uid="two"), "c1")
    async with running(reasons_not_ready(), ask) as (looks, woken):
        looks.hear(None, first)
        await until(lambda: "c1" in looks.looks(), "words")
        looks.hear(None, second)
        assert looks.looks() == {}
        looks.hear(first, None)
        await until(lambda: len(woken) == 2, "words of the second")
        assert "c1" in looks.looks()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(**pages: Handler) -> AsyncIterator[int]:
    app = web.Application()
    for name, page in pages.items():
        app.router.add_get(f"/{name}", page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_sidecar_is_asked_by_http() -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({"reason": "Warming"}, status=503)

    async with serving(ready=refuse) as port, asking(LookSettings()) as ask:
        assert await ask("127.0.0.1", port, "/ready") == Reply(status=503, body=b'{"reason": "Warming"}')
        elsewhere = await ask("127.0.0.1", port, "/inflight")
        assert elsewhere is not None
        assert elsewhere.status == 404
    async with asking(LookSettings()) as ask:
        assert await ask("127.0.0.1", port, "/ready") is None


async def test_an_answer_in_pieces_is_read_whole() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        for piece in (b'{"reason": ', b'"Warming"}'):
            await response.write(piece)
            await asyncio.sleep(0.01)
        return response

    async with serving(ready=refuse) as port, asking(LookSettings()) as ask:
        assert await ask("127.0.0.1", port, "/ready") == Reply(status=503, body=b'{"reason": "Warming"}')


async def test_no_sidecar_leads_elsewhere_talks_on_or_keeps_us_waiting() -> None:
    visits: list[str] = []

    async def lead_away(_request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/secret"})

    async def secret(_request: web.Request) -> web.Response:
        visits.append("secret")
        return web.Response()

    async def talk_on(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        for _ in range(20_000):  # more than the buffers of two sockets take
            await response.write(b"x" * 4096)
        visits.append("read to its end")
        return response

    async def keep_waiting(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    pages = {"away": lead_away, "secret": secret, "on": talk_on, "waiting": keep_waiting}
    patient, hasty = (LookSettings(patience=timedelta(seconds=limit), connections=2) for limit in (60, 0.3))
    async with serving(**pages) as port, asking(patient) as ask, asking(hasty) as ask_in_haste:
        led = await ask("127.0.0.1", port, "/away")
        assert led is not None
        assert led.status == 307
        assert await ask("127.0.0.1", port, "/on") is None
        assert await ask_in_haste("127.0.0.1", port, "/waiting") is None
    assert visits == []


async def test_few_are_asked_at_once_and_those_that_wait_lose_no_time() -> None:
    at_once = [0, 0]

    async def answer(_request: web.Request) -> web.Response:
        at_once[:] = at_once[0] + 1, max(at_once[1], at_once[0] + 1)
        await asyncio.sleep(0.05)
        at_once[0] -= 1
        return web.Response()

    settings = LookSettings(patience=timedelta(seconds=1), connections=2)
    async with serving(ready=answer) as port, asking(settings) as ask:
        replies = await asyncio.gather(*(ask("127.0.0.1", port, "/ready") for _ in range(64)))
    assert replies == [Reply(status=200, body=b"")] * 64
    assert at_once == [0, 2]
