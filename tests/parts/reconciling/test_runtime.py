"""The runtime: which passes run, and when a failed or held back one comes again."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta

from aiohttp import web

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Conflict, ServerError
from rayfleet.kube.reflector import Reflector, ReflectorSettings
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import CONFIG_MAPS, FLEETS
from rayfleet.reconciling.own_writes import AskedDeletion, OwnWrites, WroteVersion
from rayfleet.reconciling.runtime import Controller, RuntimeSettings, Watch, own_key, owner_key, primary
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer
from rayfleet.testing.waiting import LIMIT_SECONDS, until

KEY = ObjectKey(namespace="n", name="a")


def config_map(version: int = 5, **meta: object) -> Json:
    return {"metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": str(version), **meta}}


async def one_object(request: web.Request) -> web.StreamResponse:
    """Answer a list with one object; a watch hangs."""
    if "watch" in request.query:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(600)
        return response
    meta = {"resourceVersion": "7"}
    return json_answer({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": meta, "items": [config_map()]})


class Scripted:
    """A reconciler whose passes raise what the script says, then succeed."""

    def __init__(self, *failures: Exception, stale: int = 0) -> None:
        self.failures = list(failures)
        self.stale = stale
        self.passes = 0
        self.done = asyncio.Event()

    def is_current(self, key: ObjectKey) -> bool:
        assert key == KEY
        self.stale -= 1
        return self.stale < 0

    def is_settled(self, key: ObjectKey) -> bool:
        return key == KEY

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        assert key == KEY
        self.passes += 1
        if self.failures:
            raise self.failures.pop(0)
        self.done.set()
        return None


async def run_until_done(
    reconciler: Scripted, may_begin: Callable[[ObjectKey], bool] = lambda _key: True
) -> Controller:
    async with scripted_server(one_object) as address, KubeClient(address) as client:
        reflector = Reflector(client, CONFIG_MAPS)
        controller = Controller("test", reconciler, (primary(reflector),), may_begin=may_begin)
        tasks = [asyncio.ensure_future(reflector.run()), asyncio.ensure_future(controller.run())]
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await reconciler.done.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return controller


async def test_failed_passes_come_back_whatever_they_raise() -> None:
    reconciler = Scripted(Conflict("stale"), ServerError("500"), ZeroDivisionError("a fault of ours"))
    controller = await run_until_done(reconciler)
    assert reconciler.passes == 4
    assert controller.failed_passes == 2  # a conflict is no failure


async def test_there_is_no_pass_on_a_store_older_than_our_own_write() -> None:
    reconciler = Scripted(stale=3)
    await run_until_done(reconciler)
    assert reconciler.passes == 1


async def test_there_is_no_pass_before_it_may_begin() -> None:
    asked = 0

    def may_begin(key: ObjectKey) -> bool:
        nonlocal asked
        assert key == KEY
        assert reconciler.passes == 0
        asked += 1
        return asked > 3

    reconciler = Scripted()
    await run_until_done(reconciler, may_begin)
    assert (asked, reconciler.passes) == (4, 1)


async def test_there_is_no_pass_before_all_stores_are_there() -> None:
    may_list = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await may_list.wait()
        return await one_object(request)

    reconciler = Scripted()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(scripted_server(each)) for each in (one_object, late)]
        clients = [await stack.enter_async_context(KubeClient(address)) for address in servers]
        mine, theirs = (Reflector(client, CONFIG_MAPS) for client in clients)
        controller = Controller("test", reconciler, (primary(mine), Watch(reflector=theirs, keys=lambda _raw: ())))
        tasks = [asyncio.ensure_future(each()) for each in (mine.run, theirs.run, controller.run)]
        await until(lambda: len(controller.queue), "the object is in line")
        await asyncio.sleep(0.05)
        assert reconciler.passes == 0
        may_list.set()
        async with asyncio.timeout(LIMIT_SECONDS):
            await reconciler.done.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_own_writes_are_seen_when_the_store_is_as_new_or_the_object_is_going() -> None:
    async with scripted_server(one_object) as address, KubeClient(address) as client:
        reflector = Reflector(client, CONFIG_MAPS)
        writes = OwnWrites({CONFIG_MAPS: reflector})
        writes.note(KEY, WroteVersion(resource=CONFIG_MAPS, version="7"))
        assert not writes.are_seen(KEY)
        task = asyncio.ensure_future(reflector.run())
        async with asyncio.timeout(LIMIT_SECONDS):
            await reflector.synced()
        assert writes.are_seen(KEY)
        writes.note(KEY, WroteVersion(resource=CONFIG_MAPS, version="8"))
        assert not writes.are_seen(KEY)
        assert OwnWrites({CONFIG_MAPS: reflector}).are_seen(KEY)
        deletions = OwnWrites({CONFIG_MAPS: reflector})
        deletions.note(KEY, AskedDeletion(resource=CONFIG_MAPS, key=KEY, uid="u"))
        assert not deletions.are_seen(KEY)
        reflector.store.put(config_map(6, deletionTimestamp="2026-01-01T00:00:00Z"))
        assert deletions.are_seen(KEY)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_was_written_before_its_kind_went_away_is_waited_for_no_more() -> None:
    is_there = False

    async def answer(request: web.Request) -> web.StreamResponse:
        return await one_object(request) if is_there else status_answer(404)

    async with scripted_server(answer) as address, KubeClient(address) as client:
        reflector = Reflector(client, CONFIG_MAPS, settings=ReflectorSettings(first_backoff=timedelta(milliseconds=1)))
        writes = OwnWrites({CONFIG_MAPS: reflector})
        writes.note(KEY, WroteVersion(resource=CONFIG_MAPS, version="7"))
        task = asyncio.ensure_future(reflector.run())
        await until(lambda: writes.are_seen(KEY), "the kind is known to be gone")
        is_there = True
        writes.note(KEY, WroteVersion(resource=CONFIG_MAPS, version="7"))
        assert not writes.are_seen(KEY)  # it shows that the kind is back
        async with asyncio.timeout(LIMIT_SECONDS):
            await reflector.synced()
        assert reflector.absence is None
        assert writes.are_seen(KEY)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_pass_comes_when_a_kind_is_there_again() -> None:
    codes = [404, 404, 404]

    async def answer(request: web.Request) -> web.StreamResponse:
        return status_answer(codes.pop()) if codes else await one_object(request)

    reconciler = Scripted()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(scripted_server(each)) for each in (one_object, answer)]
        whole, lacking = [await stack.enter_async_context(KubeClient(address)) for address in servers]
        patience = ReflectorSettings(first_backoff=timedelta(milliseconds=1))
        mine, theirs = Reflector(whole, CONFIG_MAPS), Reflector(lacking, FLEETS, settings=patience)
        watch = Watch(reflector=theirs, keys=own_key, matters=lambda _old, _new: False, is_optional=True)
        controller = Controller("test", reconciler, (primary(mine), watch))
        tasks = [asyncio.ensure_future(each()) for each in (mine.run, theirs.run, controller.run)]
        await until(lambda: theirs.is_synced and reconciler.passes >= 2, "a pass after the kind came back")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_changes_of_one_key_are_served_together_but_the_first_at_once() -> None:
    reconciler = Scripted()
    async with scripted_server(one_object) as address, KubeClient(address) as client:
        reflector = Reflector(client, CONFIG_MAPS)
        controller = Controller("test", reconciler, (primary(reflector),), RuntimeSettings(pace=timedelta(hours=1)))
        tasks = [asyncio.ensure_future(reflector.run()), asyncio.ensure_future(controller.run())]
        async with asyncio.timeout(LIMIT_SECONDS):
            await reconciler.done.wait()
        for _ in range(100):
            controller._wake(KEY)
            await asyncio.sleep(0)
        assert reconciler.passes == 1  # the next one comes within the hour
        assert controller.queue.is_idle
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_an_object_wakes_its_controller_of_the_kind_only() -> None:
    references = [
        {"kind": FLEETS.kind, "name": "not-controlling", "uid": "1"},
        {"kind": FLEETS.kind, "name": "mine", "uid": "2", "controller": True},
    ]
    owned = config_map(ownerReferences=references)
    assert list(owner_key(FLEETS.kind)(owned)) == [ObjectKey(namespace="n", name="mine")]
    assert list(owner_key("Deployment")(owned)) == []
    assert list(own_key(owned)) == [KEY]
