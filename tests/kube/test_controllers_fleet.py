"""Both controllers towards both API servers: create, scale, roll, delete, refuse. KubeRay's status is simulated."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.propagation import Propagation
from rayfleet.model.resources import (
    DISRUPTION_BUDGETS,
    EVENTS,
    FLEETS,
    HTTP_ROUTES,
    RAY_CLUSTERS,
    REPLICA_SETS,
    SERVICES,
)
from rayfleet.objects.meta import decode_meta, key_of, name_of
from rayfleet.objects.parts import part
from rayfleet.planning.names import route_name, service_name
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.refused_templates import REFUSED_TEMPLATES, ray_cluster_spec
from rayfleet.testing.waiting import LIMIT_SECONDS, until


@pytest.fixture
async def world(client: KubeClient, namespace: str) -> AsyncIterator[FleetWorld]:
    async with FleetWorld(client, namespace).running() as running:
        yield running


def new_image(image: str) -> Json:
    """Return a patch that gives the head another image: a new template."""
    pod = {"spec": {"containers": [{"name": "ray", "image": image}]}}
    return {"spec": {"template": {"spec": {"headGroupSpec": {"template": pod}}}}}


def new_pod(limits: Json, **fields: object) -> Json:
    """Return a patch that gives the head's pod limits and other fields."""
    container = {"name": "ray", "image": "rayproject/ray:2.60.0", "resources": {"limits": limits}}
    pod = {"spec": {"containers": [container], **fields}}
    return {"spec": {"template": {"spec": {"headGroupSpec": {"template": pod}}}}}


async def test_a_fleet_gets_its_clusters_its_service_and_its_route(world: FleetWorld) -> None:
    made = await world.client.create(FLEETS, fleet_manifest(world.namespace))
    await world.until_complete(2)
    await world.until_condition("Available", "True", "MinimumReplicasAvailable")
    await world.until_condition("Progressing", "True", "NewReplicaSetAvailable")
    own = [service_name(decode_meta(made))]
    for kind in (SERVICES, DISRUPTION_BUDGETS):
        await until(partial(world.names, kind), f"{own} of {kind.plural}", holds=lambda names: names == own)
    route = await world.until_route()
    assert [name_of(route)] == [route_name("model")]
    (replica_set,) = await world.objects(REPLICA_SETS)
    for child in (replica_set, *await world.objects(SERVICES), *await world.objects(HTTP_ROUTES)):
        assert [each["uid"] for each in child["metadata"]["ownerReferences"]] == [made["metadata"]["uid"]]
    await until(lambda: _reasons(world), "an Event", holds=lambda reasons: "ScalingReplicaSet" in reasons)


async def test_a_finished_fleet_is_not_written_again(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace))
    await world.until_complete(2)
    await world.until_condition("Progressing", "True", "NewReplicaSetAvailable")
    await world.until_route()
    await until(lambda: _rests(world), "all is written", LIMIT_SECONDS)
    before = await _versions(world)
    key = ObjectKey(namespace=world.namespace, name="model")
    await world.client.patch(FLEETS, key, {"metadata": {"annotations": {"look": "again"}}})
    # The pass that the annotation causes copies it to the replica set, as a Deployment does; then there is rest.
    await until(lambda: _rests(world), "nothing is written for a while", LIMIT_SECONDS)
    after = await _versions(world)
    assert {name for name in before if before[name] != after[name]} <= {"model", *await world.names(REPLICA_SETS)}


async def test_it_scales_up_and_down(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    await world.until_complete(1)
    await world.client.patch(
        FLEETS, ObjectKey(namespace=world.namespace, name="model"), {"spec": {"replicas": 4}}, subresource="scale"
    )
    await world.until_complete(4)
    await world.patch({"spec": {"replicas": 2}})
    await world.until_complete(2)
    assert len(await world.objects(REPLICA_SETS)) == 1


async def test_a_new_template_rolls_within_its_bounds(world: FleetWorld) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=3, strategy=rolling))
    await world.until_complete(3)
    seen: list[tuple[int, int]] = []

    async def observe() -> None:
        while True:
            clusters = await world.objects(RAY_CLUSTERS)
            ready = [each for each in clusters if _is_ready(each)]
            active = [each for each in clusters if "deletionTimestamp" not in each["metadata"]]
            seen.append((len(active), len(ready)))
            await asyncio.sleep(0.01)

    observing = asyncio.ensure_future(observe())
    try:
        await world.patch(new_image("rayproject/ray:2.61.0"))
        await world.until_complete(3)
    finally:
        observing.cancel()
    assert max(active for active, _ in seen) <= 4
    assert min(ready for _, ready in seen) >= 3
    assert sorted((await world.sizes()).values()) == [0, 3]
    images = {_image(each) for each in await world.objects(RAY_CLUSTERS)}
    assert images == {"rayproject/ray:2.61.0"}
    revisions = {
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
        for each in await world.objects(REPLICA_SETS)
    }
    assert revisions == {"1", "2"}


async def test_the_same_template_in_other_words_rolls_nothing(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=1))
    await world.patch(new_pod({"cpu": 1, "memory": "1024Mi"}))
    await world.until_complete(1)
    before = await world.names(REPLICA_SETS)
    await world.patch(new_pod({"cpu": "1", "memory": "1Gi"}, tolerations=[]))
    await world.until_complete(1)
    assert await world.names(REPLICA_SETS) == before


async def test_a_rollout_that_does_not_get_ready_keeps_the_old_ones(world: FleetWorld) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await world.client.create(FLEETS, fleet_manifest(world.namespace, replicas=2, strategy=rolling))
    await world.until_complete(2)
    old = set(await world.names(RAY_CLUSTERS))
    world.simulator.is_ready = lambda name: name in old
    await world.patch({**new_image("broken")})
    await world.until_shows(replicas=3, updatedReplicas=1, readyReplicas=2, availableReplicas=2)
    assert old <= set(await world.names(RAY_CLUSTERS))
    await world.patch(new_image("rayproject/ray:2.60.0"))
    await world.until_complete(2)
    assert set(await world.names(RAY_CLUSTERS)) == old


async def test_recreate_has_never_two_generations_at_once(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, strategy={"type": "Recreate"}))
    await world.until_complete(2)
    old = set(await world.names(RAY_CLUSTERS))
    world.simulator.may_finish = lambda name: name not in old
    await world.patch(new_image("rayproject/ray:2.61.0"))
    await world.until_shows(replicas=0, terminatingReplicas=2)
    assert set(await world.names(RAY_CLUSTERS)) == old
    world.simulator.may_finish = lambda _name: True
    world.simulator.poke()
    await world.until_complete(2)
    assert not old & set(await world.names(RAY_CLUSTERS))


@pytest.mark.parametrize("propagation", [Propagation.BACKGROUND, Propagation.FOREGROUND])
async def test_a_deleted_fleet_leaves_nothing(world: FleetWorld, propagation: Propagation) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace))
    await world.until_complete(2)
    key = ObjectKey(namespace=world.namespace, name="model")
    await world.client.delete(FLEETS, key, propagation=propagation)
    await until(lambda: _children(world), "nothing is left", LIMIT_SECONDS, holds=lambda names: not names)


async def test_a_service_that_somebody_deletes_or_changes_comes_back(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace))
    await world.until_complete(2)
    (service,) = await world.objects(SERVICES)
    key = key_of(service)
    await world.client.delete(SERVICES, key)
    await until(lambda: _has_other_uid(world, service["metadata"]["uid"]), "a new Service", LIMIT_SECONDS)
    await world.client.patch(SERVICES, key, {"spec": {"selector": {"stolen": "yes", "ray.io/node-type": "worker"}}})
    await until(lambda: _selects_heads(world), "the Service selects heads again", LIMIT_SECONDS)


async def test_an_invalid_fleet_makes_nothing_and_says_where(world: FleetWorld) -> None:
    serving = {"engine": "nonesuch", "model": "m"}
    manifest = fleet_manifest(world.namespace)
    manifest["spec"] = {"replicas": 2, "serving": serving}
    await world.client.create(FLEETS, manifest)
    invalid = await until(lambda: world.condition("Invalid"), "condition Invalid", LIMIT_SECONDS)
    assert invalid["status"] == "True"
    assert "spec.serving.engine" in invalid["message"]
    await until(
        lambda: _reasons(world), "an Event InvalidSpec", LIMIT_SECONDS, holds=lambda reasons: "InvalidSpec" in reasons
    )
    for kind in (REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES):
        assert await world.names(kind) == []
    (event,) = [each for each in await world.objects(EVENTS) if each["reason"] == "InvalidSpec"]
    assert event["count"] == 1


async def test_what_kuberay_would_refuse_is_invalid_and_makes_nothing(world: FleetWorld) -> None:
    """A manifest that the definition takes and KubeRay does not: one fleet for each of its reasons."""
    for case in REFUSED_TEMPLATES:
        manifest = fleet_manifest(world.namespace, case.name)
        template = manifest["spec"]["template"]
        template["spec"] = ray_cluster_spec(case.fields)
        template["metadata"]["annotations"] = dict(case.annotations)
        await world.client.create(FLEETS, manifest)

    async def phases() -> dict[str, str]:
        return {name_of(each): part(each, "status").get("phase", "") for each in await world.objects(FLEETS)}

    expected = {case.name: "Invalid" for case in REFUSED_TEMPLATES}
    await until(phases, "every fleet says Invalid", LIMIT_SECONDS, holds=lambda phases: phases == expected)
    for kind in (REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES):
        assert await world.names(kind) == []


async def test_a_misspelt_field_is_told_of_whoever_sent_it(world: FleetWorld) -> None:
    """The definition keeps the RayCluster spec open, so no API server refuses one."""
    manifest = fleet_manifest(world.namespace)
    manifest["spec"]["template"]["spec"]["workerGroupSpec"] = []
    await world.client.create(FLEETS, manifest)
    await world.until_complete(2)
    await world.patch({"spec": {"minReadySeconds": 1}})

    async def messages() -> list[str]:
        return [each["message"] for each in await world.objects(EVENTS) if each["reason"] == "UnknownField"]

    (message,) = await until(messages, "an Event UnknownField", LIMIT_SECONDS)
    assert message.startswith("spec.template.spec.workerGroupSpec: unknown field")
    assert 'did you mean "workerGroupSpecs"?' in message


async def test_two_fleets_of_one_namespace_do_not_meddle(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet_manifest(world.namespace, "one", replicas=1))
    await world.client.create(FLEETS, fleet_manifest(world.namespace, "two", replicas=2))
    await world.until_shows("one", readyReplicas=1, replicas=1)
    await world.until_shows("two", readyReplicas=2, replicas=2)
    await world.patch({"spec": {"replicas": 0}}, "one")
    await world.until_shows("one", readyReplicas=0, replicas=0, terminatingReplicas=0)
    assert await world.shows("two", readyReplicas=2, replicas=2)
    assert len(await world.names(RAY_CLUSTERS)) == 2


def _is_ready(cluster: ReadOnlyJson) -> bool:
    conditions = (cluster.get("status") or {}).get("conditions") or ()
    is_active = "deletionTimestamp" not in cluster["metadata"]
    return is_active and any(each["type"] == "HeadPodReady" and each["status"] == "True" for each in conditions)


def _image(cluster: ReadOnlyJson) -> str:
    return str(cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["image"])


async def _reasons(world: FleetWorld) -> set[str]:
    return {each["reason"] for each in await world.objects(EVENTS) if each["involvedObject"]["kind"] == FLEETS.kind}


async def _versions(world: FleetWorld) -> dict[str, str]:
    kinds = (FLEETS, REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES)
    found = [each["metadata"] for kind in kinds for each in await world.objects(kind)]
    return {meta["name"]: meta["resourceVersion"] for meta in found}


async def _rests(world: FleetWorld) -> bool:
    """Whether nothing was written for a while; there is no other sign of rest."""
    before = await _versions(world)
    await asyncio.sleep(0.5)
    return before == await _versions(world)


async def _children(world: FleetWorld) -> list[str]:
    kinds = (FLEETS, REPLICA_SETS, RAY_CLUSTERS, SERVICES, HTTP_ROUTES)
    return [f"{kind.kind} {name}" for kind in kinds for name in await world.names(kind)]


async def _has_other_uid(world: FleetWorld, uid: str) -> bool:
    services = await world.objects(SERVICES)
    return bool(services) and services[0]["metadata"]["uid"] != uid


async def _selects_heads(world: FleetWorld) -> bool:
    (service,) = await world.objects(SERVICES)
    return bool(
        service["spec"]["selector"]["ray.io/node-type"] == "head" and "stolen" not in service["spec"]["selector"]
    )
