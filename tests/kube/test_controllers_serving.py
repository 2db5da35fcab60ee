"""What ``spec.serving`` renders is taken by KubeRay's and the Gateway API's own CRDs, for every engine of ours."""

from pathlib import Path

import pytest
import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS, SERVICES
from rayfleet.plugin import registry
from rayfleet.testing.fleet_world import FleetWorld

EXAMPLES = Path(__file__).parents[2] / "examples"


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
