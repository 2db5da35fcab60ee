"""The gateway's route table follows what either API server shows, and outlives it."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from rayfleet.kube.address import KubeAddress
from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import read_address
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import (
    ENDPOINT_SLICES,
    GATEWAYS,
    HTTP_ROUTES,
    NAMESPACES,
    REFERENCE_GRANTS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.conditions import entry_of
from rayfleet.objects.meta import version_of
from rayfleet.objects.parts import entries, part
from rayfleet.testing.definitions import install, read_definitions
from rayfleet.testing.realkube import RealKubeServer, default_cache, ensure_binaries, gateway_api_crds
from rayfleet.testing.waiting import until
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.discovery import Discovery, DiscoverySettings

LIMIT_SECONDS = 60
GATEWAY_API = "gateway.networking.k8s.io"


def route(namespace: str, model: str, *, backend_namespace: str = "") -> Json:
    match = {
        "headers": [{"type": "Exact", "name": "model", "value": model}],
        "path": {"type": "PathPrefix", "value": "/v1/completions"},
    }
    backend = {"name": "heads", "port": 8000} | ({"namespace": backend_namespace} if backend_namespace else {})
    rule = {"matches": [match], "backendRefs": [backend], "timeouts": {"request": "120s"}}
    meta = {"name": "fleet-router", "namespace": namespace}
    spec = {"parentRefs": [{"name": "rayfleet"}], "rules": [rule]}
    return {"apiVersion": f"{GATEWAY_API}/v1", "kind": "HTTPRoute", "metadata": meta, "spec": spec}


def service(namespace: str) -> Json:
    # No selector: nobody but the test writes its endpoints.
    spec = {"ports": [{"name": "serve", "port": 8000, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "heads", "namespace": namespace}, "spec": spec}


def endpoint_slice(namespace: str, **ready: bool) -> Json:
    """Return a slice with 192.0.2.N for each ``aN``.

    A documentation network: a real API server takes no loopback address.
    """
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "heads-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": "heads"}},
        "addressType": "IPv4",
        "ports": [{"name": "serve", "port": 8000, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [f"192.0.2.{name[1:]}"], "conditions": {"ready": is_ready}}
            for name, is_ready in ready.items()
        ],
    }


def grant(namespace: str, source: str) -> Json:
    spec = {
        "from": [{"group": GATEWAY_API, "kind": "HTTPRoute", "namespace": source}],
        "to": [{"group": "", "kind": "Service"}],
    }
    meta = {"name": "routes", "namespace": namespace}
    return {"apiVersion": f"{GATEWAY_API}/v1beta1", "kind": "ReferenceGrant", "metadata": meta, "spec": spec}


@asynccontextmanager
async def discovering(client: KubeClient, settings: DiscoverySettings | None = None) -> AsyncIterator[Discovery]:
    discovery = Discovery(client, settings)
    tables: list[RouteTable] = []
    task = asyncio.create_task(discovery.run(tables.append))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            await discovery.synced()
        yield discovery
        assert tables[-1] is discovery.table
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def addresses(table: RouteTable, model: str) -> set[str] | None:
    """Return the last numbers of the addresses behind a model, None when no route names it."""
    if model not in table.by_model:
        return None
    (rule,) = table.by_model[model]
    found: set[Endpoint] = {each for backend in rule.backends for each in backend.endpoints}
    return {each.address.rsplit(".", 1)[1] for each in found}


async def until_routed(discovery: Discovery, model: str, expected: set[str] | None) -> None:
    await until(
        lambda: addresses(discovery.table, model) == expected, f"the addresses of {model}: {expected}", LIMIT_SECONDS
    )


@pytest.fixture
def model() -> str:
    return f"model-{uuid4().hex[:8]}"


async def test_the_table_follows_routes_services_and_slices(client: KubeClient, namespace: str, model: str) -> None:
    async with discovering(client) as discovery:

        async def shows(expected: set[str] | None) -> None:
            await until_routed(discovery, model, expected)

        await client.create(HTTP_ROUTES, route(namespace, model))
        await shows(set())
        await client.create(SERVICES, service(namespace))
        await client.create(ENDPOINT_SLICES, endpoint_slice(namespace, a1=True, a2=False))
        await shows({"1"})
        key = ObjectKey(namespace=namespace, name="heads-1")
        both = {"endpoints": endpoint_slice(namespace, a1=True, a2=True)["endpoints"]}
        await client.patch(ENDPOINT_SLICES, key, both)
        await shows({"1", "2"})
        await client.patch(ENDPOINT_SLICES, key, {"endpoints": endpoint_slice(namespace, a2=True)["endpoints"]})
        await shows({"2"})
        await client.delete(SERVICES, ObjectKey(namespace=namespace, name="heads"))
        await shows(set())
        await client.create(SERVICES, service(namespace))
        await shows({"2"})
        await client.delete(HTTP_ROUTES, ObjectKey(namespace=namespace, name="fleet-router"))
        await shows(None)


async def test_a_backend_in_another_namespace_serves_while_it_is_granted(
    client: KubeClient, namespace: str, model: str
) -> None:
    other = f"{namespace}-routes"
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    await client.create(SERVICES, service(namespace))
    await client.create(ENDPOINT_SLICES, endpoint_slice(namespace, a1=True))
    await client.create(HTTP_ROUTES, route(other, model, backend_namespace=namespace))
    async with discovering(client) as discovery:
        assert addresses(discovery.table, model) == set()
        await client.create(REFERENCE_GRANTS, grant(namespace, other))
        await until_routed(discovery, model, {"1"})
        await client.delete(REFERENCE_GRANTS, ObjectKey(namespace=namespace, name="routes"))
        await until_routed(discovery, model, set())


async def test_the_process_serves_models_and_stops_on_a_signal(
    client: KubeClient, kubeconfig: Path, namespace: str, model: str
) -> None:
    await client.create(HTTP_ROUTES, route(namespace, model))
    third, fourth = uuid4().bytes[:2]
    host = f"127.84.{third}.{fourth}"  # other runs of this test have others, so that its ports are free
    ports = ["--host", host, "--port", "8000", "--admin-port", "8001", "--lag", "0"]
    command = [sys.executable, "-m", "rayfleet_gateway", "--kubeconfig", str(kubeconfig), *ports]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(LIMIT_SECONDS), aiohttp.ClientSession(f"http://{host}:8000") as session:
            admin = f"http://{host}:8001"
            await until(lambda: _status(session, f"{admin}/readyz"), "ready", holds=lambda status: status == 200)
            listed = json.loads(await (await session.get("/v1/models")).read())
            assert model in {each["id"] for each in listed["data"]}
            answer = await session.post("/v1/completions", json={"model": model, "prompt": "x"})
            assert (answer.status, (await answer.json())["error"]["code"]) == (500, "route_without_backend")
            assert (
                f'rayfleet_gateway_ready_endpoints{{model="{model}"}} 0.0'
                in await (await session.get(f"{admin}/metrics")).text()
            )
            process.terminate()
            _, errors = await process.communicate()
        assert (process.returncode, b"Traceback" in errors) == (0, False)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _status(session: aiohttp.ClientSession, path: str) -> int:
    try:
        async with session.get(path) as response:
            return response.status
    except aiohttp.ClientConnectorError:
        return 0


async def test_a_route_and_its_gateway_are_told_what_became_of_them(
    client: KubeClient, namespace: str, model: str
) -> None:
    """By two gateways at once, in a form that the real definitions take, and then no more."""
    meta = {"name": "rayfleet", "namespace": namespace}
    spec = {"gatewayClassName": "rayfleet", "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]}
    gateway = {"apiVersion": GATEWAYS.api_version, "kind": GATEWAYS.kind, "metadata": meta, "spec": spec}
    await client.create(GATEWAYS, gateway)
    await client.create(HTTP_ROUTES, route(namespace, model))
    key = ObjectKey(namespace=namespace, name="fleet-router")
    async with discovering(client), discovering(client):
        await until_condition(client, HTTP_ROUTES, key, "ResolvedRefs", ("False", "BackendNotFound"))
        await client.create(SERVICES, service(namespace))
        await until_condition(client, HTTP_ROUTES, key, "ResolvedRefs", ("True", "ResolvedRefs"))
        await until_condition(client, HTTP_ROUTES, key, "Accepted", ("True", "Accepted"))
        own = ObjectKey(namespace=namespace, name="rayfleet")
        await until_condition(client, GATEWAYS, own, "Programmed", ("True", "Programmed"))

        async def attached() -> list[int]:
            status = part(await client.get(GATEWAYS, "rayfleet", namespace), "status")
            return [each["attachedRoutes"] for each in entries(status, "listeners")]

        await until(attached, "one route of the listener", LIMIT_SECONDS, holds=[1].__eq__)

        async def rests() -> bool:
            before = version_of(await client.get(HTTP_ROUTES, key.name, namespace))
            await asyncio.sleep(3)  # longer than a gateway waits before it writes: time is what is tested
            return version_of(await client.get(HTTP_ROUTES, key.name, namespace)) == before

        await until(rests, "both write no more", LIMIT_SECONDS)


async def until_condition(
    client: KubeClient, resource: ResourceType, key: ObjectKey, name: str, expected: tuple[str, str]
) -> None:
    async def shown() -> tuple[str, str] | None:
        raw = await client.get(resource, key.name, key.namespace)
        parents = entries(raw, "status", "parents") or [part(raw, "status")]
        condition = entry_of(entries(parents[0], "conditions"), name)
        return (condition["status"], condition["reason"]) if condition else None

    await until(shown, f"{name} {expected} of {key}", LIMIT_SECONDS, holds=lambda shown: shown == expected)


async def test_a_start_without_an_api_server_serves_the_last_table_until_it_is_back(
    client: KubeClient, namespace: str, model: str, tmp_path: Path
) -> None:
    settings = DiscoverySettings(folder=tmp_path)
    await client.create(HTTP_ROUTES, route(namespace, model))
    await client.create(SERVICES, service(namespace))
    await client.create(ENDPOINT_SLICES, endpoint_slice(namespace, a1=True))
    async with discovering(client, settings) as discovery:
        await until_routed(discovery, model, {"1"})
        await until(lambda: model in _kept(tmp_path), "the last table is kept", LIMIT_SECONDS)
    nowhere = KubeAddress(url="http://127.0.0.1:1")
    async with KubeClient(nowhere) as cut_off, discovering(cut_off, settings) as discovery:
        assert (discovery.is_stale, addresses(discovery.table, model)) == (True, {"1"})
    await client.delete(HTTP_ROUTES, ObjectKey(namespace=namespace, name="fleet-router"))
    async with discovering(client, settings) as discovery:
        await until(lambda: not discovery.is_stale, "the watches are there", LIMIT_SECONDS)
        assert addresses(discovery.table, model) is None


def _kept(folder: Path) -> str:
    file = folder / "last-table.jsonl"
    return file.read_text() if file.exists() else ""


@pytest.mark.realkube
async def test_the_last_table_serves_while_the_api_server_is_away_and_is_renewed_when_it_is_back(
    tmp_path: Path, model: str
) -> None:
    server = RealKubeServer(await asyncio.to_thread(ensure_binaries, default_cache(), progress=print), tmp_path)
    try:
        running = await asyncio.to_thread(server.start)
        settings = ClientSettings(queries_per_second=1000, burst=2000)
        async with KubeClient(await read_address(running.kubeconfig), settings) as client:
            await install(client, await asyncio.to_thread(_gateway_api), LIMIT_SECONDS)
            for resource, made in _chain(model):
                await client.create(resource, made)
            async with discovering(client) as discovery:
                await until_routed(discovery, model, {"1"})
                await asyncio.to_thread(server.stop)
                table = discovery.table
                await asyncio.sleep(1)  # longer than the first attempts to watch again: time is what is tested
                assert discovery.table is table
                await asyncio.to_thread(server.start)
                key = ObjectKey(namespace="default", name="heads-1")
                await client.patch(ENDPOINT_SLICES, key, {"endpoints": endpoint_slice("default", a2=True)["endpoints"]})
                await until_routed(discovery, model, {"2"})
    finally:
        await asyncio.to_thread(server.close)


def _chain(model: str) -> list[tuple[ResourceType, Json]]:
    return [
        (SERVICES, service("default")),
        (ENDPOINT_SLICES, endpoint_slice("default", a1=True)),
        (HTTP_ROUTES, route("default", model)),
    ]


def _gateway_api() -> list[Json]:
    """Return the definitions that a gateway reads; the first call fetches them."""
    files = gateway_api_crds(default_cache(), progress=print)
    return read_definitions(
        file for file in files if any(kind in file.name for kind in ("httproutes", "referencegrants"))
    )
