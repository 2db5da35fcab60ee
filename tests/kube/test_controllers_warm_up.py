"""Nodes that are warmed up before a replica there is cut, towards both API servers, and on a node of our own.

The KubeRay stand-in makes the pods, the test plays the scheduler and the kubelet; the last tests have a node.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Forbidden
from rayfleet.kube.requests import Request
from rayfleet.model.fleet import RayClusterTemplate
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey, ObjectMeta
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS
from rayfleet.objects.labels import WARM_UP_LABEL
from rayfleet.objects.meta import is_terminating, key_of, name_of, uid_of
from rayfleet.objects.owners import is_controlled_by
from rayfleet.objects.pods import phase_of
from rayfleet.planning.replica.obstacles import image_refusal
from rayfleet.planning.warm_up.pods import warm_up_pods
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.nodes import IMAGE, NodeProcess, WatchedPod, run_pod
from rayfleet.testing.stand_ins import running_stand_ins, stand_pod
from rayfleet.testing.waiting import LIMIT_SECONDS, until

FIRST_IMAGE = "rayproject/ray:2.60.0"  # of ``fleet_manifest``
IN_PLACE = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


class Clock:
    """The controllers' time: ``ahead`` of this machine's."""

    ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(client: KubeClient, namespace: str, clock: Clock) -> AsyncIterator[FleetWorld]:
    world = FleetWorld(client, namespace, now=clock)
    async with running_stand_ins(client), world.controlled():
        yield world


async def serving(world: FleetWorld, **spec: Any) -> None:
    """Make a fleet of one replica that is ready on a node."""
    fields = {"strategy": IN_PLACE, "drain": {"timeoutSeconds": 0}, **spec}
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1, **fields))
    pods = await until(lambda: world.objects(PODS), "head and worker", LIMIT_SECONDS, holds=lambda pods: len(pods) == 2)
    for pod in pods:
        await stand_pod(world.client, pod, "ready")
    await world.until_condition("Ready", "True", "AllReplicasAvailable")


async def apply_image(world: FleetWorld, tag: str) -> None:
    pod = {"spec": {"containers": [{"name": "ray", "image": f"rayproject/ray:{tag}"}]}}
    await world.patch({"spec": {"template": {"spec": {"headGroupSpec": {"template": pod}}}}})


async def warm_up_pods_of(world: FleetWorld) -> list[Json]:
    listed = await world.client.list(PODS, world.namespace, label_selector=WARM_UP_LABEL)
    return [pod for pod in listed.items if not is_terminating(pod)]


async def until_warming(world: FleetWorld) -> Json:
    """Return the pod that warms the one node up, as soon as it is there."""
    (pod,) = await until(lambda: warm_up_pods_of(world), "a pod that warms the node up", LIMIT_SECONDS)
    return pod


async def is_cut(world: FleetWorld) -> bool:
    """Whether the replica of the first image goes or is gone."""
    first = [each for each in await world.objects(RAY_CLUSTERS) if FIRST_IMAGE in str(each["spec"]["headGroupSpec"])]
    return all(map(is_terminating, first))


async def test_a_replica_is_cut_when_its_node_is_warm_and_the_pod_goes(world: FleetWorld) -> None:
    await serving(world)
    await apply_image(world, "2.60.1")
    pod = await until_warming(world)
    fleet = await world.client.get(FLEETS, "model", world.namespace)
    assert is_controlled_by(pod, uid_of(fleet))
    warming = await world.until_condition("Progressing", "True", "WarmingUp")
    assert "n1" in warming.message
    assert not await is_cut(world)
    await stand_pod(world.client, pod, "succeeded")
    await until(lambda: is_cut(world), "the old replica is cut", LIMIT_SECONDS)

    async def is_gone() -> bool:
        return await warm_up_pods_of(world) == []

    await until(is_gone, "the pod is gone", LIMIT_SECONDS)


async def test_an_image_that_cannot_be_had_cuts_nothing_and_another_one_goes_on(
    world: FleetWorld, clock: Clock
) -> None:
    await serving(world, warmUp={"timeoutSeconds": 120})
    await apply_image(world, "no-such")
    bad = await until_warming(world)
    await stand_pod(world.client, bad, "image-refused")
    blocked = await world.until_condition("Progressing", "True", "WarmUpBlocked")
    assert name_of(bad) in blocked.message
    clock.ahead = timedelta(seconds=240)
    await world.patch({"spec": {"revisionHistoryLimit": 5}})
    await until(world.status, "a pass after the timeout", LIMIT_SECONDS)
    assert not await is_cut(world)
    clock.ahead = timedelta()  # else the next pod is late as soon as it is there
    await apply_image(world, "2.60.1")

    async def other() -> Json | None:
        return next((pod for pod in await warm_up_pods_of(world) if name_of(pod) != name_of(bad)), None)

    good = await until(other, "a pod for the other image", LIMIT_SECONDS)
    assert good is not None
    await stand_pod(world.client, good, "succeeded")
    await until(lambda: is_cut(world), "the old replica is cut", LIMIT_SECONDS)


async def test_controllers_started_anew_meet_their_own_pods(client: KubeClient, namespace: str) -> None:
    world = FleetWorld(client, namespace)
    async with running_stand_ins(client):
        async with world.controlled():
            await serving(world)
            await apply_image(world, "2.60.1")
            pod = await until_warming(world)
        async with world.controlled():
            await stand_pod(client, pod, "succeeded")
            await until(lambda: is_cut(world), "the old replica is cut", LIMIT_SECONDS)
    fleet = await client.get(FLEETS, "model", namespace)
    assert is_controlled_by(pod, uid_of(fleet))


class NoPodsClient(KubeClient):
    """May make no pods."""

    async def send(self, request: Request) -> bytes:
        """Send a request, unless it makes a pod."""
        if request.method == "POST" and request.path.endswith("/pods"):
            raise Forbidden("pods is forbidden: cannot create", code=403)
        return await super().send(request)


async def test_without_the_right_to_make_pods_a_rollout_goes_on_and_says_so(client: KubeClient, namespace: str) -> None:
    """The Role of an older version allows no pods."""
    async with NoPodsClient(client.address) as bound:
        world = FleetWorld(client, namespace, controller_client=bound)
        async with running_stand_ins(client), world.controlled():
            await serving(world)
            await apply_image(world, "2.60.1")
            await until(lambda: is_cut(world), "the old replica is cut", LIMIT_SECONDS)


async def warmed_up(client: KubeClient, namespace: str, node: NodeProcess, image: str, bring: str) -> WatchedPod:
    """Run the pod that would bring an image to a node."""
    containers = [{"name": "ray", "image": image, "env": [{"name": "MARK", "value": "here"}]}]
    template = RayClusterTemplate(spec={"headGroupSpec": {"template": {"spec": {"containers": containers}}}})
    stored = await client.create(FLEETS, fleet_manifest(namespace, replicas=0))
    meta = ObjectMeta(name="model", namespace=namespace, uid=uid_of(stored))
    (pod,) = warm_up_pods(meta, template, bring, node.name)
    return await run_pod(client, pod.manifest)


async def test_a_node_runs_it_with_the_variables_of_the_replica_and_it_ends(
    client: KubeClient, namespace: str, own_node: NodeProcess, tmp_path: Path
) -> None:
    script = f"sh -c 'echo $MARK > {tmp_path}/brought'"
    watched = await warmed_up(client, namespace, own_node, IMAGE, script)
    await watched.until(lambda pod: phase_of(pod) == "Succeeded")
    assert (tmp_path / "brought").read_text() == "here\n"
    await client.delete(PODS, watched.key)
    await watched.gone()


async def test_a_node_without_the_image_says_so(client: KubeClient, namespace: str, own_node: NodeProcess) -> None:
    watched = await warmed_up(client, namespace, own_node, "no/such:1", "")
    found = await watched.until(lambda pod: image_refusal(pod) is not None)
    refusal = image_refusal(found)
    assert refusal is not None
    assert "no/such:1" in refusal.message
    await client.delete(PODS, key_of(found))
    await WatchedPod(client, ObjectKey(namespace=namespace, name=name_of(found))).gone()
