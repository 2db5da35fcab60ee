"""The replica set controller towards both API servers; KubeRay's status is simulated."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from aiohttp import web

from rayfleet.controllers.replica_set import replica_set_part
from rayfleet.controllers.run import controller_reflectors
from rayfleet.kube.client import KubeClient
from rayfleet.kube.events import EventRecorder
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import EVENTS, FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS
from rayfleet.objects.labels import DRAINING_ANNOTATION, FLEET_LABEL, INDEX_LABEL
from rayfleet.objects.meta import annotation, is_terminating, key_of, label, name_of, uid_of, version_of
from rayfleet.objects.owners import controller_reference, controller_uid
from rayfleet.reconciling.assembly import Shared, assembled
from rayfleet.testing.fleet_world import fleet_manifest
from rayfleet.testing.ray_clusters import RayClusterSimulator, is_always
from rayfleet.testing.ray_pods import head_pod
from rayfleet.testing.stand_ins import put_pod_status, stand_pod
from rayfleet.testing.waiting import LIMIT_SECONDS, until


def template(accelerators: int = 0) -> Json:
    resources = {"limits": {"nvidia.com/gpu": str(accelerators)}} if accelerators else {}
    pod = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.60.0", "resources": resources}]}}
    worker = {"groupName": "workers", "replicas": 1, "rayStartParams": {}, "template": pod}
    return {
        "metadata": {"labels": {"app": "model"}},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": pod},
            "workerGroupSpecs": [{**worker, "minReplicas": 1, "maxReplicas": 1}],
        },
    }


def replica_set(namespace: str, replicas: int, accelerators: int = 0, **spec: object) -> Json:
    return {
        "apiVersion": REPLICA_SETS.api_version,
        "kind": REPLICA_SETS.kind,
        "metadata": {"name": "model-abc", "namespace": namespace, "labels": {"app": "model"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "model"}},
            "template": template(accelerators),
            **spec,
        },
    }


class World:
    """The controller and the simulator, both running; and what a test asks of the server."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.key = ObjectKey(namespace=namespace, name="model-abc")
        self.simulator = RayClusterSimulator(client, namespace)
        reflectors = controller_reflectors(client, namespace)
        shared = Shared(client=client, reflectors=reflectors, recorder=EventRecorder(client, "tester"))
        part = replica_set_part(reflectors, client)
        [self.controller] = assembled([part], shared)
        self.beside = part.beside
        self.work = (reflectors.run, shared.recorder.run, self.controller.run, self.simulator.run, self._ask_sidecars)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        tasks = [asyncio.ensure_future(work()) for work in self.work]
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_sidecars(self) -> None:
        assert self.beside is not None
        await self.beside(self.controller.queue.add)

    async def ray_clusters(self) -> list[Json]:
        return list((await self.client.list(RAY_CLUSTERS, self.namespace)).items)

    async def reasons(self) -> set[str]:
        return {each["reason"] for each in (await self.client.list(EVENTS, self.namespace)).items}

    async def status(self) -> Json:
        found = await self.client.get(REPLICA_SETS, self.key.name, self.namespace)
        status: Json = found.get("status") or {}
        is_new = status.get("observedGeneration") == found["metadata"]["generation"]
        return status if is_new else {}

    async def until_counts(self, **expected: int) -> None:
        def holds(status: ReadOnlyJson) -> bool:
            return bool(status) and all(status.get(name) == count for name, count in expected.items())

        await until(self.status, f"a status with {expected}", LIMIT_SECONDS, holds=holds)


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[World]:
    async with World(client, namespace).running() as running:
        yield running


async def test_it_grows_and_shrinks_and_says_so(world: World) -> None:
    made = await world.client.create(REPLICA_SETS, replica_set(world.namespace, 3))
    await world.until_counts(replicas=3, readyReplicas=3, availableReplicas=3, fullyLabeledReplicas=3)
    clusters = await world.ray_clusters()
    assert {controller_uid(each) for each in clusters} == {made["metadata"]["uid"]}
    assert len(clusters) == 3
    await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 1}}, subresource="")
    await world.until_counts(replicas=1, readyReplicas=1, terminatingReplicas=0)
    assert len(await world.ray_clusters()) == 1

    async def reasons() -> set[str]:
        return {each["reason"] for each in (await world.client.list(EVENTS, world.namespace)).items}

    both = {"SuccessfulCreate", "SuccessfulDelete"}
    await until(reasons, "both are told", LIMIT_SECONDS, holds=both.issubset)


async def test_a_satisfied_replica_set_is_not_written_again(world: World) -> None:
    await world.client.create(REPLICA_SETS, replica_set(world.namespace, 2))
    await world.until_counts(readyReplicas=2)

    async def version() -> str:
        return version_of(await world.client.get(REPLICA_SETS, world.key.name, world.namespace))

    async def is_left_alone() -> bool:
        """Have one more pass; whether it wrote nothing."""
        before, passes = await version(), world.controller.passes
        world.controller.queue.add(world.key)
        await until(lambda: world.controller.passes > passes and world.controller.queue.is_idle, "one more pass")
        return await version() == before

    # What the Ray clusters' own status still brings is written first.
    await until(is_left_alone, "a pass that writes nothing")


async def test_a_broken_cluster_stays_in_the_books(world: World) -> None:
    await world.client.create(REPLICA_SETS, replica_set(world.namespace, 2))
    await world.until_counts(readyReplicas=2)
    before = {each["metadata"]["uid"] for each in await world.ray_clusters()}
    broken = (await world.ray_clusters())[0]["metadata"]["name"]
    world.simulator.is_ready = lambda name: name != broken
    world.simulator.poke()
    await world.until_counts(replicas=2, readyReplicas=1, availableReplicas=1)
    assert {each["metadata"]["uid"] for each in await world.ray_clusters()} == before


async def test_a_terminating_cluster_with_accelerators_keeps_its_place(world: World) -> None:
    await world.client.create(REPLICA_SETS, replica_set(world.namespace, 1, accelerators=1))
    await world.until_counts(readyReplicas=1)
    world.simulator.may_finish = lambda _name: False
    old = (await world.ray_clusters())[0]["metadata"]
    await world.client.delete(RAY_CLUSTERS, ObjectKey(namespace=world.namespace, name=old["name"]), uid=old["uid"])
    # KubeRay has a finalizer of its own only with GCS fault tolerance: here the object is gone at once, as its pods
    # are.
    clusters = await until(
        world.ray_clusters,
        "a successor",
        LIMIT_SECONDS,
        holds=lambda clusters: [each["metadata"]["uid"] for each in clusters] not in ([], [old["uid"]]),
    )
    current = clusters[0]["metadata"]
    await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 0}})
    await world.until_counts(replicas=0, terminatingReplicas=1)
    await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 1}})
    await world.until_counts(replicas=0, terminatingReplicas=1)
    assert [each["metadata"]["uid"] for each in await world.ray_clusters()] == [current["uid"]]
    world.simulator.may_finish = is_always
    world.simulator.poke()
    await world.until_counts(replicas=1, readyReplicas=1, terminatingReplicas=0)


async def test_a_broken_one_is_rebuilt_under_another_name_in_its_place(world: World) -> None:
    recovery = {"graceSeconds": 1}
    await world.client.create(REPLICA_SETS, replica_set(world.namespace, 1, accelerators=1, recovery=recovery))
    await world.until_counts(readyReplicas=1)
    [first] = await world.ray_clusters()
    world.simulator.may_finish = lambda _name: False
    world.simulator.is_ready = lambda name: name != name_of(first)
    world.simulator.poke()
    await world.until_counts(replicas=0, terminatingReplicas=1)
    assert [name_of(each) for each in await world.ray_clusters()] == [name_of(first)]  # never two sets
    world.simulator.may_finish = is_always
    world.simulator.poke()
    await world.until_counts(replicas=1, readyReplicas=1, terminatingReplicas=0)
    [second] = await world.ray_clusters()
    assert name_of(second) != name_of(first)
    assert [label(each, INDEX_LABEL) for each in (first, second)] == ["0", "0"]
    assert [each["name"] for each in (await world.status())["rebuilds"]] == [name_of(first)]
    await until(world.reasons, "the event of a rebuild", LIMIT_SECONDS, holds=lambda reasons: "Rebuilding" in reasons)


async def test_one_deleted_by_hand_in_the_background_gets_a_successor_of_another_name(world: World) -> None:
    await world.client.create(REPLICA_SETS, replica_set(world.namespace, 2))
    await world.until_counts(readyReplicas=2)
    names = set(map(name_of, await world.ray_clusters()))
    victim = (await world.ray_clusters())[0]
    await world.client.delete(RAY_CLUSTERS, key_of(victim), uid=uid_of(victim), propagation=Propagation.BACKGROUND)

    def is_replaced(clusters: list[Json]) -> bool:
        return len(clusters) == 2 and name_of(victim) not in map(name_of, clusters)

    clusters = await until(world.ray_clusters, "a successor", LIMIT_SECONDS, holds=is_replaced)
    assert len(names | set(map(name_of, clusters))) == 3


class Head:
    """The head pod of the one Ray cluster, and its sidecar."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.requests = 2
        third, fourth = uuid4().bytes[:2]
        self.address = f"127.83.{third}.{fourth}"  # a node's pods and other runs of this test have others
        self.seconds = 120  # since its engine stalled
        self.looks = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Head"]:
        app = web.Application()
        app.router.add_get("/inflight", self._answer)
        app.router.add_get("/ready", self._refuse)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, self.address, SIDECAR_PORT).start()
        try:
            await self._make()
            yield self
        finally:
            await runner.cleanup()

    async def pod(self) -> Json:
        [pod] = (await self.world.client.list(PODS, self.world.namespace)).items
        return pod

    async def is_out(self) -> bool:
        pod = await self.pod()
        assert bool(annotation(pod, DRAINING_ANNOTATION)) is not bool(label(pod, FLEET_LABEL))
        return not label(pod, FLEET_LABEL)

    async def _answer(self, _request: web.Request) -> web.Response:
        return web.json_response({"in_flight": self.requests})

    async def _refuse(self, _request: web.Request) -> web.Response:
        self.looks += 1
        self.seconds += 3
        words = f"requests are running, and the engine has taken no step for {self.seconds} s"
        return web.json_response({"ready": False, "reason": "EngineStalled", "message": words}, status=503)

    async def _make(self) -> None:
        [cluster] = await self.world.ray_clusters()
        made = head_pod(name_of(cluster), since=datetime.now(UTC))
        owner = controller_reference(RAY_CLUSTERS, name_of(cluster), uid_of(cluster))
        meta = {"namespace": self.world.namespace, "ownerReferences": [owner], "uid": None}
        meta = {name: value for name, value in {**made["metadata"], **meta}.items() if value is not None}
        spec = {**made["spec"], "nodeName": "", "automountServiceAccountToken": False}
        pod = await self.world.client.create(PODS, {**made, "metadata": meta, "spec": spec})
        await put_pod_status(self.world.client, pod, address=self.address)


def drained(namespace: str) -> Json:
    """Return a replica set of one whose head pods are in a fleet's Service."""
    manifest = replica_set(namespace, 1)
    manifest["spec"]["template"]["spec"]["headGroupSpec"]["template"] |= {
        "metadata": {"labels": {FLEET_LABEL: "fleet"}}
    }
    return manifest


async def test_one_to_go_leaves_its_service_and_waits_for_its_requests(world: World) -> None:
    await world.client.create(REPLICA_SETS, drained(world.namespace))
    await world.until_counts(readyReplicas=1)
    async with Head(world).running() as head:
        await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 0}})
        await until(head.is_out, "the head out of its Service", LIMIT_SECONDS)
        await world.until_counts(replicas=1, readyReplicas=1, availableReplicas=0)
        assert [is_terminating(each) for each in await world.ray_clusters()] == [False]
        head.requests = 0
        await until(world.ray_clusters, "no Ray cluster", LIMIT_SECONDS, holds=lambda clusters: clusters == [])


async def test_one_to_go_that_may_stay_after_all_comes_back(world: World) -> None:
    await world.client.create(REPLICA_SETS, drained(world.namespace))
    await world.until_counts(readyReplicas=1)
    async with Head(world).running() as head:
        await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 0}})
        await until(head.is_out, "the head out of its Service", LIMIT_SECONDS)
        await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 1}})
        await world.until_counts(replicas=1, readyReplicas=1, availableReplicas=1)
        await until(head.is_out, "the head in its Service again", holds=lambda is_out: not is_out)
        assert label(await head.pod(), FLEET_LABEL) == "fleet"


async def test_a_broken_one_tells_its_sidecars_own_reason_and_goes_on_telling_the_same(world: World) -> None:
    manifest = replica_set(world.namespace, 1)
    manifest["spec"]["template"]["spec"]["workerGroupSpecs"] = []
    world.simulator.is_ready = lambda _name: False
    await world.client.create(REPLICA_SETS, manifest)
    await world.until_counts(replicas=1)

    def is_explained(status: ReadOnlyJson) -> bool:
        is_unready = not status.get("readyReplicas")
        return is_unready and [each.get("reason") for each in status.get("replicaStates", ())] == ["EngineStalled"]

    async with Head(world).running() as head:
        pod = await stand_pod(world.client, await head.pod(), "ready")
        world.simulator.is_ready = lambda _name: True
        world.simulator.poke()
        await world.until_counts(readyReplicas=1)
        pod = await stand_pod(world.client, pod, "loading")  # in the life that was ready
        await world.client.patch(PODS, key_of(pod), {"status": {"podIP": head.address}}, subresource="status")
        world.simulator.is_ready = lambda _name: False
        world.simulator.poke()
        status = await until(world.status, "the sidecar's reason", LIMIT_SECONDS, holds=is_explained)
        [state] = status["replicaStates"]
        assert (state["phase"], state["pod"], state["container"]) == ("Broken", name_of(pod), "rayfleet-sidecar")
        assert state["message"] == "requests are running, and the engine has taken no step"
        looks = head.looks
        await until(lambda: head.looks >= looks + 2, "two more looks", LIMIT_SECONDS)
        assert await world.status() == status


async def test_another_ones_object_is_never_counted_nor_deleted(world: World) -> None:
    fleet = await world.client.create(FLEETS, fleet_manifest(world.namespace, "other"))
    owner = controller_reference(FLEETS, "other", uid_of(fleet))
    labels = {"app": "model"}
    meta = {"name": "stranger", "namespace": world.namespace, "labels": labels, "ownerReferences": [owner]}
    stranger = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": meta, "spec": template()["spec"]}
    await world.client.create(RAY_CLUSTERS, stranger)
    await world.client.create(REPLICA_SETS, replica_set(world.namespace, 1))
    await world.until_counts(replicas=1, readyReplicas=1)
    await world.client.patch(REPLICA_SETS, world.key, {"spec": {"replicas": 0}})
    await world.until_counts(replicas=0, terminatingReplicas=0)
    assert [each["metadata"]["name"] for each in await world.ray_clusters()] == ["stranger"]
