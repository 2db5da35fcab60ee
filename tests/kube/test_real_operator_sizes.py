"""How many workers a Ray cluster has, by the real operator: ``objects.ray_spec`` reads every spec as it does.

RayClusters whose sizes were read in different ways once, on a real API server (so with the defaults of KubeRay's own
definition), made by the real operator and then by our stand-in. A Ray cluster is looked at when its maker calls it
ready, so none is counted half-way.
"""

import asyncio
from dataclasses import dataclass

import pytest
import pytest_asyncio

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.objects.ray_spec import desired_workers, expected_pods
from rayfleet.testing.real_kuberay import SharedKubeRay
from rayfleet.testing.stand_ins import pods_of, put_pod_status, ray_cluster, until_pods, until_status
from rayfleet.testing.waiting import LIMIT_SECONDS

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]

MAKERS = ("kuberay", "stand-in")
COUNTS = ("replicas", "minReplicas", "maxReplicas", "numOfHosts", "suspend")
# The one worker group's counts as they are written, and how many pods there are of them.
GROUPS: dict[str, tuple[ReadOnlyJson, int]] = {
    "lowest-without-replicas": ({"minReplicas": 1}, 1),
    "replicas-null": ({"minReplicas": 1, "replicas": None}, 1),
    "more-than-highest": ({"replicas": 5, "maxReplicas": 2}, 2),
    "fewer-than-lowest": ({"replicas": 1, "minReplicas": 2}, 2),
    "no-hosts": ({"replicas": 2, "numOfHosts": 0}, 0),
    "two-hosts": ({"replicas": 2, "numOfHosts": 2}, 4),
    "group-suspended": ({"replicas": 2, "suspend": True}, 0),
    "nothing-written": ({}, 0),
}
SUSPENDED = "suspended"
NAMES = (*GROUPS, SUSPENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a maker made of a Ray cluster; ``spec`` as the server stored it."""

    spec: ReadOnlyJson
    heads: int
    workers: int


def with_counts(namespace: str, name: str, counts: ReadOnlyJson) -> Json:
    """Return a small RayCluster whose worker group has these counts and no other."""
    manifest = ray_cluster(namespace, name)
    [group] = manifest["spec"]["workerGroupSpecs"]
    kept = {field: value for field, value in group.items() if field not in COUNTS}
    manifest["spec"]["workerGroupSpecs"] = [{**kept, **counts}]
    return manifest


async def made(client: KubeClient, cluster: ReadOnlyJson) -> Made:
    pods = await pods_of(client, cluster)
    return Made(spec=cluster["spec"], heads=len(pods["head"]), workers=len(pods["worker"]))


async def made_ready(client: KubeClient, namespace: str, name: str, number: int) -> Made:
    """Create one, run its pods, and look when its maker says that all are there and ready."""
    counts, workers = GROUPS[name]
    cluster = await client.create(RAY_CLUSTERS, with_counts(namespace, name, counts))
    pods = await until_pods(client, cluster, 1, workers, limit=LIMIT_SECONDS)
    for index, pod in enumerate([*pods["head"], *pods["worker"]]):
        await put_pod_status(client, pod, address=f"10.77.{number}.{index + 2}")
    await until_status(client, cluster, lambda status: status.get("state") == "ready", limit=LIMIT_SECONDS)
    return await made(client, cluster)


async def made_suspended(client: KubeClient, namespace: str) -> Made:
    manifest = ray_cluster(namespace, SUSPENDED, workers=2, suspend=True)
    cluster = await client.create(RAY_CLUSTERS, manifest)
    await until_status(client, cluster, lambda status: status.get("state") == "suspended", limit=LIMIT_SECONDS)
    return await made(client, cluster)


async def all_made(client: KubeClient, namespace: str) -> dict[str, Made]:
    async with asyncio.TaskGroup() as tasks:
        making = [
            *(tasks.create_task(made_ready(client, namespace, name, number)) for number, name in enumerate(GROUPS)),
            tasks.create_task(made_suspended(client, namespace)),
        ]
    return {name: task.result() for name, task in zip(NAMES, making, strict=True)}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_maker(
    shared_kuberay: SharedKubeRay, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Made]]:
    async with shared_kuberay.lent(tmp_path_factory.mktemp("sizes")) as server:
        async with server.operator():
            theirs = await all_made(server.client, await server.namespace("by-kuberay"))
        async with server.stand_in():
            ours = await all_made(server.client, await server.namespace("by-us"))
    return {"kuberay": theirs, "stand-in": ours}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", GROUPS)
async def test_there_are_as_many_workers_as_we_read_from_the_spec(
    by_maker: dict[str, dict[str, Made]], name: str, maker: str
) -> None:
    result = by_maker[maker][name]
    assert (result.heads, result.workers) == (1, desired_workers(result.spec))
    assert result.workers == GROUPS[name][1]


@pytest.mark.parametrize("maker", MAKERS)
async def test_a_suspended_ray_cluster_has_no_pods(by_maker: dict[str, dict[str, Made]], maker: str) -> None:
    result = by_maker[maker][SUSPENDED]
    assert (result.heads, result.workers) == (0, 0)
    assert desired_workers(result.spec) == expected_pods(result.spec) == 0
