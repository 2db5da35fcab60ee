"""The API server in memory keeps the rules that controllers rest on, and virtual time waits for nobody."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, Conflict, Gone, Invalid, NotFound
from rayfleet.kube.requests import PatchForm
from rayfleet.kube.watching import WatchEventType
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import CONFIG_MAPS
from rayfleet.objects.meta import generation_of, is_terminating, uid_of, version_of
from rayfleet.testing.memory_api import MemoryAddress, MemoryClient, MemoryServer
from rayfleet.testing.virtual_time import run_virtually, virtual_now

KEY = ObjectKey(namespace="n", name="a")
MADE: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "spec": {"x": 1}}


def with_server(work: Callable[[MemoryServer, KubeClient], Awaitable[None]]) -> None:
    async def run() -> None:
        server = MemoryServer()
        async with MemoryClient(MemoryAddress(server=server)) as client:
            await work(server, client)

    run_virtually(run())


def test_a_name_is_given_once_and_a_write_keeps_to_its_preconditions() -> None:
    async def work(_server: MemoryServer, client: KubeClient) -> None:
        made = await client.create(CONFIG_MAPS, MADE)
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAPS, MADE)
        with pytest.raises(Invalid):
            await client.patch(CONFIG_MAPS, KEY, {"metadata": {"uid": "another"}})
        with pytest.raises(Conflict):
            await client.patch(CONFIG_MAPS, KEY, {"metadata": {"resourceVersion": "1"}})
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, KEY, uid="another")
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, KEY, resource_version="1")
        await client.delete(CONFIG_MAPS, KEY, uid=uid_of(made))
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", "n")

    with_server(work)


def test_a_status_is_written_apart_and_a_generation_counts_specs() -> None:
    async def work(_server: MemoryServer, client: KubeClient) -> None:
        made = await client.create(CONFIG_MAPS, MADE | {"status": {"lost": True}})
        assert "status" not in made
        tested: list[Json] = [
            {"op": "test", "path": "/metadata/uid", "value": uid_of(made)},
            {"op": "add", "path": "/status", "value": {"ready": 1}},
        ]
        told = await client.patch(CONFIG_MAPS, KEY, tested, form=PatchForm.JSON, subresource="status")
        assert (told["status"], generation_of(told)) == ({"ready": 1}, 1)
        changed = await client.patch(CONFIG_MAPS, KEY, {"spec": {"x": 2}, "status": None})
        assert (changed["status"], generation_of(changed)) == ({"ready": 1}, 2)
        same = await client.patch(CONFIG_MAPS, KEY, {"spec": {"x": 2}})
        assert version_of(same) == version_of(changed)

    with_server(work)


def test_a_deletion_in_the_foreground_ends_with_its_finalizer() -> None:
    async def work(_server: MemoryServer, client: KubeClient) -> None:
        await client.create(CONFIG_MAPS, MADE)
        await client.delete(CONFIG_MAPS, KEY, propagation=Propagation.FOREGROUND)
        assert is_terminating(await client.get(CONFIG_MAPS, "a", "n"))
        await client.patch(CONFIG_MAPS, KEY, {"metadata": {"finalizers": []}})
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", "n")

    with_server(work)


def test_a_watch_goes_on_from_its_version_and_ends_with_history() -> None:
    async def work(server: MemoryServer, client: KubeClient) -> None:
        before = (await client.list(CONFIG_MAPS)).resource_version
        await client.create(CONFIG_MAPS, MADE)
        await client.delete(CONFIG_MAPS, KEY)
        watch = client.watch(CONFIG_MAPS, resource_version=before)
        assert [(await anext(watch)).type for _ in range(2)] == [WatchEventType.ADDED, WatchEventType.DELETED]
        server.forget_history()
        with pytest.raises(Gone):
            await anext(watch)
        with pytest.raises(Gone):
            await anext(client.watch(CONFIG_MAPS, resource_version=before))

    with_server(work)


def test_a_slow_reader_of_a_watch_misses_nothing_that_happens_meanwhile() -> None:
    async def work(server: MemoryServer, client: KubeClient) -> None:
        lines = server.events("/api/v1/configmaps", {"resourceVersion": "100", "timeoutSeconds": "60"})
        await client.create(CONFIG_MAPS, MADE)
        assert b"ADDED" in await anext(lines)
        await client.delete(CONFIG_MAPS, KEY)  # while the line before is still in the reader's hands
        async with asyncio.timeout(1):
            assert b"DELETED" in await anext(lines)
        await lines.aclose()

    with_server(work)


def test_a_year_passes_in_a_moment() -> None:
    async def wait() -> float:
        start = virtual_now()
        await asyncio.sleep(365 * 86400)
        return (virtual_now() - start).total_seconds()

    started = time.process_time()
    assert run_virtually(wait()) == pytest.approx(365 * 86400)
    assert time.process_time() - started < 5


def test_a_loop_with_nothing_to_wait_for_says_so() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_virtually(wait_for_ever())
