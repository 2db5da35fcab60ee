"""Kinds that a cluster lacks, loses and gets: each costs its own part, is said, and comes back without a restart."""

from tests.kube.conftest import BareServer

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import NotFound
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import CRDS, FLEETS, HTTP_ROUTES, RAY_CLUSTERS, ResourceType
from rayfleet.objects.meta import name_of
from rayfleet.testing.definitions import install
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until


def definition(server: BareServer, resource: ResourceType) -> Json:
    name = f"{resource.plural}.{resource.group}"
    return next(each for each in server.definitions if name_of(each) == name)


async def remove(client: KubeClient, server: BareServer, resource: ResourceType) -> None:
    """Delete the definition of a kind; return when nobody knows it any more."""
    name = name_of(definition(server, resource))
    await client.delete(CRDS, ObjectKey(namespace="", name=name))

    async def is_gone() -> bool:
        try:
            await client.get(CRDS, name)
        except NotFound:
            return True
        return False

    await until(is_gone, f"{name} is gone")


async def test_a_fleet_waits_for_kuberay_says_so_and_goes_on_when_it_comes(bare_server: BareServer) -> None:
    client = bare_server.client
    await install(client, [definition(bare_server, HTTP_ROUTES)])
    world = FleetWorld(client, bare_server.namespace)
    async with world.running():
        await client.create(FLEETS, fleet_manifest(bare_server.namespace))

        async def failure() -> str:
            return str((await world.condition("ReplicaFailure")).get("message", ""))

        await until(failure, "the fleet says what is missing", LIMIT_SECONDS, holds=lambda text: "KubeRay" in text)
        await install(client, [definition(bare_server, RAY_CLUSTERS)])
        await world.until_complete(2)
        await until(failure, "nothing is said of it any more", holds=lambda text: not text)


async def test_without_routes_a_fleet_lives_and_says_so(bare_server: BareServer) -> None:
    client = bare_server.client
    await install(client, [definition(bare_server, RAY_CLUSTERS)])
    world = FleetWorld(client, bare_server.namespace)

    async def routed(name: str = "model") -> str:
        return str((await world.condition("Routed", name)).get("reason", ""))

    async with world.running():
        await client.create(FLEETS, fleet_manifest(bare_server.namespace))
        await world.until_complete(2)
        await until(routed, "the fleet says that it has no route", holds="NoSuchKind".__eq__)
        await install(client, [definition(bare_server, HTTP_ROUTES)])
        await until(lambda: world.names(HTTP_ROUTES), "the route is made", LIMIT_SECONDS)
        await until(routed, "nothing is said of routes any more", LIMIT_SECONDS, holds=lambda reason: not reason)
        await remove(client, bare_server, HTTP_ROUTES)
        await world.patch({"spec": {"replicas": 3}})
        await world.until_complete(3)
        await until(routed, "the fleet says that it has no route", LIMIT_SECONDS)
        await client.create(FLEETS, fleet_manifest(bare_server.namespace, "other", replicas=1))
        await until(lambda: world.shows("other", availableReplicas=1), "another fleet is made", LIMIT_SECONDS)
        is_absent = "NoSuchKind".__eq__
        await until(lambda: routed("other"), "the other fleet says so too", LIMIT_SECONDS, holds=is_absent)
        await install(client, [definition(bare_server, HTTP_ROUTES)])
        await until(lambda: world.names(HTTP_ROUTES), "both routes", LIMIT_SECONDS, holds=lambda names: len(names) == 2)
