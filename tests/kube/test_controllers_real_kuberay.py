"""Our controllers over the real KubeRay on a real API server; the test plays the kubelet and the scheduler."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, SECRETS
from rayfleet.objects.meta import key_of, name_of, uid_of
from rayfleet.objects.owners import controller_uid
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.kubelet import PULL_ERROR, SHORTAGE
from rayfleet.testing.real_kuberay import KubeRayServer, SharedKubeRay
from rayfleet.testing.stand_ins import stand_pod, until_pods
from rayfleet.testing.waiting import LIMIT_SECONDS, until

pytestmark = [pytest.mark.realkube, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kuberay(
    shared_kuberay: SharedKubeRay, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[KubeRayServer]:
    """One operator for all tests here."""
    async with shared_kuberay.lent(tmp_path_factory.mktemp("operator")) as server, server.operator():
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def world(kuberay: KubeRayServer) -> AsyncIterator[FleetWorld]:
    world = FleetWorld(kuberay.client, await kuberay.namespace("fleets"))
    async with world.controlled():
        yield world


def fleet(namespace: str) -> Json:
    """Return a fleet of one replica, with a token."""
    manifest = fleet_manifest(namespace, replicas=1)
    spec = manifest["spec"]["template"]["spec"]
    spec["authOptions"] = {"mode": "token"}
    for each in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        # No plugin of the real server's admission may wait for an account.
        each["template"]["spec"]["automountServiceAccountToken"] = False
    return manifest


async def test_a_fleet_on_the_real_kuberay_names_each_way_to_be_blocked_and_gets_ready(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet(world.namespace))
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


async def test_one_deleted_in_the_background_leaves_its_successor_nothing_of_its_own(world: FleetWorld) -> None:
    """KubeRay takes a Secret that is there already: under one name, the predecessor's token, soon to be collected."""
    await world.client.create(FLEETS, fleet(world.namespace))

    async def secret(ray_cluster: ReadOnlyJson) -> ReadOnlyJson:
        async def named() -> list[ReadOnlyJson]:
            return [each for each in await world.objects(SECRETS) if name_of(each) == name_of(ray_cluster)]

        [own] = await until(named, f"a Secret {name_of(ray_cluster)}", LIMIT_SECONDS, holds=bool)
        return own

    [first] = await until(lambda: world.objects(RAY_CLUSTERS), "a RayCluster", LIMIT_SECONDS, holds=bool)
    kept = await secret(first)
    background = Propagation.BACKGROUND
    await world.client.delete(RAY_CLUSTERS, key_of(first), uid=uid_of(first), propagation=background)
    [second] = await until(
        lambda: world.objects(RAY_CLUSTERS),
        "its successor",
        LIMIT_SECONDS,
        holds=lambda made: [uid_of(each) for each in made] not in ([], [uid_of(first)]),
    )
    own = await secret(second)
    assert (controller_uid(kept), controller_uid(own)) == (uid_of(first), uid_of(second))
    assert name_of(own) != name_of(kept)
