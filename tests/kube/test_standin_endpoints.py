"""The endpoint slice stand-in towards an API server; the node is played by the test."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.store import key_of
from rayfleet.model.meta import JsonObject
from rayfleet.model.resources import ENDPOINT_SLICES, PODS, SERVICES
from rayfleet.testing.nodes import eventually
from rayfleet.testing.stand_ins import put_pod_status, running_stand_ins

LIMIT_SECONDS = 20.0
ADDRESS = "10.77.0.2"  # the real server refuses loopback addresses in slices, the embedded one must take them
PROMPT_SECONDS = 1.0  # measured: 25 ms, of which 20 are this test's own waiting; other work may run beside


@pytest.fixture(autouse=True)
async def stand_ins(client: KubeClient) -> AsyncIterator[None]:
    async with running_stand_ins(client):
        yield


def service(namespace: str, name: str) -> JsonObject:
    spec = {"selector": {"app": name}, "clusterIP": "None", "ports": [{"name": "serve", "port": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def pod(namespace: str, name: str, app: str) -> JsonObject:
    meta = {"name": name, "namespace": namespace, "labels": {"app": app}}
    containers = [{"name": "main", "image": "example/engine:1"}]
    spec = {"automountServiceAccountToken": False, "containers": containers}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def until_slice(client: KubeClient, namespace: str, name: str, claim: Callable[[JsonObject], Any]) -> JsonObject:
    async def look() -> JsonObject | None:
        found = await client.list(ENDPOINT_SLICES, namespace, label_selector=f"kubernetes.io/service-name={name}")
        return found.items[0] if len(found.items) == 1 and claim(found.items[0]) else None

    result: JsonObject = await eventually(look, LIMIT_SECONDS)
    return result


def ready_addresses(found: JsonObject) -> list[str]:
    return [each["addresses"][0] for each in found.get("endpoints") or () if each["conditions"]["ready"]]


def is_without_ready(found: JsonObject) -> bool:
    return not ready_addresses(found)


async def test_a_pods_readiness_is_in_the_slice_at_once(client: KubeClient, namespace: str) -> None:
    await client.create(SERVICES, service(namespace, "web"))
    await until_slice(client, namespace, "web", is_without_ready)
    made = await client.create(PODS, pod(namespace, "one", "web"))
    delays = []
    for is_ready in (True, False, True, False):
        began = time.monotonic()
        await put_pod_status(client, made, address=ADDRESS, is_ready=is_ready)
        await until_slice(client, namespace, "web", ready_addresses if is_ready else is_without_ready)
        delays.append(time.monotonic() - began)
    assert min(delays) < PROMPT_SECONDS


async def test_a_terminating_pod_is_not_ready_but_still_there(client: KubeClient, namespace: str) -> None:
    await client.create(SERVICES, service(namespace, "web"))
    manifest = pod(namespace, "one", "web")
    manifest["metadata"]["finalizers"] = ["rayfleet.test/hold"]
    made = await client.create(PODS, manifest)
    await put_pod_status(client, made, address=ADDRESS)
    await until_slice(client, namespace, "web", ready_addresses)
    await client.delete(PODS, key_of(made), grace_period_seconds=0)
    found = await until_slice(client, namespace, "web", is_without_ready)
    said = found["endpoints"][0]["conditions"]
    assert (said["serving"], said["terminating"]) == (True, True)
    await client.patch(PODS, key_of(made), {"metadata": {"finalizers": None}})
    await until_slice(client, namespace, "web", lambda found: not found.get("endpoints"))


async def test_a_pod_moves_with_its_labels_and_a_service_with_its_selector(client: KubeClient, namespace: str) -> None:
    await client.create(SERVICES, service(namespace, "blue"))
    await client.create(SERVICES, service(namespace, "green"))
    made = await client.create(PODS, pod(namespace, "one", "blue"))
    await put_pod_status(client, made, address=ADDRESS)
    await until_slice(client, namespace, "blue", ready_addresses)
    await client.patch(PODS, key_of(made), {"metadata": {"labels": {"app": "green"}}})
    await until_slice(client, namespace, "green", ready_addresses)
    await until_slice(client, namespace, "blue", is_without_ready)
    key = key_of(service(namespace, "blue"))
    await client.patch(SERVICES, key, {"spec": {"selector": {"app": "green"}}})
    await until_slice(client, namespace, "blue", ready_addresses)


async def test_a_slice_goes_with_its_service_and_comes_back_with_it(client: KubeClient, namespace: str) -> None:
    made = await client.create(PODS, pod(namespace, "one", "web"))
    await put_pod_status(client, made, address=ADDRESS)
    first = await client.create(SERVICES, service(namespace, "web"))
    await until_slice(client, namespace, "web", ready_addresses)
    await client.delete(SERVICES, key_of(first))
    second = await client.create(SERVICES, service(namespace, "web"))

    def is_of_the_second(found: JsonObject) -> bool:
        return bool(found["metadata"]["ownerReferences"][0]["uid"] == second["metadata"]["uid"])

    await until_slice(client, namespace, "web", is_of_the_second)
    await client.delete(SERVICES, key_of(second))

    async def is_gone() -> bool:
        found = await client.list(ENDPOINT_SLICES, namespace, label_selector="kubernetes.io/service-name=web")
        return not found.items

    await eventually(is_gone, LIMIT_SECONDS)


async def test_a_slice_that_somebody_spoils_is_mended(client: KubeClient, namespace: str) -> None:
    await client.create(SERVICES, service(namespace, "web"))
    made = await client.create(PODS, pod(namespace, "one", "web"))
    await put_pod_status(client, made, address=ADDRESS)
    found = await until_slice(client, namespace, "web", ready_addresses)
    await client.patch(ENDPOINT_SLICES, key_of(found), {"endpoints": []})
    await until_slice(client, namespace, "web", ready_addresses)
    await client.delete(ENDPOINT_SLICES, key_of(found))
    await until_slice(client, namespace, "web", ready_addresses)
