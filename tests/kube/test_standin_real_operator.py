"""The KubeRay stand-in held against the real operator.

The same RayClusters on the same real API server, every field compared.

First the operator (built from its pinned module) has its turn, then the stand-in; between the two the test plays the
node in the same way. What differs on purpose stands in ``known_difference``.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
import yaml

from rayfleet.kube.client import KubeClient
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import EVENTS, RAY_CLUSTERS, SECRETS, SERVICES
from rayfleet.objects.meta import key_of
from rayfleet.objects.owners import controller_uid
from rayfleet.testing.real_kuberay import SharedKubeRay
from rayfleet.testing.stand_ins import condition, put_pod_status, until_pods, until_status
from rayfleet.testing.waiting import until

pytestmark = [pytest.mark.realkube, pytest.mark.timeout(900)]

GOLDEN = Path(__file__).parent.parent / "golden" / "kuberay"
NAMES = ("overwritten-command", "generated-command")
LIMIT_SECONDS = 60.0
# Of the server, of random names and of time.
_FLEETING = frozenset({"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "lastUpdateTime"})
_TIMES = frozenset({"lastTransitionTime", "stateTransitionTimes"})
_SUFFIX = re.compile(r"^(.*-(?:head|worker)-)[a-z0-9]{5}$")
_CLUSTER_IP = re.compile(r"^10\.0\.\d+\.\d+$")  # of the server's own range
_NODE_PORT = re.compile(r"^3[0-2]\d{3}$")
_REPLICA = re.compile(r"^(Slice)-[a-z0-9]{5}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that was seen of one cluster: objects by a name for them, statuses by stage, reasons of Events."""

    objects: dict[str, ReadOnlyJson]
    statuses: dict[str, ReadOnlyJson]
    reasons: frozenset[str]


def known_difference(path: str, theirs: Any, ours: Any) -> bool:
    """Whether a difference is one that we want."""
    if path.endswith("annotations/ray.io/upgrade-strategy-recreate-hash"):
        return True  # a hash of Go's own encoding of its types; ours hashes what the user wrote
    if path.endswith("/data/auth_token"):
        return len(theirs) == len(ours)  # random
    if "/args/" in path and isinstance(theirs, str) and isinstance(ours, str):
        # From the operator's main branch (August 2026), after 1.6: the limit can be set.
        return theirs == ours.replace("ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}", "ulimit -n 65536")
    return False


def differences(theirs: Any, ours: Any, path: str = "") -> Iterator[str]:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted({*theirs, *ours}):
            yield from differences(theirs.get(key), ours.get(key), f"{path}/{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, other) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(one, other, f"{path}/{number}")
    elif theirs != ours and not known_difference(path, theirs, ours):
        yield f"{path}: KubeRay {theirs!r}, ours {ours!r}"


def lasting(value: Any) -> Any:
    """Return what of an object is the writer's."""
    if isinstance(value, dict):
        kept = {key: lasting(each) for key, each in value.items() if key not in _FLEETING}
        return {key: "a time" if key in _TIMES and each else each for key, each in kept.items()}
    if isinstance(value, list):
        return [lasting(each) for each in value]
    if isinstance(value, str):
        found = _REPLICA.sub(r"\1-?????", _SUFFIX.sub(r"\1?????", value))
        return _NODE_PORT.sub("a node's port", _CLUSTER_IP.sub("a cluster's address", found))
    return "a node's port" if isinstance(value, int) and _NODE_PORT.match(str(value)) else value


def without_namespace(value: ReadOnlyJson, namespace: str) -> Json:
    found: Json = orjson.loads(orjson.dumps(value).replace(namespace.encode(), b"NAMESPACE"))
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stories(
    shared_kuberay: SharedKubeRay, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Story, Story]]:
    """Both stories of each cluster; one API server for all."""
    async with shared_kuberay.lent(tmp_path_factory.mktemp("operator")) as server:
        async with server.operator():
            theirs = await all_told(server.client, await server.namespace("by-kuberay"))
        async with server.stand_in():
            ours = await all_told(server.client, await server.namespace("by-us"))
    return {name: (theirs[name], ours[name]) for name in NAMES}


async def all_told(client: KubeClient, namespace: str) -> dict[str, Story]:
    return {name: await told(client, namespace, name) for name in NAMES}


async def told(client: KubeClient, namespace: str, name: str) -> Story:
    """Create one cluster, play its node, and note what becomes of it."""
    manifest = yaml.safe_load((GOLDEN / f"{name}.in.yaml").read_text(encoding="utf-8"))
    manifest["metadata"].pop("uid")
    manifest["metadata"]["namespace"] = namespace
    cluster = await client.create(RAY_CLUSTERS, manifest)
    workers = cluster["spec"]["workerGroupSpecs"][0]
    count = workers["replicas"] * workers.get("numOfHosts", 1)
    statuses: dict[str, Json] = {}

    async def note(stage: str, claim: Callable[[ReadOnlyJson], Any]) -> None:
        statuses[stage] = await until_status(client, cluster, claim, limit=LIMIT_SECONDS)

    pods = await until_pods(client, cluster, 1, count, limit=LIMIT_SECONDS)
    await note("made", lambda found: found.get("head", {}).get("podName"))
    objects = await objects_of(client, cluster, pods)
    for number, pod in enumerate([*pods["head"], *pods["worker"]]):
        await put_pod_status(client, pod, address=f"10.77.0.{number + 2}")
    await note("ready", lambda found: found.get("state") == "ready" and found.get("readyWorkerReplicas") == count)
    for pod in pods["worker"]:
        await put_pod_status(client, pod, address="10.77.0.9", is_ready=False)
    await note("workers not ready", lambda found: not found.get("readyWorkerReplicas"))
    await put_pod_status(client, pods["head"][0], address="10.77.0.2", is_ready=False)
    await note("head not ready", lambda found: condition(found, "HeadPodReady")[0] == "False")
    await client.patch(RAY_CLUSTERS, key_of(cluster), {"spec": {"suspend": True}})
    await note("suspended", lambda found: found.get("state") == "suspended" and not found["head"].get("podName"))
    await client.patch(RAY_CLUSTERS, key_of(cluster), {"spec": {"suspend": False}})
    await until_pods(client, cluster, 1, count, limit=LIMIT_SECONDS)
    await note(
        "resumed",
        lambda found: found.get("head", {}).get("podName") and condition(found, "RayClusterSuspended")[0] == "False",
    )

    return Story(
        objects={key: lasting(without_namespace(each, namespace)) for key, each in objects.items()},
        statuses={key: lasting(without_namespace(each, namespace)) for key, each in statuses.items()},
        reasons=await reasons_until_suspended(client, cluster),
    )


async def reasons_until_suspended(client: KubeClient, cluster: ReadOnlyJson) -> frozenset[str]:
    """Return the reasons of the cluster's Events when those of its suspension are there.

    Both write Events in the order of their reasons' first words, and no reason is new after the suspension's.
    """

    async def reasons() -> frozenset[str]:
        return frozenset(each["reason"] for each in await events_of(client, cluster))

    return await until(reasons, "the suspension is told", LIMIT_SECONDS, holds=lambda told: "DeletedPod" in told)


async def objects_of(client: KubeClient, cluster: ReadOnlyJson, pods: Mapping[str, Sequence[Json]]) -> dict[str, Json]:
    """Return a cluster's pods, Services and Secrets, each by a name that does not change from time to time."""
    meta = cluster["metadata"]
    owned = {
        f"{kind.kind} {each['metadata']['name']}": each
        for kind in (SERVICES, SECRETS)
        for each in (await client.list(kind, meta["namespace"])).items
        if controller_uid(each) == meta["uid"]
    }
    heads = {f"head {number}": pod for number, pod in enumerate(pods["head"])}
    workers = {f"worker {number}": pod for number, pod in enumerate(sorted(pods["worker"], key=seat))}
    return {**heads, **workers, **owned}


def seat(pod: ReadOnlyJson) -> tuple[str, str]:
    labels = pod["metadata"]["labels"]
    return labels["ray.io/worker-group-replica-index"], labels.get("ray.io/replica-host-index", "")


async def events_of(client: KubeClient, cluster: ReadOnlyJson) -> list[Json]:
    found = await client.list(EVENTS, cluster["metadata"]["namespace"])
    return [each for each in found.items if each["involvedObject"].get("uid") == cluster["metadata"]["uid"]]


@pytest.mark.parametrize("name", NAMES)
async def test_our_objects_are_kuberays(stories: dict[str, tuple[Story, Story]], name: str) -> None:
    theirs, ours = stories[name]
    assert list(differences(theirs.objects, ours.objects)) == []


@pytest.mark.parametrize("name", NAMES)
async def test_our_statuses_are_kuberays_at_every_stage(stories: dict[str, tuple[Story, Story]], name: str) -> None:
    theirs, ours = stories[name]
    assert list(differences(theirs.statuses, ours.statuses)) == []


@pytest.mark.parametrize("name", NAMES)
async def test_our_events_have_kuberays_reasons(stories: dict[str, tuple[Story, Story]], name: str) -> None:
    theirs, ours = stories[name]
    assert ours.reasons == theirs.reasons
