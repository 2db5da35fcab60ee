"""Whole controllers killed before and after each of their writes, blinded, stormed: the same end as without.

Each workload is played undisturbed; its outcome is the oracle. Then once for each write, which is the controllers'
last (the request lost, or carried out and the reply lost), and once for each other trouble. Nothing may be left over,
made twice or deleted wrongly, and the bounds of the rollout hold at every instant. In memory and in virtual time, where
ten seconds of blindness cost nothing; the other files here have the real servers.
"""

import asyncio
from dataclasses import dataclass
from functools import cache, partial

import pytest

from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, PODS, RAY_CLUSTERS, REPLICA_SETS, SERVICES, ResourceType
from rayfleet.objects.meta import name_of
from rayfleet.testing.faults import Loss
from rayfleet.testing.fleet_world import fleet_manifest
from rayfleet.testing.kill_stage import (
    NAMESPACE,
    Controllers,
    FlakyMemoryClient,
    LateMemoryClient,
    MortalMemoryClient,
    Outcome,
    Stage,
    Workload,
    lived,
    played,
)
from rayfleet.testing.memory_api import MemoryAddress, MemoryClient
from rayfleet.testing.virtual_time import run_virtually
from rayfleet.testing.waiting import LIMIT_SECONDS, until

ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
IN_PLACE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


async def creates(stage: Stage) -> None:
    await stage.create(3)


async def grows(stage: Stage) -> None:
    await stage.create(1)
    await stage.change(replicas=4)
    await stage.complete(4)


async def shrinks(stage: Stage) -> None:
    await stage.create(4)
    await stage.change(replicas=1)
    await stage.complete(1)


async def rolls(stage: Stage, strategy: object = ROLLING) -> None:
    await stage.create(2, strategy=strategy)
    await stage.image("b")
    await stage.complete(2)


async def idles_and_wakes(stage: Stage) -> None:
    await stage.create(2)
    await stage.change(replicas=0)
    await stage.complete(0)
    await stage.change(replicas=2)
    await stage.complete(2)


async def is_broken_then_mended(stage: Stage) -> None:
    await stage.create(2, strategy=ROLLING)
    first = set(await stage.world.sizes())
    stage.only_these_get_ready()
    await stage.image("broken")
    await stage.until(partial(has_replica_sets, stage, 2), "the broken revision")
    (broken,) = set(await stage.world.sizes()) - first
    await stage.until(partial(has_clusters, stage, 3), "a broken Ray cluster")
    stage.all_but_these_get_ready(broken)
    await stage.image("c")
    await stage.complete(2)


async def goes_back(stage: Stage) -> None:
    await rolls(stage)
    await stage.image("2.60.0")
    await stage.complete(2)


async def is_scaled_while_it_rolls(stage: Stage) -> None:
    await stage.create(2, strategy=ROLLING)
    stage.only_these_get_ready()
    await stage.image("b")
    await stage.until(partial(has_clusters, stage, 3), "the first new Ray cluster")
    await stage.change(replicas=3)
    await stage.until(partial(has_clusters, stage, 4), "one more")
    stage.all_but_these_get_ready("none")
    await stage.complete(3)


async def is_paused(stage: Stage) -> None:
    await stage.create(2, strategy=ROLLING)
    await stage.change(paused=True)
    await stage.image("b")
    await stage.until(lambda: stage.world.shows(updatedReplicas=0), "the pause is seen")
    await stage.change(paused=False)
    await stage.complete(2)


async def is_deleted(stage: Stage) -> None:
    await stage.create(2)
    await stage.delete()


async def loses_its_service(stage: Stage) -> None:
    await stage.create(1)
    (service,) = await stage.world.objects(SERVICES)
    await stage.client.delete(SERVICES, ObjectKey(namespace=NAMESPACE, name=name_of(service)))
    await stage.until(lambda: stage.world.names(SERVICES), "a new Service")


async def loses_a_ray_cluster(stage: Stage) -> None:
    await stage.create(2)
    gone = (await stage.world.names(RAY_CLUSTERS))[0]
    await stage.client.delete(RAY_CLUSTERS, ObjectKey(namespace=NAMESPACE, name=gone))
    await asyncio.sleep(1)
    await stage.complete(2)


async def forgets_old_revisions(stage: Stage) -> None:
    await stage.create(1, revisionHistoryLimit=1)
    for tag in ("b", "c"):
        await stage.image(tag)
        await stage.complete(1)
    await stage.until(partial(has_replica_sets, stage, 2), "two revisions")


async def has_replica_sets(stage: Stage, count: int) -> bool:
    return len(await stage.world.sizes()) == count


async def has_clusters(stage: Stage, count: int) -> bool:
    return len(await stage.world.names(RAY_CLUSTERS)) == count


async def has_pods(stage: Stage, count: int) -> bool:
    return len(await stage.world.names(PODS)) == count


async def recreates(stage: Stage) -> None:
    await rolls(stage, {"type": "Recreate"})


async def rolls_in_place(stage: Stage) -> None:
    await rolls(stage, IN_PLACE)


async def warms_up(stage: Stage, strategy: object) -> None:
    """Roll as soon as every watch has seen the pods: where a head is not known, its node cannot be warmed up."""
    await stage.create(2, strategy=strategy)
    await stage.until(partial(has_pods, stage, 2), "two heads")
    await stage.rest()
    await stage.image("b")
    await stage.complete(2)


async def warms_up_and_rolls_in_place(stage: Stage) -> None:
    async with stage.with_pods():
        await warms_up(stage, IN_PLACE)
    assert stage.server.counts("ADDED").get("/pods", 0) == 6, "four heads, and a pod for each of the two nodes"


async def warms_up_and_recreates(stage: Stage) -> None:
    async with stage.with_pods():
        await warms_up(stage, {"type": "Recreate"})


async def takes_back_what_it_warms_up_for(stage: Stage) -> None:
    async with stage.with_pods(do_warm_ups_end=False):
        await stage.create(1, strategy=IN_PLACE)
        await stage.until(partial(has_pods, stage, 1), "a head")
        await stage.rest()
        await stage.image("b")
        await stage.until(partial(has_pods, stage, 2), "a pod that warms the node up")
        await stage.image("2.60.0")
        await stage.complete(1)


WORKLOADS: dict[Workload, int] = {
    creates: 3,
    grows: 4,
    shrinks: 4,
    rolls: 3,
    rolls_in_place: 2,
    recreates: 2,
    warms_up_and_rolls_in_place: 2,
    warms_up_and_recreates: 2,
    takes_back_what_it_warms_up_for: 1,
    idles_and_wakes: 2,
    is_broken_then_mended: 3,
    goes_back: 3,
    is_scaled_while_it_rolls: 4,
    is_paused: 3,
    is_deleted: 2,
    loses_its_service: 1,
    loses_a_ray_cluster: 2,
    forgets_old_revisions: 2,
}
"""With the most Ray clusters that each may have at once."""
every_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__)


async def unharmed(address: MemoryAddress) -> None:
    async with MemoryClient(address) as client:
        await lived(client)


@dataclass
class Killed:
    """Controllers that die at one write and are started again, unharmed from then on."""

    survives: int
    loss: Loss
    has_died: bool = False

    async def __call__(self, address: MemoryAddress) -> None:
        async with MortalMemoryClient(address, writes=self.survives, loss=self.loss) as mortal:
            await lived(mortal)
        self.has_died = True
        await unharmed(address)


async def blinded(address: MemoryAddress) -> None:
    """Run controllers whose watches tell nothing for ten seconds in every twelve."""

    async def blink() -> None:
        while True:
            address.frozen_until[0] = asyncio.get_running_loop().time() + 10
            await asyncio.sleep(12)

    blinking = asyncio.ensure_future(blink())
    try:
        await unharmed(address)
    finally:
        blinking.cancel()


async def made_to_list_again(address: MemoryAddress) -> None:
    """Run controllers that lose what happens in half a second, and their place in history, every second."""

    async def forget() -> None:
        while True:
            address.frozen_until[0] = asyncio.get_running_loop().time() + 0.5
            await asyncio.sleep(0.5)
            address.server.forget_history()
            await asyncio.sleep(0.5)

    forgetting = asyncio.ensure_future(forget())
    try:
        await unharmed(address)
    finally:
        forgetting.cancel()


async def doubled(address: MemoryAddress) -> None:
    """Run two sets of controllers at once, as when a lease is not believed."""
    await asyncio.gather(unharmed(address), unharmed(address))


@dataclass
class Stormed:
    """Controllers of whose writes a share is refused, lost, or done without a reply; their watches break and expire."""

    seed: int
    share: float

    async def __call__(self, address: MemoryAddress) -> None:
        async with FlakyMemoryClient(address, seed=self.seed, share=self.share) as client:
            await lived(client)


async def conflicted(address: MemoryAddress) -> None:
    """Run controllers half of whose writes meet a conflict."""
    async with FlakyMemoryClient(address, seed=7, share=0.5, faults=("conflict",)) as client:
        await lived(client)


@dataclass
class Late:
    """Controllers that hear of one kind's changes late."""

    kind: ResourceType

    async def __call__(self, address: MemoryAddress) -> None:
        async with LateMemoryClient(address, late=self.kind) as client:
            await lived(client)


TROUBLES: dict[str, Controllers] = {
    "blinded": blinded,
    "made to list again": made_to_list_again,
    "doubled": doubled,
    "conflicted": conflicted,
    **{f"late {kind.plural}": Late(kind) for kind in (FLEETS, REPLICA_SETS, RAY_CLUSTERS, PODS)},
    "stormed": Stormed(1, 0.3),
    "stormed again": Stormed(2, 0.3),
}


@cache
def undisturbed(workload: Workload) -> Outcome:
    return run_virtually(played(workload, unharmed))


def is_the_same(workload: Workload, outcome: Outcome, trouble: str) -> None:
    expected = undisturbed(workload)
    assert outcome.most_active <= WORKLOADS[workload], trouble
    assert sorted(set(outcome.objects) ^ set(expected.objects)) == [], trouble
    # Who does not see yet that its owner is gone may make a child for it, which goes with the rest.
    if expected.objects:
        assert (outcome.added, outcome.deleted) == (expected.added, expected.deleted), trouble
    assert len(outcome.objects) == len(expected.objects), trouble


@every_workload
@pytest.mark.parametrize("loss", list(Loss))
def test_a_controller_killed_at_each_of_its_writes_changes_nothing(workload: Workload, loss: Loss) -> None:
    writes = 0
    while True:
        killed = Killed(writes, loss)
        outcome = run_virtually(played(workload, killed))
        is_the_same(workload, outcome, f"killed at write {writes}")
        if not killed.has_died:
            break
        writes += 1
    assert writes >= 5


@every_workload
@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_changes_nothing(workload: Workload, trouble: str) -> None:
    is_the_same(workload, run_virtually(played(workload, TROUBLES[trouble])), trouble)


async def loses_one_at_once(stage: Stage) -> None:
    """Delete a Ray cluster in the background before any status tells of it, as ``kubectl delete`` does."""

    async def named() -> list[str]:
        return await stage.world.names(RAY_CLUSTERS)

    await stage.client.create(FLEETS, fleet_manifest(NAMESPACE, replicas=1))
    (gone,) = await until(named, "a Ray cluster", LIMIT_SECONDS, every=0.001)
    (replica_set,) = await stage.world.objects(REPLICA_SETS)
    assert "incarnations" not in replica_set.get("status", {}), "too late: its number is written"
    await stage.client.delete(RAY_CLUSTERS, ObjectKey(namespace=NAMESPACE, name=gone))
    await stage.complete(1)
    assert await named() != [gone]


def test_one_that_goes_before_a_status_tells_of_it_leaves_its_name_to_nobody() -> None:
    run_virtually(played(loses_one_at_once, unharmed))
