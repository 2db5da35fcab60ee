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

from rayfleet.kube.client import KubeClient
from rayfleet.kube.config import connect
from rayfleet.local.kuberay.pods import build_head_pod, build_worker_pod
from rayfleet.local.kuberay.services import build_head_service
from rayfleet.local.node.pod_note import read_note
from rayfleet.local.node.processes import process_environment
from rayfleet.local.node.settings import node_folders
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, SECRETS, SERVICES
from rayfleet.testing.nodes import (
    NodeProcess,
    WatchedPod,
    container_processes,
    first_status,
    is_ready,
    node_process,
    run_pod,
)
from rayfleet.testing.realkube import default_cache, ensure_binaries, real_kube_apiserver
from rayfleet.testing.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.realkube, pytest.mark.timeout(280)]

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


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[KubeClient]:
    binaries = ensure_binaries(default_cache(), progress=print)
    async with real_kube_apiserver(binaries, tmp_path / "api") as server, await connect(server.kubeconfig) as opened:
        (tmp_path / "kubeconfig").symlink_to(server.kubeconfig)
        yield opened


@pytest.fixture
async def node(client: KubeClient, tmp_path: Path) -> AsyncIterator[NodeProcess]:
    state = tmp_path / "state"
    state.mkdir()
    async with node_process(client, tmp_path / "kubeconfig", state) as running:
        yield running


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


async def test_two_clusters_side_by_side_join_survive_kills_and_leave_nothing(
    client: KubeClient, node: NodeProcess
) -> None:
    folders = node_folders(node.state)
    segments_before = shared_memory()
    one = await start(client, "one", worker_first=True)
    other = await start(client, "other")
    (head, worker), (other_head, other_worker) = await one.ready(), await other.ready()
    addresses = [each["status"]["podIP"] for each in (head, worker, other_head, other_worker)]
    assert len(set(addresses)) == 4
    assert await one.joined() == sorted(addresses[:2])
    assert await other.joined() == sorted(addresses[2:])

    # The whole worker dies: the same pod starts it again, and it joins again.
    for pid in container_processes(worker, "ray"):
        os.kill(pid, signal.SIGKILL)
    again = await one.worker.until(lambda now: first_status(now)["restartCount"] == 1 and is_ready(now), 60)
    assert again["metadata"]["uid"] == worker["metadata"]["uid"]
    assert await one.joined() == sorted(addresses[:2])

    # The node dies and takes back what runs.
    kept = container_processes(other_head, "ray")
    await node.end(signal.SIGKILL)
    await node.start()
    assert await other.joined() == sorted(addresses[2:])
    found = await other.head.until(is_ready)
    assert first_status(found)["restartCount"] == 0
    assert set(kept) <= set(container_processes(found, "ray"))

    ports = [
        int(address.rpartition(":")[2])
        for address in [(await each.environment())["RAY_ADDRESS"] for each in (one, other)]
    ]
    assert set(ports) <= listening_ports()
    notes = [read_note(folder) for folder in folders.pods.iterdir()]
    temporary = {folders.ray_temp(note.ray_cluster) for note in notes if note is not None}
    assert len(temporary) == 2
    assert all(each.exists() for each in temporary)
    pods = (one.head, one.worker, other.head, other.worker)
    for watched in pods:
        await client.delete(PODS, watched.key)
    for watched in pods:
        await watched.gone(30)
    for each in (head, worker, other_head, other_worker):
        assert container_processes(each, "ray") == []
    assert not set(ports) & listening_ports()
    assert shared_memory() <= segments_before
    assert not list(folders.pods.glob("*/pod.json"))
    assert not [each for each in temporary if each.exists()]
    uids = {each["metadata"]["uid"] for each in (head, worker, other_head, other_worker)}
    assert not [slot for slot in folders.slots.glob("[0-9]*") if json.loads(slot.read_text())[1] in uids]
