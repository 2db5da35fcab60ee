"""An older KubeRay, by the definitions that it published: what a fleet lacks is named in its status, the rest works."""

import json
from pathlib import Path

import pytest
import yaml
from tests.kube.conftest import BareServer

from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS
from rayfleet.objects.meta import key_of
from rayfleet.plugin import registry
from rayfleet.testing.definitions import install, read_definitions
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.realkube import KUBERAY_VERSIONS, default_cache, kuberay_crds
from rayfleet.testing.waiting import LIMIT_SECONDS, until

QUICKSTART = Path(__file__).parents[2] / "examples" / "01-quickstart" / "fleet.yaml"
NAME = "smollm2"
OLDER = KUBERAY_VERSIONS[1:]


async def bring(server: BareServer, version: str) -> None:
    """Install the definition of RayClusters as a version of KubeRay has it."""
    files = [file for file in kuberay_crds(default_cache(), version, progress=print) if "rayclusters" in file.name]
    await install(server.client, read_definitions(files))


async def told(world: FleetWorld, name: str) -> str:
    return json.dumps(await world.status(name))


@pytest.mark.parametrize("version", OLDER)
async def test_a_fleet_says_that_tokens_are_not_kept_and_one_by_hand_serves(
    bare_server: BareServer, version: str
) -> None:
    await bring(bare_server, version)
    client, namespace = bare_server.client, bare_server.namespace
    world = FleetWorld(client, namespace, engines=registry.load().engines)
    world.simulator.is_ready = lambda name: not name.startswith(NAME)
    quickstart: Json = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    quickstart["metadata"]["namespace"] = namespace
    async with world.running():
        await client.create(FLEETS, quickstart)
        await client.create(FLEETS, fleet_manifest(namespace, "by-hand"))
        await world.until_shows("by-hand", availableReplicas=2)
        text = await until(
            lambda: told(world, NAME),
            "the fleet says what KubeRay is too old for",
            LIMIT_SECONDS,
            holds=lambda said: "KubeRayTooOld" in said,
        )
        assert "spec.authOptions" in text
        assert "KubeRay 1.5.1" in text
        assert "KubeRayTooOld" not in await told(world, "by-hand")


async def test_a_fleet_says_that_conditions_are_not_told(bare_server: BareServer) -> None:
    """As KubeRay 1.2 without its feature: it counts, and calls the Ray cluster ready."""
    await bring(bare_server, OLDER[-1])
    client, namespace = bare_server.client, bare_server.namespace
    world = FleetWorld(client, namespace)
    async with world.controlled():
        await client.create(FLEETS, fleet_manifest(namespace, replicas=1))
        [ray_cluster] = await until(lambda: world.objects(RAY_CLUSTERS), "the Ray cluster is made", LIMIT_SECONDS)
        status = {"status": {"state": "ready", "readyWorkerReplicas": 1, "desiredWorkerReplicas": 1}}
        await client.patch(RAY_CLUSTERS, key_of(ray_cluster), status, subresource="status")
        text = await until(
            lambda: told(world, "model"),
            "the fleet says what KubeRay is too old for",
            LIMIT_SECONDS,
            holds=lambda said: "KubeRayTooOld" in said,
        )
    assert "HeadPodReady" in text
    assert "older than 1.3" in text
