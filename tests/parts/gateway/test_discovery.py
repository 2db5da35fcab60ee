"""How the table follows an API server, in virtual time: outages, statuses, refusals (rayfleet_gateway.state)."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from time import sleep
from typing import Any

import pytest

from rayfleet.kube.errors import Forbidden, Unreachable
from rayfleet.kube.requests import Request
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ENDPOINT_SLICES, GATEWAYS, HTTP_ROUTES, SERVICES, ResourceType
from rayfleet.objects.routes import parent_statuses
from rayfleet.testing.memory_api import MemoryAddress, MemoryClient, MemoryServer
from rayfleet.testing.virtual_time import run_virtually
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.discovery import Discovery

OUTAGE_SECONDS = 30
BACK_SECONDS = 3
GATEWAY: Json = {
    "spec": {
        "gatewayClassName": "rayfleet",
        "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
        ],
    }
}
SERVICE: Json = {"spec": {"ports": [{"name": "p", "port": 80}]}}


def route(model: str, backend: str = "s") -> Json:
    match = {"path": {"value": "/v1"}, "headers": [{"name": "model", "value": model}]}
    rule = {"matches": [match], "backendRefs": [{"name": backend, "port": 80}]}
    return {"spec": {"parentRefs": [{"name": "ours"}], "rules": [rule]}}


def endpoints(*addresses: str) -> Json:
    return {"ports": [{"name": "p", "port": 8000}], "endpoints": [{"addresses": [each]} for each in addresses]}


@dataclass(slots=True)
class Outage:
    """What clients meet. ``is_silent``: connections are not refused, they come to nothing after a second."""

    is_silent: bool = False
    is_down: bool = False
    refuses_status: bool = False
    status_writes: int = 0

    async def check(self) -> None:
        """Raise Unreachable while the server is down."""
        if self.is_down and self.is_silent:
            await asyncio.sleep(1)
            raise Unreachable("no answer")
        if self.is_down:
            raise Unreachable("refused", is_refused=True)


class Client(MemoryClient):
    """A client that an outage cuts off."""

    outage: Outage

    async def send(self, request: Request) -> bytes:
        await self.outage.check()
        if request.path.endswith("/status"):
            self.outage.status_writes += 1
            if self.outage.refuses_status:
                raise Forbidden("the status is not for you")
        return await super().send(request)

    async def stream(
        self, path: str, query: Mapping[str, str] | None = None, stall_limit: Any = None
    ) -> AsyncGenerator[bytes, None]:
        await self.outage.check()
        lines = super().stream(path, query, stall_limit)
        while True:
            line = asyncio.ensure_future(anext(lines))
            while not line.done():
                await asyncio.wait([line], timeout=0.01)
                if self.outage.is_down:
                    line.cancel()
                    raise Unreachable("the connection broke")
            try:
                yield line.result()
            except StopAsyncIteration:
                return


@dataclass(slots=True)
class World:
    client: Client
    server: MemoryServer
    outage: Outage

    async def create(self, resource: ResourceType, name: str, raw: Json, **labels: str) -> None:
        meta = {"name": name, "namespace": "n", "labels": labels}
        head = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta}
        await self.client.create(resource, head | raw)

    async def create_engines(self) -> None:
        await self.create(GATEWAYS, "ours", GATEWAY)
        await self.create(SERVICES, "s", SERVICE)
        await self.create(ENDPOINT_SLICES, "s-1", endpoints("10.0.0.1"), **{"kubernetes.io/service-name": "s"})

    def status(self, name: str) -> dict[str, tuple[str, str]]:
        """Return the conditions of a route at our Gateway."""
        raw = self.server.objects["gateway.networking.k8s.io/httproutes", "n", name]
        return {
            each["type"]: (each["status"], each["reason"])
            for _, _, entry in parent_statuses(raw)
            for each in entry["conditions"]
        }


@asynccontextmanager
async def world(*, is_silent: bool = False, refuses_status: bool = False) -> AsyncIterator[World]:
    server = MemoryServer()
    client = Client(MemoryAddress(server=server))
    client.outage = Outage(is_silent=is_silent, refuses_status=refuses_status)
    yield World(client=client, server=server, outage=client.outage)


@asynccontextmanager
async def discovering(client: Client) -> AsyncIterator[Discovery]:
    discovery = Discovery(client)
    heard: list[RouteTable] = []
    task = asyncio.create_task(discovery.run(heard.append))
    try:
        async with asyncio.timeout(10):
            await discovery.synced()
        yield discovery
        assert heard[-1] is discovery.table
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def seconds_until(holds: Any, limit: float) -> float:
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not holds():
        assert loop.time() - started < limit, "it did not come to pass"
        await asyncio.sleep(0.005)
    return loop.time() - started


@pytest.mark.parametrize("is_silent", [False, True])
def test_routes_are_live_again_three_seconds_after_the_server_is_back(is_silent: bool) -> None:
    async def one() -> float:
        async with world(is_silent=is_silent) as here:
            await here.create_engines()
            await here.create(HTTP_ROUTES, "a", route("a"))
            async with discovering(here.client) as discovery:
                await seconds_until(lambda: discovery.table.models == ("a",), 5)
                table = discovery.table
                here.outage.is_down = True
                await asyncio.sleep(OUTAGE_SECONDS)
                assert discovery.table is table
                here.outage.is_down = False
                await here.create(HTTP_ROUTES, "b", route("b", backend="t"))
                await here.create(SERVICES, "t", SERVICE)
                labels = {"kubernetes.io/service-name": "t"}
                await here.create(ENDPOINT_SLICES, "t-1", endpoints("10.0.0.2"), **labels)
                return await seconds_until(lambda: discovery.table.endpoints_of("b"), 60)

    times = [run_virtually(one()) for _ in range(10)]
    assert max(times) <= BACK_SECONDS


def test_an_isolated_change_waits_for_nothing() -> None:
    async def body() -> float:
        async with world() as here:
            await here.create_engines()
            async with discovering(here.client) as discovery:
                await asyncio.sleep(5)
                key = ObjectKey(namespace="n", name="s-1")
                await here.create(HTTP_ROUTES, "a", route("a"))
                added = await seconds_until(lambda: discovery.table.models == ("a",), 5)
                await here.client.patch(ENDPOINT_SLICES, key, {"endpoints": []})
                gone = await seconds_until(lambda: not discovery.table.endpoints_of("a"), 5)
                return max(added, gone)

    assert run_virtually(body()) <= 0.02


def test_a_new_route_waits_a_moment_for_its_service() -> None:
    async def body() -> tuple[bool, float]:
        async with world() as here:
            await here.create_engines()
            async with discovering(here.client) as discovery:
                await here.create(HTTP_ROUTES, "a", route("a", backend="later"))
                await seconds_until(lambda: discovery.table.models == ("a",), 5)

                def is_valid() -> bool:
                    return discovery.table.by_model["a"][0].backends[0].is_valid

                was_valid = is_valid()
                return was_valid, await seconds_until(lambda: not is_valid(), 5)

    was_valid, seconds = run_virtually(body())
    assert was_valid
    assert 0.5 < seconds < 1.5


def test_a_first_table_is_taken_in_by_and_by_and_served_when_it_is_whole() -> None:
    """Taking in a thousand models at once would hold the loop up."""
    routes = 400

    async def body() -> list[tuple[int, int]]:
        async with world() as here:
            await here.create_engines()
            for number in range(routes):
                await here.create(HTTP_ROUTES, f"r{number}", route(f"m{number}"))
            discovery = Discovery(here.client)
            heard: list[tuple[int, int]] = []

            def hear(table: RouteTable) -> None:
                heard.append((len(table.models), len(discovery.table.models)))

            task = asyncio.create_task(discovery.run(hear, hear))
            async with asyncio.timeout(10):
                await discovery.synced()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return heard

    *parts, whole = run_virtually(body())
    assert whole == (routes, routes)
    assert len(parts) > 2
    assert all(0 < taken <= routes and served == 0 for taken, served in parts)


def test_a_process_that_is_not_let_run_for_a_while_goes_on_at_once() -> None:
    """It rested three times as long, for it took the time for its work."""

    async def body() -> float:
        async with world() as here:
            await here.create_engines()
            for number in range(100):
                await here.create(HTTP_ROUTES, f"r{number}", route(f"m{number}"))
            discovery = Discovery(here.client)
            pauses = [1.0]

            def hear(_: RouteTable) -> None:
                while pauses:
                    sleep(pauses.pop())

            task = asyncio.create_task(discovery.run(lambda _: None, hear))
            await discovery.synced()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert pauses == []
            return asyncio.get_running_loop().time()

    assert run_virtually(body()) < 2


def test_a_route_is_told_once_by_however_many_gateways() -> None:
    async def body() -> tuple[int, Outage]:
        async with world() as here, AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(discovering(here.client))
            await here.create_engines()
            await here.create(HTTP_ROUTES, "a", route("a"))
            await seconds_until(lambda: here.status("a").get("Accepted") == ("True", "Accepted"), 10)
            await asyncio.sleep(60)
            versions = [each for each in here.server.changes if each.kind.endswith("httproutes")]
            return len(versions), here.outage

    changes, outage = run_virtually(body())
    assert changes == 2  # it was made, and told
    assert outage.status_writes <= 2 * 3  # one for the route and one for the Gateway, by each at most


def test_a_status_follows_what_is_there() -> None:
    async def body() -> None:
        async with world() as here, AsyncExitStack() as stack:
            await here.create_engines()
            await here.create(HTTP_ROUTES, "a", route("a", backend="t"))
            await stack.enter_async_context(discovering(here.client))
            await seconds_until(lambda: here.status("a").get("ResolvedRefs") == ("False", "BackendNotFound"), 10)
            await here.create(SERVICES, "t", SERVICE)
            await seconds_until(lambda: here.status("a").get("ResolvedRefs") == ("True", "ResolvedRefs"), 10)
            listeners = here.server.objects["gateway.networking.k8s.io/gateways", "n", "ours"]["status"]["listeners"]
            assert [each["attachedRoutes"] for each in listeners] == [1]

    run_virtually(body())


def test_problems_are_counted_by_reason_while_they_are_there() -> None:
    async def body() -> None:
        async with world() as here:
            await here.create_engines()
            for name in "ab":
                await here.create(HTTP_ROUTES, name, route(name, backend="t"))
            async with discovering(here.client) as discovery:
                assert discovery.problem_reasons() == {"BackendNotFound": 2}
                steps = discovery.effort.steps
                await here.create(SERVICES, "t", SERVICE)
                await seconds_until(lambda: not discovery.problem_reasons(), 10)
                assert discovery.effort.steps > steps

    run_virtually(body())


def test_a_gateway_that_may_write_no_status_serves_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def body() -> RouteTable:
        async with world(refuses_status=True) as here:
            await here.create_engines()
            async with discovering(here.client) as discovery:
                for name in "abc":
                    await here.create(HTTP_ROUTES, name, route(name))
                await asyncio.sleep(60)
                return discovery.table

    with caplog.at_level(logging.WARNING):
        table = run_virtually(body())
    assert table.models == ("a", "b", "c")
    assert [record.message for record in caplog.records] == ["status not written"]


def test_a_status_that_could_not_be_written_is_written_when_the_server_is_back() -> None:
    async def body() -> None:
        async with world() as here:
            await here.create_engines()
            async with discovering(here.client):
                await here.create(HTTP_ROUTES, "a", route("a"))
                await asyncio.sleep(0.1)
                here.outage.is_down = True
                await asyncio.sleep(OUTAGE_SECONDS)
                here.outage.is_down = False
                await seconds_until(lambda: here.status("a").get("Accepted") == ("True", "Accepted"), 15)

    run_virtually(body())


def test_a_status_that_was_not_allowed_is_written_soon_after_it_is() -> None:
    async def body() -> float:
        async with world(refuses_status=True) as here:
            await here.create_engines()
            async with discovering(here.client):
                await here.create(HTTP_ROUTES, "a", route("a"))
                await asyncio.sleep(300)
                assert here.outage.status_writes < 20  # by and by: nobody is asked all the time
                here.outage.refuses_status = False
                return await seconds_until(lambda: here.status("a").get("Accepted") == ("True", "Accepted"), 100)

    assert run_virtually(body()) < 75
