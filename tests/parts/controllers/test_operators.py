"""The controller's port for operators, over a rollout on a server in memory: probes and metrics."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.operators import AdminSettings, Standing, served
from rayfleet.controllers.run import (
    ControllerSettings,
    controller_reflectors,
    lease_identity,
    lease_settings,
    run_controllers,
)
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Forbidden
from rayfleet.kube.lease import LeaderElector, LeadershipLost
from rayfleet.kube.requests import Request
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, LEASES
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.memory_api import MemoryAddress, MemoryClient, MemoryServer
from rayfleet.testing.ports import held_ports
from rayfleet.testing.scripted_server import scripted_server, status_answer
from rayfleet.testing.waiting import LIMIT_SECONDS, until

REFUSED = 'leases.coordination.k8s.io "x" is forbidden: User "y" cannot update resource "leases"'
ANYWHERE = AdminSettings(host="127.0.0.1", port=0)
Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def series(page: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def value(samples: Series, name: str, **labels: str) -> float:
    """Return the sum of all series of a name that have these labels."""
    return sum(
        number for (each, pairs), number in samples.items() if each == name and labels.items() <= dict(pairs).items()
    )


async def asked(standing: Standing, path: str) -> tuple[int, str]:
    async with (
        served(standing, ANYWHERE) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port()}{path}") as answer,
    ):
        return answer.status, await answer.text()


async def metrics(standing: Standing) -> Series:
    code, page = await asked(standing, "/metrics")
    assert code == 200
    return series(page)


@asynccontextmanager
async def world() -> AsyncIterator[FleetWorld]:
    async with MemoryClient(MemoryAddress(url="memory", server=MemoryServer())) as client:
        made = FleetWorld(client, "n")
        async with made.running():
            yield made


async def test_a_rollout_is_on_the_page() -> None:
    async with world() as running:
        await running.client.create(FLEETS, fleet_manifest("n", replicas=2))
        await running.until_complete(2)
        where = {"namespace": "n", "fleet": "model"}

        def is_told(page: Series) -> bool:  # the stores hear of the last writes when the server has told them
            phase = value(page, "rayfleet_fleet_replica_phase", phase="Ready", **where)
            return [phase, value(page, "rayfleet_fleet_replicas", state="available", **where)] == [2, 2]

        samples = await until(lambda: metrics(running.standing), "the page tells of both replicas", holds=is_told)
        assert value(samples, "rayfleet_fleet_desired_replicas", **where) == 2
        assert {
            state: value(samples, "rayfleet_fleet_replicas", state=state, **where)
            for state in ("replicas", "ready", "updated", "available")
        } == {"replicas": 2, "ready": 2, "updated": 2, "available": 2}
        assert value(samples, "rayfleet_fleet_replica_phase", phase="Ready", **where) == 2
        made = {"controller": "replica-set", "kind": "RayCluster", "verb": "create"}
        assert value(samples, "rayfleet_controller_writes_total", **made) == 2
        assert value(samples, "rayfleet_controller_writes_total", kind=FLEETS.kind, reason="status") > 0
        passes = value(samples, "rayfleet_controller_reconciles_total", controller="fleet", result="ok")
        assert passes > 0
        assert value(samples, "rayfleet_controller_reconcile_seconds_count", controller="fleet") >= passes
        assert value(samples, "rayfleet_controller_leader") == 1
        depths = {dict(pairs)["controller"] for name, pairs in samples if name == "rayfleet_controller_queue_depth"}
        assert depths == {"fleet", "replica-set", "route"}


async def test_a_server_that_has_not_answered_is_said() -> None:
    assert await asked(Standing(), "/readyz") == (503, "starting: the API server has not answered yet\n")
    assert await asked(Standing(), "/healthz") == (200, "ok\n")


async def test_who_waits_for_the_lease_is_ready() -> None:
    standing = Standing()
    standing.stands_by()
    assert await asked(standing, "/readyz") == (200, "ok: standing by, another process leads\n")
    assert value(await metrics(standing), "rayfleet_controller_leader") == 0


class NoLeaseClient(MemoryClient):
    """May not touch leases while ``is_bound``."""

    is_bound = True

    async def send(self, request: Request) -> bytes:
        """Send a request, unless it is about leases."""
        if self.is_bound and f"/{LEASES.plural}" in request.path:
            raise Forbidden(REFUSED, code=403)
        return await super().send(request)


async def test_who_may_not_ask_for_the_lease_says_so_till_it_may() -> None:
    standing = Standing()
    lease = replace(lease_settings("n", "a"), retry_period=timedelta(milliseconds=20))
    async with NoLeaseClient(MemoryAddress(url="memory", server=MemoryServer())) as client:
        elector = LeaderElector(client, lease)
        standing.stands_by(lambda: elector.refusal)
        leading = asyncio.Event()

        async def work() -> None:
            leading.set()

        running = asyncio.ensure_future(elector.lead(work))
        code, words = await until(lambda: asked(standing, "/readyz"), "a word", holds=lambda it: it[0] == 503)
        assert (code, words) == (503, f"standing by: the lease may not be asked for: {REFUSED}\n")
        client.is_bound = False
        async with asyncio.timeout(10):
            await leading.wait()
            await running
        assert (await asked(standing, "/readyz"))[0] == 200


async def test_a_leader_that_may_no_longer_renew_says_which_right_it_lacks() -> None:
    settings = replace(
        lease_settings("n", "a"),
        retry_period=timedelta(milliseconds=20),
        renew_deadline=timedelta(milliseconds=200),
        duration=timedelta(milliseconds=400),
    )
    async with NoLeaseClient(MemoryAddress(url="memory", server=MemoryServer())) as client:
        client.is_bound = False

        async def work() -> None:
            client.is_bound = True
            await asyncio.Event().wait()

        async with asyncio.timeout(20):
            with pytest.raises(LeadershipLost, match="cannot update resource"):
                await LeaderElector(client, settings).lead(work)


async def test_no_two_processes_of_a_machine_share_an_identity() -> None:
    """In containers each has the process id 1, and a node's own network gives pods its name."""
    assert lease_identity() != lease_identity()


async def test_a_leader_is_ready_once_it_has_read_everything() -> None:
    async with MemoryClient(MemoryAddress(url="memory", server=MemoryServer())) as client:
        reflectors = controller_reflectors(client, "n")
        standing = Standing()
        standing.leads(reflectors)
        code, words = await asked(standing, "/readyz")
        assert code == 503
        assert "rayclusterfleets" in words
        running = asyncio.ensure_future(reflectors.run())
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*(each.settled() for each in reflectors.values()))
        assert await asked(standing, "/readyz") == (200, "ok: leading\n")
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_kind_that_may_not_be_read_is_named_and_counted() -> None:
    async def refuse(_request: web.Request) -> web.StreamResponse:
        return status_answer(403, "Forbidden")

    async with scripted_server(refuse) as address, KubeClient(address) as client:
        reflectors = controller_reflectors(client, None)
        standing = Standing()
        standing.leads(reflectors)
        running = asyncio.ensure_future(reflectors.run())
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*(each.settled() for each in reflectors.values()))
        code, words = await asked(standing, "/readyz")
        assert code == 200
        assert f"{HTTP_ROUTES.kind} may not be listed and watched" in words
        absent = {"kind": HTTP_ROUTES.kind, "reason": "Forbidden"}
        assert value(await metrics(standing), "rayfleet_controller_absent_kinds", **absent) == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_two_processes_are_one_leader_and_one_that_stands_by() -> None:
    server = MemoryServer()

    async def work(name: str, port: int) -> None:
        async with MemoryClient(MemoryAddress(url="memory", server=server)) as client:
            admin = AdminSettings(host="127.0.0.1", port=port)
            await run_controllers(
                client, ControllerSettings(lease=lease_settings("n", name), admin=admin), FleetSources({})
            )

    with held_ports(2) as ports:

        async def stages() -> list[str]:
            async with aiohttp.ClientSession() as session:
                return sorted([await words(session, port) for port in ports])

        running = [asyncio.ensure_future(work(name, port)) for name, port in zip("ab", ports, strict=True)]
        both = ["ok: leading\n", "ok: standing by, another process leads\n"]
        await until(stages, "one leads, one stands by", holds=lambda words: words == both)
        assert len([key for key in server.objects if LEASES.plural in key[0]]) == 1
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def words(session: aiohttp.ClientSession, port: int) -> str:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return await answer.text()
    except aiohttp.ClientConnectionError:
        return ""


async def test_a_port_that_is_taken_is_an_error_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = AdminSettings(host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(EnvironmentProblem, match="--admin-port"):
            async with served(Standing(), settings):
                pass
