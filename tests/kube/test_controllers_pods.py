"""Pods that do not come up, towards both API servers: the fleet names them, and stops once they are up.

The KubeRay stand-in makes the pods, the test plays the kubelet and the scheduler.
"""

from collections.abc import AsyncIterator, Sequence

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Forbidden
from rayfleet.kube.requests import Request
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.labels import RAY_CLUSTER_LABEL
from rayfleet.objects.meta import key_of, label, name_of
from rayfleet.objects.parts import mappings, part
from rayfleet.objects.pods import is_head
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.kubelet import PULL_ERROR, SHORTAGE
from rayfleet.testing.ray_clusters import is_always
from rayfleet.testing.stand_ins import running_stand_ins, stand_pod
from rayfleet.testing.waiting import LIMIT_SECONDS, until


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[FleetWorld]:
    world = FleetWorld(client, namespace)
    async with running_stand_ins(client), world.controlled():
        yield world


async def pods_of_fleet(world: FleetWorld, count: int) -> Sequence[Json]:
    """Return the fleet's pods, heads first, as soon as there are so many."""
    pods = await until(
        lambda: world.objects(PODS), f"{count} pods", LIMIT_SECONDS, holds=lambda pods: len(pods) == count
    )
    return sorted(pods, key=lambda pod: (not is_head(pod), name_of(pod)))


async def replica_states(world: FleetWorld) -> list[Json]:
    [replica_set] = await world.objects(REPLICA_SETS)
    return mappings(part(replica_set, "status").get("replicaStates"))


@pytest.mark.parametrize(
    ("situation", "reason", "words"),
    [
        ("image-refused", "ErrImagePull", PULL_ERROR),
        ("unschedulable", "Unschedulable", SHORTAGE),
        ("crash-looping", "CrashLoopBackOff", "exit code 1: RuntimeError: no GPU"),
    ],
)
async def test_a_fleet_names_the_pod_that_blocks_it(world: FleetWorld, situation: str, reason: str, words: str) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    head, worker = await pods_of_fleet(world, 2)
    await stand_pod(world.client, worker, "waiting-for-gcs" if situation != "unschedulable" else "unbound")
    await stand_pod(world.client, head, situation)
    ready = await world.until_condition("Ready", "False", reason)
    assert f"pod {name_of(head)}" in ready.message
    assert words in ready.message
    [listed] = (await world.status())["replicaStates"]
    assert (listed["reason"], listed["pod"], listed["name"]) == (reason, name_of(head), label(head, RAY_CLUSTER_LABEL))


async def test_a_fleet_whose_pods_come_up_says_nothing_more(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    pods = await pods_of_fleet(world, 2)
    await stand_pod(world.client, pods[0], "image-refused")
    await world.until_condition("Ready", "False", "ErrImagePull")
    for pod in pods:
        stored = await world.client.get(PODS, name_of(pod), world.namespace)
        await stand_pod(world.client, stored, "ready")
    await world.until_condition("Ready", "True", "AllReplicasAvailable")
    assert [each["phase"] for each in (await world.status())["replicaStates"]] == ["Ready"]
    [state] = await until(
        lambda: replica_states(world),
        "a replica that is Ready",
        LIMIT_SECONDS,
        holds=lambda states: [each["phase"] for each in states] == ["Ready"],
    )
    assert state["incarnation"]
    assert set(state["stages"]) >= {"scheduling"}


async def test_a_replica_that_loses_its_head_says_how_it_died(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1, recovery={"enabled": False}))
    for pod in await pods_of_fleet(world, 2):
        await stand_pod(world.client, pod, "ready")
    await world.until_condition("Ready", "True", "AllReplicasAvailable")
    head = (await pods_of_fleet(world, 2))[0]
    await stand_pod(world.client, head, "out-of-memory")
    degraded = await world.until_condition("Degraded", "True", "OOMKilled")
    assert f"pod {name_of(head)}, container ray: OOMKilled exit code 137 (SIGKILL)" in degraded.message


async def test_a_replica_that_waits_for_admission_is_pending_and_not_late(world: FleetWorld) -> None:
    manifest = fleet_manifest(world.namespace, replicas=1, progressDeadlineSeconds=60)
    manifest["spec"]["template"]["spec"]["suspend"] = True
    await world.client.create(FLEETS, manifest)
    await world.until_condition("Progressing", "Unknown", "ReplicasSuspended")
    [ray_cluster] = await world.objects(RAY_CLUSTERS)
    [state] = await replica_states(world)
    assert (state["phase"], state["reason"]) == ("Pending", "Suspended")
    await world.client.patch(RAY_CLUSTERS, key_of(ray_cluster), {"spec": {"suspend": False}})
    await world.until_condition("Progressing", "True", "ReplicaSetUpdated")


class BlindClient(KubeClient):
    """May not look at pods."""

    async def send(self, request: Request) -> bytes:
        """Send a request, unless it is about pods."""
        if request.path.endswith("/pods"):
            raise Forbidden("pods is forbidden: no Role", code=403)
        return await super().send(request)


async def test_without_the_right_to_see_pods_a_fleet_lives_and_says_so(client: KubeClient, namespace: str) -> None:
    async with BlindClient(client.address) as blind:
        world = FleetWorld(client, namespace, controller_client=blind)
        world.simulator.is_ready = lambda _name: False
        async with world.running():
            await client.create(FLEETS, fleet_manifest(namespace, replicas=1))
            ready = await world.until_condition("Ready", "False", "PodsUnreadable")
            assert "no Role" in ready.message
            world.simulator.is_ready = is_always
            world.simulator.poke()
            await world.until_condition("Ready", "True", "AllReplicasAvailable")
