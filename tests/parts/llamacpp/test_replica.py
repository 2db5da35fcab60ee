"""The servers of a replica are kept alive, one to a node, whatever dies when: at a Ray of this file, told by hand."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.waiting import LIMIT_SECONDS, until
from rayfleet_llamacpp.actor import Running, ServerSettings
from rayfleet_llamacpp.membership import RayNode, Reason, Slot, SlotState
from rayfleet_llamacpp.options import decode_options
from rayfleet_llamacpp.replica import RayGone, Replica

HEAD, WORKER = "127.0.0.2", "127.0.0.3"


def node(address: str, life: int = 0) -> RayNode:
    return RayNode(identity=f"{address}/{life}", address=address, machine="m", is_alive=True)


class OwnServer:
    """Dies when it is told to, or is ended."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.is_ended = False
        self.cause = asyncio.get_running_loop().create_future()

    async def death(self) -> str:
        return str(await asyncio.shield(self.cause))

    def end(self) -> None:
        self.is_ended = True


@dataclass
class OwnRay:
    """``is_stuck``: nothing is placed any more; ``failure``: every start ends so. ``started`` are nodes' identities.

    Servers on the nodes in ``frozen`` do not answer until ``thawed``; ``heard`` counts answers by node.
    """

    url: str
    nodes: tuple[RayNode, ...] = (node(HEAD), node(WORKER))
    silence_seconds: float = 0.0
    is_stuck: bool = False
    failure: Exception | None = None
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    servers: dict[str, OwnServer] = field(default_factory=dict)
    frozen: set[str] = field(default_factory=set)
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    heard: Counter[str] = field(default_factory=Counter)

    async def connect(self) -> None:
        await asyncio.sleep(0)

    async def changed(self) -> None:
        await asyncio.sleep(0.001)

    async def start_server(self, at: RayNode, settings: ServerSettings, place_seconds: float) -> OwnServer:
        assert settings.host == at.address
        assert 0 < place_seconds < 60
        self.started.append(at.identity)
        if self.failure is not None:
            raise self.failure
        if self.is_stuck:
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.append(at.identity)
        self.servers[at.identity] = OwnServer(Running(url=f"{self.url}/{at.address}", pid=len(self.started), threads=1))
        return self.servers[at.identity]

    def dies(self, address: str) -> None:
        self.nodes = tuple(replace(each, is_alive=each.is_alive and each.address != address) for each in self.nodes)

    def joins(self, address: str, life: int) -> None:
        self.nodes = (*self.nodes, node(address, life))


@dataclass
class Site:
    """A replica, its Ray, and what was lost."""

    ray: OwnRay
    replica: Replica
    lost: list[Slot]
    task: asyncio.Task[None] | None = None

    def keep(self) -> asyncio.Task[None]:
        async def live() -> None:
            await self.replica.assemble()
            await self.replica.keep()

        self.task = asyncio.create_task(live())
        return self.task

    async def until_healthy(self) -> None:
        await until(lambda: self.replica.verdict().is_healthy, "healthy", every=0)

    async def until_reason(self, reason: Reason) -> None:
        await until(lambda: self.replica.verdict().reason is reason, f"{reason}", every=0)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async def health(request: web.Request) -> web.Response:
        address = request.match_info["address"]
        if address in ray.frozen:
            await ray.thawed.wait()
        ray.heard[address] += 1
        return web.Response()

    application = web.Application()
    application.add_routes([web.get("/{address}/health", health)])
    words = ["--model", "m", "--served-model-name", "m", "--nodes", "2", "--host", HEAD, "--ray-address", f"{HEAD}:1"]
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        ray, lost = OwnRay(str(server.make_url("")).rstrip("/")), list[Slot]()
        made = Site(ray, Replica(decode_options(words, {}), ray, session, on_lost=lost.append), lost)
        yield made
        if made.task is not None:
            made.task.cancel()
            with suppress(asyncio.CancelledError, ExceptionGroup):
                await made.task
        ray.thawed.set()


async def test_each_node_gets_one_server(site: Site) -> None:
    site.keep()
    await site.until_healthy()
    assert sorted(site.ray.started) == [f"{HEAD}/0", f"{WORKER}/0"]
    assert {slot.node for slot in site.replica.slots} == {HEAD, WORKER}


async def test_a_frozen_server_beside_a_killed_one_is_never_taken_for_a_well_one(site: Site) -> None:
    site.keep()
    await site.until_healthy()
    site.ray.frozen.add(WORKER)
    site.ray.servers[f"{HEAD}/0"].cause.set_result("killed")
    await until(lambda: len(site.ray.started) == 3, "another server", every=0)
    heard, healthy = site.ray.heard[HEAD], []

    def looked() -> int:
        healthy.append(site.replica.verdict().is_healthy)
        return site.ray.heard[HEAD] - heard

    await until(looked, "the new server answers", holds=lambda more: more >= 3)
    assert not any(healthy)
    assert site.replica.verdict().message == "since a server was lost there is no word from: server 1"
    site.ray.frozen.clear()
    site.ray.thawed.set()
    await site.until_healthy()
    assert [slot.node for slot in site.lost] == [HEAD]


async def test_a_server_that_died_is_started_again_on_its_node(site: Site) -> None:
    site.keep()
    await site.until_healthy()
    site.ray.servers[f"{WORKER}/0"].cause.set_result("killed")
    await until(lambda: len(site.ray.started) == 3, "another server", every=0)
    await site.until_healthy()
    assert site.ray.started[2] == f"{WORKER}/0"
    assert [slot.node for slot in site.lost] == [WORKER]


async def test_a_node_that_dies_while_a_server_is_placed_on_it_holds_nobody_up(site: Site) -> None:
    site.keep()
    await site.until_healthy()
    site.ray.is_stuck = True
    site.ray.servers[f"{WORKER}/0"].cause.set_result("killed")
    await until(lambda: len(site.ray.started) == 3, "a start on the node", every=0)
    site.ray.dies(WORKER)
    await until(lambda: len(site.lost) == 2, "the start is given up", every=0)
    assert site.ray.ended == [f"{WORKER}/0"], "nothing is left of it"
    assert "its node is dead" in site.replica.verdict().message
    site.ray.is_stuck = False
    site.ray.joins(WORKER, 1)
    await site.until_healthy()
    assert site.ray.started[-1] == f"{WORKER}/1"


async def test_a_server_on_a_node_that_came_anew_is_not_lost_with_the_old_one(site: Site) -> None:
    site.keep()
    await site.until_healthy()
    site.ray.dies(WORKER)
    await site.until_reason(Reason.LOST)
    site.ray.joins(WORKER, 1)  # the dead one of the same address is still told by Ray
    await site.until_healthy()
    assert len(site.lost) == 1
    assert not site.ray.servers[f"{WORKER}/1"].is_ended


async def test_starts_that_fail_again_and_again_end_the_replica(site: Site) -> None:
    site.ray.failure = EnvironmentProblem("Ray ran no server within 20 s", way_out="Look at it.")
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(LIMIT_SECONDS):
            await site.keep()
    assert "failed to start 3 times in a row: Ray ran no server within 20 s\n" in str(caught.value.exceptions[0])
    assert len(site.ray.started) <= 2 * 3


async def test_a_silent_ray_ends_the_replica(site: Site) -> None:
    task = site.keep()
    await site.until_healthy()
    site.ray.silence_seconds = 11
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.timeout(LIMIT_SECONDS):
            await task
    assert [type(error) for error in caught.value.exceptions] == [RayGone]


async def test_slots_without_a_server_have_no_node(site: Site) -> None:
    assert {(slot.state, slot.node) for slot in site.replica.slots} == {(SlotState.EMPTY, "")}
