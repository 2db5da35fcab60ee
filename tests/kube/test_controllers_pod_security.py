"""Namespaces that enforce the pod security standard ``restricted``, on the real API server with the real KubeRay."""

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, NAMESPACES, PODS, RAY_CLUSTERS
from rayfleet.objects.meta import name_of
from rayfleet.objects.parts import part
from rayfleet.planning.sidecar import SIDECAR_NAME
from rayfleet.plugin import registry
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.real_kuberay import SharedKubeRay
from rayfleet.testing.stand_ins import stand_pod, until_pods
from rayfleet.testing.waiting import LIMIT_SECONDS, until

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]

ENFORCE = "pod-security.kubernetes.io/enforce"
OF_POD = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
OF_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture
async def world(shared_kuberay: SharedKubeRay, tmp_path: Path) -> AsyncIterator[FleetWorld]:
    async with shared_kuberay.lent(tmp_path) as server:
        namespace = await server.namespace("guarded", {ENFORCE: "restricted"})
        world = FleetWorld(server.client, namespace, readers=tuple(registry.load().command_readers.values()))
        async with server.operator(), world.controlled():
            yield world


def fleet(namespace: str, name: str, security: tuple[Any, Any] | None = None) -> Json:
    """Return a fleet of one replica that serves by vLLM; ``security`` are contexts of its pods and containers."""
    manifest = fleet_manifest(namespace, name, replicas=1)
    spec = manifest["spec"]["template"]["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        group["template"] = copy.deepcopy(group["template"])
        pod = group["template"]["spec"]
        # No plugin of the real server's admission may wait for an account.
        pod["automountServiceAccountToken"] = False
        if security is not None:
            pod["securityContext"], pod["containers"][0]["securityContext"] = security
    head = part(spec, "headGroupSpec", "template", "spec")
    head["containers"][0] |= {"command": ["vllm", "serve", "org/model"]}
    return manifest


async def test_a_fleet_that_pod_security_refuses_says_which_fields_and_comes_once_it_is_let_in(
    world: FleetWorld,
) -> None:
    client = world.client
    await client.create(FLEETS, fleet(world.namespace, "refused"))
    ready = await world.until_condition("Ready", "False", "FailedCreateHeadPod", "refused")
    assert 'violates PodSecurity "restricted:latest"' in ready.message
    assert 'container "ray" must set securityContext.allowPrivilegeEscalation=false' in ready.message
    assert "must set securityContext.runAsNonRoot=true" in ready.message
    assert (await world.condition("Stalled", "refused")) == {}
    namespace = ObjectKey(namespace="", name=world.namespace)
    await client.patch(NAMESPACES, namespace, {"metadata": {"labels": {ENFORCE: None}}})
    [ray_cluster] = await world.objects(RAY_CLUSTERS)
    pods = await until_pods(client, ray_cluster, 1, 1, limit=2 * LIMIT_SECONDS)
    for pod in (*pods["head"], *pods["worker"]):
        await stand_pod(client, await client.get(PODS, name_of(pod), world.namespace), "ready")
    await world.until_condition("Ready", "True", "AllReplicasAvailable", "refused")
    assert (await world.condition("ReplicaFailure", "refused")) == {}


async def test_a_fleet_that_keeps_to_the_standard_is_let_in_with_our_sidecar(world: FleetWorld) -> None:
    await world.client.create(FLEETS, fleet(world.namespace, "model", (OF_POD, OF_CONTAINER)))
    [ray_cluster] = await until(
        lambda: world.objects(RAY_CLUSTERS), "a RayCluster", LIMIT_SECONDS, holds=lambda made: len(made) == 1
    )
    pods = await until_pods(world.client, ray_cluster, 1, 1, limit=LIMIT_SECONDS)
    [head] = pods["head"]
    assert [each["name"] for each in part(head, "spec")["containers"]] == ["ray", SIDECAR_NAME]
