"""Controllers whose machine's clock is minutes off, on both API servers: they go by the server's."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rayfleet.kube.client import ClientSettings, KubeClient
from rayfleet.kube.config import connect
from rayfleet.kube.lease import LeaderElector, LeaseSettings
from rayfleet.kube.server_clock import ServerClock
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, LEASES, REPLICA_SETS
from rayfleet.objects.times import decode_time, encode_micro_time
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import LIMIT_SECONDS, until

MINUTES_OFF = pytest.mark.parametrize("minutes", [-10, 10])
NEAR = timedelta(minutes=2)


@asynccontextmanager
async def client_off_by(minutes: float, kubeconfig: Path) -> AsyncIterator[KubeClient]:
    settings = ClientSettings(queries_per_second=1000, burst=2000)
    async with await connect(kubeconfig, settings=settings) as client:
        client.clock = ServerClock(lambda: datetime.now(UTC) + timedelta(minutes=minutes))
        yield client


def new_image(image: str) -> Json:
    pod = {"spec": {"containers": [{"name": "ray", "image": image}]}}
    return {"spec": {"template": {"spec": {"headGroupSpec": {"template": pod}}}}}


async def until_cancelled() -> None:
    await asyncio.Event().wait()


@MINUTES_OFF
async def test_a_rollout_takes_its_time_and_no_more(
    client: KubeClient, namespace: str, kubeconfig: Path, minutes: int
) -> None:
    async with client_off_by(minutes, kubeconfig) as wrong:
        world = FleetWorld(client, namespace, wrong)
        async with world.running():
            manifest = fleet_manifest(namespace, replicas=2, minReadySeconds=1, progressDeadlineSeconds=60)
            await client.create(FLEETS, manifest)
            await world.until_complete(2)
            await world.patch(new_image("rayproject/ray:2.61.0"))
            await world.until_complete(2)
            progressing = await world.until_condition("Progressing", "True", "NewReplicaSetAvailable")
            assert await world.condition("Stalled") == {}
        assert abs(progressing.last_transition_time - datetime.now(UTC)) < NEAR
        for replica_set in await world.objects(REPLICA_SETS):
            noted = [decode_time(each) for each in replica_set["status"].get("readySince", {}).values()]
            assert all(time is not None and abs(time - datetime.now(UTC)) < NEAR for time in noted)


async def test_a_deadline_outlasts_its_controller_whatever_the_next_ones_clock_says(
    client: KubeClient, namespace: str, kubeconfig: Path
) -> None:
    async with client_off_by(-10, kubeconfig) as behind, client_off_by(10, kubeconfig) as ahead:
        first, second = (FleetWorld(client, namespace, each) for each in (behind, ahead))
        first.simulator.is_ready = lambda _name: False
        async with first.simulated():
            async with first.controlled():
                await client.create(FLEETS, fleet_manifest(namespace, progressDeadlineSeconds=300))
                await first.until_shows(replicas=2)
            async with second.controlled():
                await second.patch({"spec": {"minReadySeconds": 1}})
                await until(second.status, "the second one has looked", LIMIT_SECONDS)
                assert (await second.condition("Progressing"))["status"] == "True"
                assert await second.condition("Stalled") == {}


@MINUTES_OFF
async def test_a_lease_is_its_holders_whatever_time_it_is_by_whose_clock(
    client: KubeClient, namespace: str, kubeconfig: Path, minutes: int
) -> None:
    """When it was renewed last is compared with no clock: it is free when it has not changed for its duration."""
    renewed = encode_micro_time(datetime.now(UTC) - timedelta(minutes=minutes))
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 60, "renewTime": renewed, "acquireTime": renewed}
    meta = {"name": "controller", "namespace": namespace}
    lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": spec}
    made = await client.create(LEASES, lease)
    key = ObjectKey(namespace=namespace, name="controller")
    async with client_off_by(minutes, kubeconfig) as wrong:
        settings = LeaseSettings(key=key, identity="ours", retry_period=timedelta(milliseconds=100))
        leading = asyncio.create_task(LeaderElector(wrong, settings).lead(until_cancelled))
        await asyncio.wait({leading}, timeout=1)  # some tries
        assert await client.get(LEASES, "controller", namespace) == made
        leading.cancel()
        await asyncio.wait({leading})
