"""The recorder towards a server that refuses, answers late, or is asked by many."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.events import EventRecorder, EventSettings
from rayfleet.model.events import EventType
from rayfleet.model.json import Json
from rayfleet.model.resources import CONFIG_MAPS
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer
from rayfleet.testing.waiting import LIMIT_SECONDS, until

ABOUT: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n", "uid": "u"}}
QUICK = EventSettings(settle=timedelta(0), first_backoff=timedelta(milliseconds=1))
HOUR = timedelta(hours=1)
SLOW = EventSettings(settle=HOUR, settle_warning=HOUR, flush_limit=timedelta(minutes=1))
Answer = Callable[[web.Request], web.Response | None]


class Server:
    """Keeps Events; ``fault`` may answer first."""

    def __init__(self, fault: Answer = lambda _request: None) -> None:
        self.fault = fault
        self.events: dict[str, Any] = {}
        self.methods: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.methods.append(request.method)
        refusal = self.fault(request)
        if refusal is not None:
            return refusal
        if request.method == "POST":
            manifest = orjson.loads(body)
            if manifest["metadata"]["name"] in self.events:
                return status_answer(409, "AlreadyExists")
            self.events[manifest["metadata"]["name"]] = manifest
            return json_answer(manifest)
        name = request.path.rpartition("/")[2]
        if request.method == "PATCH":
            self.events[name] |= orjson.loads(body)
        return json_answer(self.events[name])

    @property
    def counts(self) -> dict[str, int]:
        return {each["message"]: each["count"] for each in self.events.values()}


@asynccontextmanager
async def recording(server: Server, settings: EventSettings = QUICK) -> AsyncIterator[EventRecorder]:
    async with scripted_server(server.answer) as address, KubeClient(address) as client:
        recorder = EventRecorder(client, "test", settings)
        task = asyncio.ensure_future(recorder.run())
        await asyncio.sleep(0)  # it runs
        try:
            yield recorder
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_an_event_is_not_lost_on_conflicts_or_a_storm() -> None:
    refusals = [
        status_answer(409, "Conflict"),
        status_answer(503),
        status_answer(500),
        *(status_answer(409, "Conflict") for _ in range(7)),
    ]
    server = Server(lambda _request: refusals.pop() if refusals else None)
    async with recording(server) as recorder:
        recorder.record(ABOUT, reason="Scaled", message="up")
        await until(lambda: server.counts, "the event")
    assert server.counts == {"up": 1}
    assert refusals == []


async def test_one_that_is_refused_for_good_is_given_up_and_others_are_written() -> None:
    refusals = [status_answer(403, "Forbidden")]
    server = Server(lambda _request: refusals.pop() if refusals else None)
    async with recording(server) as recorder:
        recorder.record(ABOUT, reason="First", message="refused")
        recorder.record(ABOUT, reason="Second", message="written")
        await until(lambda: server.counts, "the second event")
    assert server.counts == {"written": 1}
    assert server.methods == ["POST", "POST"]


async def test_the_same_words_cost_one_write_each_time() -> None:
    server = Server()
    async with recording(server) as recorder:
        for total in (1, 2, 3):
            recorder.record(ABOUT, reason="Scaled", message="up")
            await until(lambda: server.counts.get("up", 0), f"a count of {total}", holds=total.__eq__)
    assert server.methods == ["POST", "PATCH", "PATCH"]


async def test_the_last_words_are_written_when_it_ends() -> None:
    server = Server()
    async with recording(server, SLOW) as recorder:
        for number in range(5):
            recorder.record(ABOUT, reason="Created", message=f"number {number}")
        recorder.record(ABOUT, reason="Failed", message="the end", type=EventType.WARNING)
    assert server.counts == {"; ".join(f"number {number}" for number in range(5)): 1, "the end": 1}


async def test_the_end_does_not_wait_for_a_server_that_is_away() -> None:
    server = Server(lambda _request: status_answer(503))
    async with recording(server, SLOW) as recorder:
        for number in range(50):
            recorder.record(ABOUT, reason=f"Reason{number}", message="words")
    assert server.methods == ["POST"]


async def test_events_take_nothing_of_the_rate_of_writes() -> None:
    server = Server()
    settings = ClientSettings(queries_per_second=0.001, burst=1, reserve=0)
    async with scripted_server(server.answer) as address, KubeClient(address, settings) as client:
        recorder = EventRecorder(client, "test", QUICK)
        task = asyncio.ensure_future(recorder.run())
        for number in range(20):
            recorder.record(ABOUT, reason=f"Reason{number}", message=f"words {number}")
        await until(lambda: len(server.events), "all events", holds=(20).__eq__)
        server.events["b"] = {"metadata": {"name": "b"}}
        async with asyncio.timeout(LIMIT_SECONDS):
            await client.get(CONFIG_MAPS, "b", "n")  # the one token is still there
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
