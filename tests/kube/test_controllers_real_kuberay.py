"""Our controllers over the real KubeRay on a real API server; the test plays the kubelet and the scheduler."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rayfleet.model.resources import FLEETS, NAMESPACES, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import name_of
from rayfleet.testing.fleet_world import LIMIT_SECONDS, FleetWorld, fleet_manifest
from rayfleet.testing.kubelet import PULL_ERROR, SHORTAGE
from rayfleet.testing.real_kuberay import kuberay_server
from rayfleet.testing.stand_ins import stand_pod, until_pods
from rayfleet.testing.waiting import until

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FleetWorld]:
    async with kuberay_server(tmp_path) as server:
        meta = {"name": "fleets"}
        await server.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        world = FleetWorld(server.client, "fleets")
        async with server.operator(), world.controlled():
            yield world


async def test_a_fleet_on_the_real_kuberay_names_each_way_to_be_blocked_and_gets_ready(world: FleetWorld) -> None:
    manifest = fleet_manifest(world.namespace, replicas=1)
    for group in ("headGroupSpec", "workerGroupSpecs"):
        groups = manifest["spec"]["template"]["spec"][group]
        for each in [groups] if isinstance(groups, dict) else groups:
            # No plugin of the real server's admission may wait for an account.
            each["template"]["spec"]["automountServiceAccountToken"] = False
    await world.client.create(FLEETS, manifest)
    [ray_cluster] = await until(
        lambda: world.objects(RAY_CLUSTERS), "a RayCluster", LIMIT_SECONDS, holds=lambda made: len(made) == 1
    )
    pods = await until_pods(world.client, ray_cluster, 1, 1, limit=LIMIT_SECONDS)
    [head], [worker] = pods["head"], pods["worker"]
    steps = (
        (worker, "unschedulable", "Unschedulable", SHORTAGE),
        (worker, "waiting-for-gcs", "", ""),
        (head, "image-refused", "ErrImagePull", PULL_ERROR),
        (head, "crash-looping", "CrashLoopBackOff", "exit code 1: RuntimeError: no GPU"),
    )
    for pod, situation, reason, words in steps:
        await stand_pod(world.client, await world.client.get(PODS, name_of(pod), world.namespace), situation)
        if reason:
            ready = await world.until_condition("Ready", "False", reason)
            assert f"pod {name_of(pod)}" in ready.message
            assert words in ready.message
    for pod in (head, worker):
        await stand_pod(world.client, await world.client.get(PODS, name_of(pod), world.namespace), "ready")
    await world.until_condition("Ready", "True", "AllReplicasAvailable")
