"""What changes hands, towards both API servers: orphans are taken, what is relabelled is let go, nothing is stolen.

The garbage collector is played by the tests: a bare kube-apiserver has none.
"""

from collections.abc import AsyncIterator

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.objects.meta import finalizers_of, key_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.objects.parts import part
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[FleetWorld]:
    async with FleetWorld(client, namespace).running() as running:
        yield running


async def patch(world: FleetWorld, resource: ResourceType, raw: Json, **metadata: object) -> None:
    await world.client.patch(resource, key_of(raw), {"metadata": metadata})


async def test_a_fleet_deleted_without_its_dependents_and_applied_again_takes_them(world: FleetWorld) -> None:
    """As after a deletion with ``--cascade=orphan``: accelerators are not held twice."""
    await world.client.create(FLEETS, fleet_manifest(world.namespace))
    await world.until_complete(2)
    before = (await world.names(REPLICA_SETS), await world.names(RAY_CLUSTERS))
    await orphan_replica_sets(world)
    again = await world.client.create(FLEETS, fleet_manifest(world.namespace))
    await world.until_complete(2)
    assert (await world.names(REPLICA_SETS), await world.names(RAY_CLUSTERS)) == before
    [replica_set] = await world.objects(REPLICA_SETS)
    assert controller_uid(replica_set) == uid_of(again)


async def orphan_replica_sets(world: FleetWorld) -> None:
    """Delete the fleet with ``--cascade=orphan``; nobody takes anything while it goes."""
    key = ObjectKey(namespace=world.namespace, name="model")
    await world.client.delete(FLEETS, key, propagation=Propagation.ORPHAN)
    fleet = await world.client.get(FLEETS, "model", world.namespace)
    [replica_set] = await world.objects(REPLICA_SETS)
    await patch(world, REPLICA_SETS, replica_set, ownerReferences=None)
    kept = [name for name in finalizers_of(fleet) if name != "orphan"]
    assert kept == []
    await patch(world, FLEETS, fleet, finalizers=None)
    [orphan] = await world.objects(REPLICA_SETS)
    assert controller_uid(orphan) is None


async def test_a_ray_cluster_without_an_owner_is_taken_again(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    [ray_cluster] = await world.objects(RAY_CLUSTERS)
    await patch(world, RAY_CLUSTERS, ray_cluster, ownerReferences=None)
    await until(lambda: owners(world), "an owner again", LIMIT_SECONDS, holds=all)
    assert await world.names(RAY_CLUSTERS) == [key_of(ray_cluster).name]


async def owners(world: FleetWorld) -> list[str | None]:
    return [controller_uid(each) for each in await world.objects(RAY_CLUSTERS)]


async def test_a_relabelled_ray_cluster_is_let_go_and_another_made(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    [ray_cluster] = await world.objects(RAY_CLUSTERS)
    await patch(world, RAY_CLUSTERS, ray_cluster, labels={"pod-template-hash": None})
    await until(lambda: owners(world), "one kept, one made", LIMIT_SECONDS, holds=lambda each: len(each) == 2)
    left = await world.client.get(RAY_CLUSTERS, key_of(ray_cluster).name, world.namespace)
    assert (uid_of(left), controller_uid(left)) == (uid_of(ray_cluster), None)


async def test_two_fleets_with_one_selector_keep_their_own_and_the_younger_says_it(world: FleetWorld) -> None:
    first = await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    second = fleet_manifest(world.namespace, "second") | {"spec": {**first["spec"], "replicas": 2}}
    made = await world.client.create(FLEETS, second)
    await until(lambda: world.shows("second", availableReplicas=2), "both are there", LIMIT_SECONDS)
    assert (await world.condition("SelectorOverlap", "second"))["message"].startswith("The selector selects")
    assert await world.condition("SelectorOverlap") == {}
    sizes = {controller_uid(each): part(each, "status")["replicas"] for each in await world.objects(REPLICA_SETS)}
    assert sizes == {uid_of(first): 1, uid_of(made): 2}
