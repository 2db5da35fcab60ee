"""Controllers killed at every single write, again and again: nothing is doubled, nothing leaks, the goal is reached."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, SERVICES
from rayfleet.planning.names import route_name
from rayfleet.testing.faults import FlakyClient, Loss, MortalClient
from rayfleet.testing.fleet_world import FleetWorld, fleet_manifest
from rayfleet.testing.waiting import until

pytestmark = pytest.mark.timeout(900)  # some hundred starts of controllers, on a machine that does other work beside
LIVES = 200
Goal = Callable[[], Awaitable[object]]


async def live_until(world_client: KubeClient, world: FleetWorld, loss: Loss, goal: Goal) -> int:
    """Start controllers that die at their second write (or first, when its reply is lost), until the goal.

    Return the lives.
    """
    for life in range(LIVES):
        survives = 1 if loss is Loss.REQUEST else 0
        async with MortalClient(world_client.address, writes=survives, loss=loss) as mortal:
            lived = FleetWorld(world_client, world.namespace, controller_client=mortal)
            async with lived.controlled():
                if await until(partial(_ended, mortal, goal), "the goal or death") == "goal":
                    return life
    raise AssertionError(f"not reached in {LIVES} lives")


async def _ended(mortal: MortalClient, goal: Goal) -> str:
    if mortal.died.is_set():
        return "died"
    return "goal" if await goal() else ""


@pytest.mark.parametrize("loss", list(Loss))
async def test_controllers_killed_at_every_write_double_and_leak_nothing(
    client: KubeClient, namespace: str, loss: Loss
) -> None:
    world = FleetWorld(client, namespace)
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    most = 0

    async def watch_the_bounds() -> None:
        nonlocal most
        while True:
            active = [each for each in await world.objects(RAY_CLUSTERS) if "deletionTimestamp" not in each["metadata"]]
            most = max(most, len(active))
            await asyncio.sleep(0.02)

    async with world.simulated():
        watching = asyncio.ensure_future(watch_the_bounds())
        await client.create(FLEETS, fleet_manifest(namespace, replicas=2, strategy=rolling))
        lives = await live_until(client, world, loss, lambda: world.is_complete(2))
        await world.patch({"spec": {"replicas": 3}})
        lives += await live_until(client, world, loss, lambda: world.is_complete(3))
        await world.patch(_new_image())
        lives += await live_until(client, world, loss, lambda: world.is_complete(3))
        assert sorted((await world.sizes()).values()) == [0, 3]
        await world.patch({"spec": {"replicas": 0}})
        lives += await live_until(client, world, loss, lambda: world.is_complete(0))
        lives += await live_until(client, world, loss, lambda: world.names(HTTP_ROUTES))
        watching.cancel()
    assert lives >= 15  # it was truly killed at its writes
    assert most <= 4
    assert len(await world.names(SERVICES)) == 1
    assert await world.names(HTTP_ROUTES) == [route_name("model")]
    assert len(await world.names(REPLICA_SETS)) == 2
    assert await world.names(RAY_CLUSTERS) == []


@pytest.mark.parametrize("seed", [1, 2])
async def test_storms_of_every_fault_double_and_leak_nothing(client: KubeClient, namespace: str, seed: int) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    async with FlakyClient(client.address, seed=seed, share=0.3) as flaky:
        world = FleetWorld(client, namespace, controller_client=flaky)
        async with world.running():
            await client.create(FLEETS, fleet_manifest(namespace, replicas=3, strategy=rolling))
            await world.until_complete(3)
            await world.patch(_new_image())
            await world.until_complete(3)
            await world.patch({"spec": {"replicas": 1}})
            await world.until_complete(1)
            await world.until_route()
    assert flaky.faults >= 10
    assert sorted((await world.sizes()).values()) == [0, 1]
    assert len(await world.names(SERVICES)) == 1


async def test_a_world_whose_part_ends_says_so_at_once(client: KubeClient, namespace: str) -> None:
    def fails(_name: str) -> bool:
        raise ValueError("a fault in the simulator")

    async def run_it() -> None:
        async with world.running():
            await client.create(FLEETS, fleet_manifest(namespace))
            await world.until_complete(2)

    world = FleetWorld(client, namespace)
    world.simulator.is_ready = fails
    with pytest.raises(RuntimeError, match="ended on its own") as raised:
        await run_it()
    assert isinstance(raised.value.__cause__, ExceptionGroup | ValueError)


def _new_image() -> Json:
    pod = {"spec": {"containers": [{"name": "ray", "image": "rayproject/ray:2.61.0"}]}}
    return {"spec": {"template": {"spec": {"headGroupSpec": {"template": pod}}}}}
