"""What ``spec.serving`` renders is taken by KubeRay's and the Gateway API's own CRDs, for every engine of ours."""

from pathlib import Path

import pytest
import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, REPLICA_SETS, SERVICES
from rayfleet.planning.drift import drift_patch
from rayfleet.plugin import registry
from rayfleet.testing.fleet_world import FleetWorld

EXAMPLES = Path(__file__).parents[2] / "examples"
GOLDEN = Path(__file__).parents[1] / "golden" / "overlay"


@pytest.mark.parametrize("manifest", sorted(EXAMPLES.glob("*/fleet.yaml")), ids=lambda path: path.parent.name)
async def test_an_example_becomes_ray_clusters_that_kuberay_takes(
    client: KubeClient, namespace: str, manifest: Path
) -> None:
    fleet: Json = yaml.safe_load(manifest.read_text())
    name = fleet["metadata"]["name"]
    fleet["metadata"]["namespace"] = namespace
    fleet["spec"]["replicas"] = 1
    world = FleetWorld(client, namespace, engines=registry.load().engines)
    async with world.running():
        await client.create(FLEETS, fleet)
        await world.until_complete(1, name)
        route = await world.until_route()
    (ray_cluster,) = await world.objects(RAY_CLUSTERS)
    containers = ray_cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in containers] == ["ray-head", "rayfleet-sidecar"]
    [backend] = route["spec"]["rules"][0]["backendRefs"]
    assert backend["name"] in await world.names(SERVICES)
    (service,) = await world.objects(SERVICES)
    assert service["spec"]["ports"][0]["targetPort"] == "serve"


async def test_a_fleet_by_hand_gets_the_sidecar_that_its_head_lacks(client: KubeClient, namespace: str) -> None:
    """A server keeps the note and the container as they were written: a second pass changes nothing."""
    fleet: Json = yaml.safe_load((GOLDEN / "vllm-by-hand.in.yaml").read_text(encoding="utf-8"))
    fleet["metadata"]["namespace"] = namespace
    world = FleetWorld(client, namespace, readers=tuple(registry.load().command_readers.values()))
    async with world.running():
        await client.create(FLEETS, fleet)
        await world.until_complete(1, "qwen")
    (replica_set,) = await world.objects(REPLICA_SETS)
    (ray_cluster,) = await world.objects(RAY_CLUSTERS)
    written = ray_cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    golden: Json = yaml.safe_load((GOLDEN / "vllm-by-hand.out.yaml").read_text(encoding="utf-8"))
    for container, planned in zip(written, golden["headGroupSpec"]["template"]["spec"]["containers"], strict=True):
        assert not drift_patch(container, planned)
    assert len(replica_set["spec"]["template"]["spec"]["headGroupSpec"]["template"]["spec"]["containers"]) == 1
