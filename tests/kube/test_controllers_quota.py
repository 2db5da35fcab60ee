"""A namespace whose quota is full, on the real API server: nobody counts there, so the test says what it allows."""

import orjson
import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, RAY_CLUSTERS
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until

pytestmark = [pytest.mark.realkube, pytest.mark.parametrize("api_server", ["real"], indirect=True)]

RAY_CLUSTER_COUNT = "count/rayclusters.ray.io"


async def allow(client: KubeClient, namespace: str, count: int) -> None:
    """Let a namespace have so many RayClusters, as the quota controller would write it."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    hard = {RAY_CLUSTER_COUNT: str(count)}
    quota: Json = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    known = orjson.loads(await client.raw("GET", path))["items"]
    if known:
        changed = {**known[0], "spec": {"hard": hard}}
        stored = await client.raw("PUT", f"{path}/small", body=orjson.dumps(changed))
    else:
        stored = await client.raw("POST", path, body=orjson.dumps(quota))
    seen: Json = orjson.loads(stored)
    used = {RAY_CLUSTER_COUNT: seen.get("status", {}).get("used", {}).get(RAY_CLUSTER_COUNT, "0")}
    counted = {**seen, "status": {"hard": hard, "used": used}}
    await client.raw("PUT", f"{path}/small/status", body=orjson.dumps(counted))


async def test_a_full_quota_is_named_and_what_it_held_back_comes_once_it_is_raised(
    client: KubeClient, namespace: str
) -> None:
    await allow(client, namespace, 1)
    world = FleetWorld(client, namespace)
    async with world.running():
        await client.create(FLEETS, fleet_manifest(namespace, replicas=2))
        failure = await world.until_condition("ReplicaFailure", "True", "FailedCreate")
        assert "exceeded quota: small" in failure.message
        assert f"limited: {RAY_CLUSTER_COUNT}=1" in failure.message
        assert await world.condition("Stalled") == {}
        await until(lambda: world.names(RAY_CLUSTERS), "one is let in", LIMIT_SECONDS, holds=lambda it: len(it) == 1)
        await allow(client, namespace, 2)
        await world.until_complete(2)
        await until(
            lambda: world.condition("ReplicaFailure"), "nothing more is said", LIMIT_SECONDS, holds=lambda it: it == {}
        )
