"""Drained replicas are asked for their requests, others are not; what is said wakes the one that may go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web

from rayfleet.controllers.in_flight import Ask, DrainSettings, InFlightLooks, asking, in_flight_in, look_after
from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import KubeClient
from rayfleet.kube.reflector import Reflector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, RAY_CLUSTERS
from rayfleet.objects.meta import name_of
from rayfleet.objects.owners import controller_reference
from rayfleet.planning.observed import InFlight
from rayfleet.testing.ray_pods import head_pod, leaving_pod, withdrawn_pod
from rayfleet.testing.stored_objects import with_metadata
from rayfleet.testing.waiting import until

LIMIT_SECONDS = 10.0
LONG_AGO = datetime.now(UTC) - timedelta(hours=1)
QUICK = DrainSettings(every=timedelta(milliseconds=1))


def owned(pod: ReadOnlyJson, uid: str) -> Json:
    return with_metadata(pod, {"ownerReferences": [controller_reference(RAY_CLUSTERS, "a", uid)]})


class Counts:
    """Says what a test wants, by address, and notes who was asked."""

    def __init__(self, answer: int | None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, address: str, port: int) -> int | None:
        self.asked.append((address, port))
        return self.answer


@asynccontextmanager
async def running(ask: Ask) -> AsyncIterator[tuple[Reflector, InFlightLooks, list[str]]]:
    pods = Reflector(KubeClient(KubeAddress(url="http://nowhere")), PODS)
    looks = InFlightLooks(pods, QUICK, ask)
    woken: list[str] = []
    task = asyncio.create_task(looks.run(lambda head: woken.append(name_of(head))))
    try:
        yield pods, looks, woken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_drained_head_is_asked_until_it_may_go() -> None:
    ask = Counts(2)
    out = owned(withdrawn_pod(head_pod("a", since=LONG_AGO), at=LONG_AGO), "c1")
    async with running(ask) as (_, looks, woken):
        looks.hear(None, owned(head_pod("other", since=LONG_AGO), "c2"))
        looks.hear(None, out)
        await until(lambda: looks.looks().get("c1") == InFlight(requests=2), "a count", LIMIT_SECONDS)
        assert set(ask.asked) == {("10.0.0.1", 8080)}
        assert woken == []
        ask.answer = 0
        await until(lambda: "a-head" in woken, "a wake-up", LIMIT_SECONDS)
        assert looks.looks()["c1"].idle_looks >= 2


async def test_a_silent_sidecar_lets_it_go_after_three_looks() -> None:
    async with running(Counts(None)) as (_, looks, woken):
        looks.hear(None, owned(withdrawn_pod(head_pod("a", since=LONG_AGO), at=LONG_AGO), "c1"))
        await until(lambda: "a-head" in woken, "a wake-up", LIMIT_SECONDS)
        assert looks.looks()["c1"].failed_looks >= 3


@pytest.mark.parametrize("how", ["back", "going", "gone"])
async def test_one_that_is_drained_no_more_is_forgotten(how: str) -> None:
    ask = Counts(2)
    back = owned(head_pod("a", since=LONG_AGO), "c1")
    out = owned(withdrawn_pod(head_pod("a", since=LONG_AGO), at=LONG_AGO), "c1")
    async with running(ask) as (_, looks, _woken):
        looks.hear(back, out)
        await until(lambda: "c1" in looks.looks(), "a count", LIMIT_SECONDS)
        looks.hear(out, {"back": back, "going": leaving_pod(out, at=LONG_AGO), "gone": None}[how])
        assert looks.looks() == {}


async def test_a_sidecar_is_asked_by_http() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"in_flight": 3})

    app = web.Application()
    app.router.add_get("/inflight", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        async with asking(QUICK) as ask:
            assert await ask("127.0.0.1", port) == 3
    finally:
        await runner.cleanup()
    async with asking(QUICK) as ask:
        assert await ask("127.0.0.1", port) is None


@pytest.mark.parametrize(
    ("status", "body", "count"),
    [
        (200, b'{"in_flight": 0}', 0),
        (200, b'{"in_flight": 7, "more": 1}', 7),
        (404, b'{"in_flight": 0}', None),
        (200, b'{"in_flight": -1}', None),
        (200, b'{"in_flight": true}', None),
        (200, b'{"in_flight": "0"}', None),
        (200, b"[0]", None),
        (200, b"", None),
    ],
)
def test_only_a_count_is_an_answer(status: int, body: bytes, count: int | None) -> None:
    assert in_flight_in(status, body) == count


def test_looks_count_in_a_row() -> None:
    idle = look_after(look_after(InFlight(), 0, is_settled=True), 0, is_settled=True)
    assert idle == InFlight(idle_looks=2)
    assert look_after(idle, 1, is_settled=True) == InFlight(requests=1)
    assert look_after(idle, None, is_settled=True) == InFlight(failed_looks=1)
    assert look_after(InFlight(failed_looks=2), 4, is_settled=True) == InFlight(requests=4)


def test_an_idle_look_before_gateways_have_surely_seen_it_is_none() -> None:
    assert look_after(InFlight(), 0, is_settled=False) == InFlight()
