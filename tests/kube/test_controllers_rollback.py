"""Ways back to a revision of before, towards both API servers."""

from collections.abc import AsyncIterator

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.meta import annotations_of
from rayfleet.objects.parts import part
from rayfleet.objects.ray_spec import containers, head_group
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until

ROLLBACK = "deprecated.deployment.rollback.to"
FIRST, SECOND = "rayproject/ray:2.60.0", "rayproject/ray:2.61.0"


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[FleetWorld]:
    async with FleetWorld(client, namespace).running() as running:
        yield running


def with_image(image: str) -> Json:
    """Return a patch that gives the head another image and a field that the first template has not."""
    pod = {"spec": {"containers": [{"name": "ray", "image": image}], "hostNetwork": True}}
    return {"spec": {"template": {"spec": {"headGroupSpec": {"template": pod}}}}}


async def written(world: FleetWorld) -> tuple[str, bool, bool]:
    """Return what the fleet's template says: the image, whether of the host's network; and whether a rollback waits."""
    fleet = await world.client.get(FLEETS, "model", world.namespace)
    head = head_group(part(fleet, "spec", "template", "spec"))
    is_on_host = "hostNetwork" in part(head, "template", "spec")
    return str(containers(head)[0]["image"]), is_on_host, ROLLBACK in annotations_of(fleet)


async def test_the_annotation_brings_the_template_of_before_back(world: FleetWorld) -> None:
    made = await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    await world.patch(with_image(SECOND))
    await world.until_complete(1)
    key = ObjectKey(namespace=world.namespace, name="model")
    await world.client.patch(FLEETS, key, {"metadata": {"annotations": {ROLLBACK: "1"}}})
    await until(lambda: written(world), "the first template", LIMIT_SECONDS, holds=lambda it: it[0] == FIRST)
    assert await written(world) == (FIRST, False, False)
    await world.until_complete(1)
    fleet = await world.client.get(FLEETS, "model", world.namespace)
    assert part(fleet, "spec", "template") == part(made, "spec", "template")
    assert len(await world.objects(REPLICA_SETS)) == 2
    [ray_cluster] = await world.objects(RAY_CLUSTERS)
    assert str(containers(head_group(part(ray_cluster, "spec")))[0]["image"]) == FIRST


async def test_a_rollout_without_progress_goes_back_by_itself(world: FleetWorld) -> None:
    strategy = {"rollbackOnFailure": True, "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.client.create(
        FLEETS, fleet_manifest(world.namespace, replicas=1, strategy=strategy, progressDeadlineSeconds=3)
    )
    await world.until_complete(1)
    before = await world.names(RAY_CLUSTERS)
    await until(lambda: noted_healthy(world), "the first revision is noted as healthy", LIMIT_SECONDS)
    world.simulator.is_ready = lambda name: name in before
    await world.patch(with_image(SECOND))
    await until(lambda: world.condition("RolledBack"), "the condition RolledBack", LIMIT_SECONDS)
    assert (await written(world))[0] == FIRST
    await world.until_complete(1)
    assert await world.names(RAY_CLUSTERS) == before


async def noted_healthy(world: FleetWorld) -> bool:
    [replica_set] = await world.objects(REPLICA_SETS)
    return "orchestration.aibrix.ai/was-available" in annotations_of(replica_set)
