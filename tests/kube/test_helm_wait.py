"""A chart with a fleet in the hands of the real Helm 4, which waits as kstatus tells it: till the fleet serves."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.model.resources import FLEETS
from rayfleet.objects.conditions import is_true
from rayfleet.objects.meta import name_of
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.realkube import HELM_VERSIONS, default_cache, ensure_helm

pytestmark = pytest.mark.realkube


@pytest.fixture(scope="module")
def helm() -> Path:
    return ensure_helm(default_cache(), HELM_VERSIONS[-1], progress=print)


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[FleetWorld]:
    async with FleetWorld(client, namespace).running() as running:
        yield running


@pytest.fixture
def chart(tmp_path: Path, namespace: str) -> Path:
    folder = tmp_path / "chart"
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("apiVersion: v2\nname: toy\nversion: 0.1.0\n")
    (folder / "templates" / "fleet.yaml").write_text(yaml.safe_dump(fleet_manifest(namespace)))
    return folder


class Helm:
    """Helm with one kubeconfig, in one namespace."""

    def __init__(self, program: Path, kubeconfig: Path, namespace: str) -> None:
        self._command = (program, "--kubeconfig", kubeconfig, "--namespace", namespace)

    async def __call__(self, *arguments: str | Path, is_fine: bool = True) -> str:
        """Return what it says; ``is_fine``: whether it is to go well."""
        done = await asyncio.to_thread(
            subprocess.run, [*self._command, *arguments], capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode == 0) is is_fine, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout if is_fine else done.stderr

    async def status(self) -> str:
        """Return how the release stands."""
        release = json.loads(await self("status", "toy", "-o", "json"))
        return str(release["info"]["status"])


async def test_it_is_done_when_the_fleet_serves(
    helm: Path, kubeconfig: Path, world: FleetWorld, namespace: str, chart: Path
) -> None:
    """The release then changes and goes: what Helm owns on the server's side, it may write and delete."""
    command = Helm(helm, kubeconfig, namespace)
    await command("install", "toy", chart, "--wait", "--timeout", "60s")
    assert is_true(await world.client.get(FLEETS, "model", namespace), "Ready")
    assert await command.status() == "deployed"
    (chart / "templates" / "fleet.yaml").write_text(yaml.safe_dump(fleet_manifest(namespace, replicas=3)))
    await command("upgrade", "toy", chart, "--wait", "--timeout", "60s")
    assert await world.is_complete(3)
    await command("uninstall", "toy", "--wait", "--timeout", "60s")
    assert [name_of(each) for each in await world.objects(FLEETS)] == []


async def test_it_fails_for_a_fleet_that_cannot_start(
    helm: Path, kubeconfig: Path, world: FleetWorld, namespace: str, chart: Path
) -> None:
    world.simulator.is_ready = lambda _name: False
    command = Helm(helm, kubeconfig, namespace)
    words = await command("install", "toy", chart, "--wait", "--timeout", "2s", is_fine=False)
    assert f"RayClusterFleet/{namespace}/model" in words, words
    assert await command.status() == "failed"
    await command("uninstall", "toy")
