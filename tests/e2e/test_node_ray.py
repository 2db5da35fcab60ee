"""Real two-node Ray clusters in pods as KubeRay writes them.

Side by side, killed, taken back, and gone without a trace.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.local.kuberay.pods import build_head_pod, build_worker_pod
from rayfleet.local.kuberay.services import build_head_service
from rayfleet.local.node.folders import NodeFolders
from rayfleet.local.node.pod_note import read_note
from rayfleet.local.node.processes import process_environment
from rayfleet.local.node.settings import node_folders
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, SECRETS, SERVICES
from rayfleet.objects.pods import is_ready
from rayfleet.testing.nodes import (
    NodeProcess,
    WatchedPod,
    container_processes,
    first_status,
    node_process,
    run_pod,
)
from rayfleet.testing.realkube import default_cache, ensure_binaries, real_kube_apiserver
from rayfleet.testing.waiting import until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.realkube,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(280),
]

NAMESPACE = "default"
ASK = (
    "import json, sys; from ray._raylet import GcsClient\n"
    "nodes = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5).values()\n"
    "print(json.dumps(sorted(n.node_manager_address for n in nodes if n.state == 0)))\n"
)
QUICK_HEALTH_CHECK = [
    {"name": f"RAY_health_check_{name}", "value": value}
    for name, value in {
        "initial_delay_ms": "1000",
        "period_ms": "1000",
        "timeout_ms": "2000",
        "failure_threshold": "3",
    }.items()
]


@dataclass(slots=True)
class RayPods:
    """The two pods of a Ray cluster."""

    name: str
    head: WatchedPod
    worker: WatchedPod

    async def ready(self) -> tuple[Json, Json]:
        return await self.head.until(is_ready, 90), await self.worker.until(is_ready, 90)

    async def environment(self) -> dict[str, str]:
        """Return what the head's container was started with."""
        head = await self.head.until(is_ready, 90)
        for pid in container_processes(head, "ray"):
            entries = dict(
                entry.decode().partition("=")[::2] for entry in process_environment(pid).split(b"\0") if b"=" in entry
            )
            if "RAY_ADDRESS" in entries:
                return entries
        raise AssertionError("no process of the head has an environment")

    async def alive(self) -> list[str]:
        """Return the addresses of Ray's living nodes, as the GCS says."""
        environment = await self.environment()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", ASK, environment["RAY_ADDRESS"], env=environment, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30):
            out, _ = await process.communicate()
        return list(json.loads(out)) if process.returncode == 0 else []

    async def joined(self, seconds: float = 60) -> list[str]:
        """Return the addresses of both nodes as soon as Ray knows them."""
        return await until(self.alive, f"both nodes of {self.name}", seconds, holds=lambda nodes: len(nodes) == 2)


def ray_cluster(name: str) -> Json:
    def template(port: int) -> Json:
        probe = {"tcpSocket": {"port": port}, "periodSeconds": 1}
        container: Json = {
            "name": "ray",
            "image": "rayfleet.local/host",
            "resources": {"limits": {"cpu": "1"}},
            "readinessProbe": probe,
            "livenessProbe": {**probe, "failureThreshold": 30},
            "env": [{"name": "RAY_USAGE_STATS_ENABLED", "value": "0"}, *QUICK_HEALTH_CHECK],
        }
        return {"metadata": {}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 3}}

    params = {"node-manager-port": "6380", "num-cpus": "1"}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-of-{name}"},
        "spec": {
            "rayVersion": "2.60.0",
            "authOptions": {"mode": "token"},
            "headGroupSpec": {"rayStartParams": params, "template": template(6379)},
            "workerGroupSpecs": [
                {"groupName": "workers", "replicas": 1, "rayStartParams": params, "template": template(6380)}
            ],
        },
    }


async def start(client: KubeClient, name: str, *, worker_first: bool = False) -> RayPods:
    cluster = ray_cluster(name)
    token = {"auth_token": f"token-of-{name}-" + "0" * 40}
    meta = {"name": name, "namespace": NAMESPACE}
    await client.create(SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": token})
    service = build_head_service(cluster)
    service["metadata"].pop("ownerReferences", None)
    await client.create(SERVICES, service)
    head = _named(build_head_pod(cluster), f"{name}-head")
    worker = _named(build_worker_pod(cluster, cluster["spec"]["workerGroupSpecs"][0]), f"{name}-worker")
    if worker_first:
        second = await run_pod(client, worker)
        await second.until(_waits_for_service)
        return RayPods(name, await run_pod(client, head), second)
    return RayPods(name, await run_pod(client, head), await run_pod(client, worker))


def _named(pod: ReadOnlyJson, name: str) -> Json:
    """Return a pod with a name; no owner, because no RayCluster is in the API server to own it."""
    meta = {key: value for key, value in pod["metadata"].items() if key not in {"generateName", "ownerReferences"}}
    return {**pod, "metadata": {**meta, "name": name}}


def _waits_for_service(pod: ReadOnlyJson) -> bool:
    state: Any = pod["status"]["initContainerStatuses"][0]["state"]
    return bool(state["waiting"]["reason"] == "WaitingForService")


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def listening_ports() -> set[int]:
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Two Ray clusters on one node; the facts are those of the moment when both had joined."""

    client: KubeClient
    node: NodeProcess
    one: RayPods
    other: RayPods
    pods: tuple[Json, ...]  # head and worker of the one, of the other
    gcs_ports: frozenset[int]
    segments_before: frozenset[str]

    @property
    def folders(self) -> NodeFolders:
        return node_folders(self.node.state)

    @property
    def watched(self) -> tuple[WatchedPod, ...]:
        return (self.one.head, self.one.worker, self.other.head, self.other.worker)

    def addresses(self) -> list[str]:
        return [pod["status"]["podIP"] for pod in self.pods]

    def temporary_folders(self) -> set[Path]:
        notes = [read_note(folder) for folder in self.folders.pods.iterdir()]
        return {self.folders.ray_temp(note.ray_cluster) for note in notes if note is not None}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Both clusters, started side by side; the worker of the one before its head."""
    binaries = await asyncio.to_thread(ensure_binaries, default_cache(), progress=print)
    folder, state = tmp_path_factory.mktemp("api"), tmp_path_factory.mktemp("state")
    segments_before = frozenset(shared_memory())
    async with (
        real_kube_apiserver(binaries, folder) as server,
        await connect(server.kubeconfig) as client,
        node_process(client, server.kubeconfig, state) as node,
    ):
        one = await start(client, "one", worker_first=True)
        other = await start(client, "other")
        pods = (*await one.ready(), *await other.ready())
        environments = [await each.environment() for each in (one, other)]
        ports = frozenset(int(each["RAY_ADDRESS"].rpartition(":")[2]) for each in environments)
        yield Scene(
            client=client,
            node=node,
            one=one,
            other=other,
            pods=pods,
            gcs_ports=ports,
            segments_before=segments_before,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def left_scene(scene: Scene) -> tuple[Scene, set[Path]]:
    """The scene after its pods were deleted, and the temporary folders that it had."""
    temporary = await asyncio.to_thread(scene.temporary_folders)
    for watched in scene.watched:
        await scene.client.delete(PODS, watched.key)
    for watched in scene.watched:
        await watched.gone(30)
    return scene, temporary


async def test_each_pod_has_an_address_of_its_own(scene: Scene) -> None:
    assert len(set(scene.addresses())) == 4


async def test_each_cluster_joins_its_own_nodes_alone(scene: Scene) -> None:
    assert await scene.one.joined() == sorted(scene.addresses()[:2])
    assert await scene.other.joined() == sorted(scene.addresses()[2:])


async def test_a_worker_that_dies_whole_is_started_in_the_same_pod_and_joins_again(scene: Scene) -> None:
    worker = scene.pods[1]
    for pid in container_processes(worker, "ray"):
        os.kill(pid, signal.SIGKILL)
    again = await scene.one.worker.until(lambda now: first_status(now)["restartCount"] == 1 and is_ready(now), 60)
    assert again["metadata"]["uid"] == worker["metadata"]["uid"]
    assert await scene.one.joined() == sorted(scene.addresses()[:2])


async def test_a_node_that_dies_takes_back_what_runs(scene: Scene) -> None:
    head = scene.pods[2]
    kept = container_processes(head, "ray")
    await scene.node.end(signal.SIGKILL)
    await scene.node.start()
    assert await scene.other.joined() == sorted(scene.addresses()[2:])
    current = await scene.other.head.until(is_ready)
    assert first_status(current)["restartCount"] == 0
    assert set(kept) <= set(container_processes(current, "ray"))


async def test_while_they_live_they_have_ports_and_temporary_folders_of_their_own(scene: Scene) -> None:
    assert len(scene.gcs_ports) == 2
    assert scene.gcs_ports <= listening_ports()
    temporary = await asyncio.to_thread(scene.temporary_folders)
    assert len(temporary) == 2
    assert all(folder.exists() for folder in temporary)


async def test_deleted_pods_leave_no_process_and_no_port(left_scene: tuple[Scene, set[Path]]) -> None:
    scene, _ = left_scene
    assert [container_processes(pod, "ray") for pod in scene.pods] == [[], [], [], []]
    assert not scene.gcs_ports & listening_ports()


async def test_deleted_pods_leave_no_shared_memory(left_scene: tuple[Scene, set[Path]]) -> None:
    scene, _ = left_scene
    assert shared_memory() <= scene.segments_before


async def test_deleted_pods_leave_no_note_no_folder_and_no_slot(left_scene: tuple[Scene, set[Path]]) -> None:
    scene, temporary = left_scene
    assert not list(scene.folders.pods.glob("*/pod.json"))
    assert [folder for folder in temporary if folder.exists()] == []
    uids = {pod["metadata"]["uid"] for pod in scene.pods}
    assert [slot for slot in scene.folders.slots.glob("[0-9]*") if json.loads(slot.read_text())[1] in uids] == []
