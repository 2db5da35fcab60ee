"""Routes towards both API servers: names that no file meets, fleets that share a model, what is reachable, refusals."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

from tests.kube.conftest import fresh_namespace

from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.run import ControllerSettings, run_controllers
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Forbidden
from rayfleet.kube.requests import Request
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import (
    ENDPOINT_SLICES,
    FLEETS,
    HTTP_ROUTES,
    PODS,
    RAY_CLUSTERS,
    SERVICES,
    ResourceType,
)
from rayfleet.objects.conditions import condition_of
from rayfleet.objects.labels import RAY_CLUSTER_LABEL, SERVICE_NAME_LABEL
from rayfleet.objects.meta import decode_meta, key_of, name_of, uid_of
from rayfleet.objects.owners import controller_reference, owners_of
from rayfleet.planning.names import route_name, service_name
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until

TRIES = 50


@asynccontextmanager
async def controllers_of_all_namespaces(client: KubeClient) -> AsyncIterator[None]:
    running = asyncio.ensure_future(run_controllers(client, ControllerSettings(), FleetSources({})))
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def file_of_a_user(namespace: str, model: str) -> tuple[Json, Json]:
    """Return what AIBrix's published example has beside its fleet: a Service and a route, by the model's name."""
    meta = {"name": model, "namespace": namespace, "labels": {"model.aibrix.ai/name": model}}
    ports = [{"name": name, "port": port, "targetPort": port} for name, port in (("serve", 8000), ("http", 8080))]
    spec = {"selector": {"model.aibrix.ai/name": model}, "ports": ports}
    service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    match = {
        "headers": [{"type": "Exact", "name": "model", "value": model}],
        "path": {"type": "PathPrefix", "value": "/v1/completions"},
    }
    rule = {"matches": [match], "backendRefs": [{"name": model, "port": 8000}], "timeouts": {"request": "120s"}}
    route: Json = {
        "apiVersion": HTTP_ROUTES.api_version,
        "kind": HTTP_ROUTES.kind,
        "metadata": {"name": f"{model}-router", "namespace": namespace},
        "spec": {"parentRefs": [{"name": "aibrix-eg", "namespace": "aibrix-system"}], "rules": [rule]},
    }
    return service, route


async def owned(client: KubeClient, resource: ResourceType, fleet: ReadOnlyJson) -> Sequence[Json]:
    """Return the objects of a kind that a fleet owns."""
    objects = (await client.list(resource, fleet["metadata"]["namespace"])).items
    return [each for each in objects if any(owner.uid == uid_of(fleet) for owner in owners_of(each))]


async def test_a_file_with_fleet_service_and_route_is_applied_fifty_times_without_an_error(client: KubeClient) -> None:
    """The worst order: the controllers have made their own before the file's next object comes."""
    names = [f"seed-{number}-{uuid4().hex[:6]}" for number in range(TRIES)]
    async with AsyncExitStack() as stack:
        namespaces = [await stack.enter_async_context(fresh_namespace(client)) for _ in names]
        await stack.enter_async_context(controllers_of_all_namespaces(client))
        fleets = [
            await client.create(FLEETS, fleet_manifest(namespace, name, replicas=1))
            for namespace, name in zip(namespaces, names, strict=True)
        ]
        for fleet in fleets:
            await _apply_the_rest(client, fleet)


async def _apply_the_rest(client: KubeClient, fleet: ReadOnlyJson) -> None:
    model, namespace = name_of(fleet), fleet["metadata"]["namespace"]
    await until(lambda: owned(client, SERVICES, fleet), "our Service", LIMIT_SECONDS)
    await until(lambda: owned(client, HTTP_ROUTES, fleet), "our HTTPRoute", LIMIT_SECONDS)
    service, route = file_of_a_user(namespace, model)
    theirs = [await client.create(SERVICES, service), await client.create(HTTP_ROUTES, route)]
    assert condition_of(await client.get(FLEETS, model, namespace), "Routed") == {}
    for resource, made in zip((SERVICES, HTTP_ROUTES), theirs, strict=True):
        stored = await client.get(resource, name_of(made), namespace)
        assert (uid_of(stored), owners_of(stored)) == (uid_of(made), ())
        assert stored["spec"] == made["spec"]


async def weights(world: FleetWorld) -> dict[str, int]:
    """Return the weight of each fleet in the route of ``qwen``, by the fleet's name."""
    routes = [each for each in await world.objects(HTTP_ROUTES) if name_of(each) == route_name("qwen")]
    backends = [each for route in routes for each in route["spec"]["rules"][0]["backendRefs"]]
    names = {service_name(decode_meta(fleet)): name_of(fleet) for fleet in await world.objects(FLEETS)}
    return {names[each["name"]]: each["weight"] for each in backends if each["name"] in names}


async def until_weights(world: FleetWorld, expected: dict[str, int]) -> None:
    await until(lambda: weights(world), f"weights {expected}", LIMIT_SECONDS, holds=lambda now: now == expected)


def of_qwen(namespace: str, name: str, **spec: object) -> Json:
    manifest = fleet_manifest(namespace, name, replicas=1, **spec)
    manifest["metadata"]["labels"]["model.aibrix.ai/name"] = "qwen"
    return manifest


async def test_fleets_of_one_model_share_its_route_until_the_last_goes(client: KubeClient, namespace: str) -> None:
    """The younger fleet gets requests too, and a canary moves from 0 to 100."""
    world = FleetWorld(client, namespace)
    async with world.running():
        await client.create(FLEETS, of_qwen(namespace, "old"))
        await until_weights(world, {"old": 1})
        await client.create(FLEETS, of_qwen(namespace, "new"))
        await until_weights(world, {"old": 1, "new": 1})
        await world.patch({"spec": {"replicas": 0}}, "old")
        await until_weights(world, {"old": 0, "new": 1})
        await world.patch({"spec": {"replicas": 1}}, "old")
        for weight in (0, 10, 100):
            await world.patch({"spec": {"route": {"weight": weight}}}, "new")
            await until_weights(world, {"old": 100 - weight if weight else 1, "new": weight})
        for fleet in ("old", "new"):
            await client.delete(FLEETS, ObjectKey(namespace=namespace, name=fleet))
        await until(lambda: world.names(HTTP_ROUTES), "no route", LIMIT_SECONDS, holds=lambda names: not names)


async def test_across_namespaces_the_older_keeps_the_name_until_it_goes(client: KubeClient, namespace: str) -> None:
    model = f"shared-{uuid4().hex[:6]}"
    async with fresh_namespace(client) as other, controllers_of_all_namespaces(client):
        old = await client.create(FLEETS, fleet_manifest(namespace, model, replicas=1))
        await until(lambda: owned(client, HTTP_ROUTES, old), "the route of the older", LIMIT_SECONDS)
        new = await client.create(FLEETS, fleet_manifest(other, model, replicas=1))

        async def accepted() -> Json:
            return condition_of(await client.get(FLEETS, model, other), "RouteAccepted")

        said = await until(accepted, "the younger says so", LIMIT_SECONDS)
        assert (said["status"], said["reason"]) == ("False", "ModelNameConflict")
        assert f"{namespace}/{model}" in said["message"]
        assert await owned(client, HTTP_ROUTES, new) == []
        await client.delete(FLEETS, key_of(old))
        await until(lambda: owned(client, HTTP_ROUTES, new), "the route of the younger", LIMIT_SECONDS)
        await until(accepted, "nothing is said any more", LIMIT_SECONDS, holds=lambda condition: not condition)


async def test_objects_of_ours_with_names_of_old_are_replaced(client: KubeClient, namespace: str) -> None:
    fleet = await client.create(FLEETS, fleet_manifest(namespace))
    reference = controller_reference(FLEETS, "model", uid_of(fleet))
    for resource, manifest in zip((SERVICES, HTTP_ROUTES), file_of_a_user(namespace, "model"), strict=True):
        manifest["metadata"]["ownerReferences"] = [reference]
        await client.create(resource, manifest)
    world = FleetWorld(client, namespace)
    async with world.running():
        await world.until_complete(2)
        for resource, name in ((SERVICES, service_name(decode_meta(fleet))), (HTTP_ROUTES, route_name("model"))):
            await until(
                lambda: world.names(resource),  # noqa: B023 - awaited
                f"{name} alone",
                LIMIT_SECONDS,
                holds=lambda names: names == [name],  # noqa: B023 - awaited
            )


async def test_a_replica_that_no_endpoint_reaches_is_ready_and_not_available(
    client: KubeClient, namespace: str
) -> None:
    world = FleetWorld(client, namespace)
    async with world.running():
        await client.create(FLEETS, fleet_manifest(namespace, replicas=1))
        await world.until_complete(1)
        (service,), (cluster,) = await world.objects(SERVICES), await world.objects(RAY_CLUSTERS)
        pod = await client.create(PODS, head_pod(cluster))
        reached = await client.create(ENDPOINT_SLICES, slice_of(service))
        await world.until_shows(readyReplicas=1, availableReplicas=0)
        await client.patch(ENDPOINT_SLICES, key_of(reached), {"endpoints": [endpoint(pod)]})
        await world.until_shows(readyReplicas=1, availableReplicas=1)
        await client.patch(ENDPOINT_SLICES, key_of(reached), {"endpoints": [endpoint(pod, is_ready=False)]})
        await world.until_shows(readyReplicas=1, availableReplicas=0)


def head_pod(cluster: ReadOnlyJson) -> Json:
    owner = controller_reference(RAY_CLUSTERS, name_of(cluster), uid_of(cluster))
    meta = {
        "name": f"{name_of(cluster)}-head",
        "namespace": cluster["metadata"]["namespace"],
        "labels": {RAY_CLUSTER_LABEL: name_of(cluster)},
        "ownerReferences": [owner],
    }
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "ray", "image": "ray:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def slice_of(service: ReadOnlyJson) -> Json:
    name = name_of(service)
    meta = {
        "name": f"{name}-1",
        "namespace": service["metadata"]["namespace"],
        "labels": {SERVICE_NAME_LABEL: name},
        "ownerReferences": [controller_reference(SERVICES, name, uid_of(service))],
    }
    kind = {"apiVersion": ENDPOINT_SLICES.api_version, "kind": ENDPOINT_SLICES.kind}
    ports = [{"name": "serve", "port": 8000}]
    return {**kind, "metadata": meta, "addressType": "IPv4", "endpoints": [], "ports": ports}


def endpoint(pod: ReadOnlyJson, *, is_ready: bool = True) -> Json:
    target = {"kind": "Pod", "name": name_of(pod), "uid": uid_of(pod)}
    return {"addresses": ["10.77.0.2"], "conditions": {"ready": is_ready}, "targetRef": target}


class RefusingClient(KubeClient):
    """May not write HTTPRoutes while ``refuses``."""

    refuses = True

    async def send(self, request: Request) -> bytes:
        if self.refuses and request.method != "GET" and "/httproutes" in request.path:
            raise Forbidden("httproutes are not for you", code=403, reason="Forbidden")
        return await super().send(request)


async def test_a_refused_route_costs_the_route_alone_is_said_and_taken_back(client: KubeClient, namespace: str) -> None:
    async with RefusingClient(client.address) as refusing:
        world = FleetWorld(client, namespace, controller_client=refusing)
        async with world.running():
            await client.create(FLEETS, fleet_manifest(namespace))
            await world.until_complete(2)
            said = await until(lambda: world.condition("Routed"), "condition Routed", LIMIT_SECONDS)
            assert (said["status"], said["reason"]) == ("False", "RouteRefused")
            assert "not for you" in said["message"]
            await world.patch({"spec": {"replicas": 3}})
            await world.until_complete(3)
            refusing.refuses = False
            await until(lambda: world.names(HTTP_ROUTES), "a route", LIMIT_SECONDS)
            is_gone: Callable[[Json], bool] = lambda condition: not condition  # noqa: E731 - named for the type
            await until(lambda: world.condition("Routed"), "nothing is said", LIMIT_SECONDS, holds=is_gone)
