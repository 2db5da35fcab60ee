"""The stand-ins for KubeRay and the controller manager beside a test, and a kubelet reduced to the status of pods."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from rayfleet.kube.client import KubeClient
from rayfleet.local.manager import run_stand_ins
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import PODS, RAY_CLUSTERS
from rayfleet.objects.conditions import condition_of
from rayfleet.objects.containers import container_lives
from rayfleet.objects.labels import HEAD_NODE_TYPE, RAY_CLUSTER_LABEL, WORKER_NODE_TYPE
from rayfleet.objects.meta import created_at, key_of, name_of, namespace_of, uid_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import is_head, is_worker, node_name
from rayfleet.objects.times import encode_time
from rayfleet.testing.kubelet import SITUATIONS, is_bound
from rayfleet.testing.waiting import LIMIT_SECONDS, until

_MARK = "rayfleet.local/test"


@asynccontextmanager
async def running_stand_ins(client: KubeClient) -> AsyncIterator[None]:
    """Run all stand-ins for the length of the block."""
    task = asyncio.create_task(run_stand_ins(client))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    if not task.cancelled():
        task.result()


async def put_pod_status(client: KubeClient, pod: ReadOnlyJson, *, address: str, is_ready: bool = True) -> Json:
    """Say that a pod runs at ``address``, and whether it is ready, as a kubelet does; return it as stored."""
    now = encode_time(datetime.now(UTC))
    ready = {"type": "Ready", "status": "True" if is_ready else "False", "lastTransitionTime": now}
    if not is_ready:
        ready |= {"reason": "ContainersNotReady", "message": "containers with unready status"}
    status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}
    return await client.patch(PODS, key_of(pod), {"status": status}, subresource="status")


async def put_pod_phase(client: KubeClient, pod: ReadOnlyJson, phase: str) -> Json:
    """Say that a pod is in another phase; return it as stored."""
    return await client.patch(PODS, key_of(pod), {"status": {"phase": phase}}, subresource="status")


async def stand_pod(client: KubeClient, pod: ReadOnlyJson, situation: str) -> Json:
    """Let a pod stand as ``kubelet.SITUATIONS`` calls it, bound to a node if it would be; return it as stored."""
    names = [life.name for life in container_lives(pod)]
    status = SITUATIONS[situation](datetime.now(UTC), names)
    if is_bound(status) and not node_name(pod):
        target = {"apiVersion": "v1", "kind": "Node", "name": "n1"}
        meta = {"name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": meta, "target": target}
        await client.create(PODS, binding, subresource="binding")
    return await client.patch(PODS, key_of(pod), {"status": status}, subresource="status")


async def pods_of(client: KubeClient, cluster: ReadOnlyJson) -> dict[str, list[Json]]:
    """Return a Ray cluster's pods by node type, oldest first, terminating ones among them."""
    selector = f"{RAY_CLUSTER_LABEL}={name_of(cluster)}"
    listed = await client.list(PODS, namespace_of(cluster), label_selector=selector)
    oldest_first = sorted(listed.items, key=lambda pod: (created_at(pod), name_of(pod)))
    return {
        HEAD_NODE_TYPE: [pod for pod in oldest_first if is_head(pod)],
        WORKER_NODE_TYPE: [pod for pod in oldest_first if is_worker(pod)],
    }


async def status_of(client: KubeClient, cluster: ReadOnlyJson) -> Json:
    """Return a Ray cluster's status, empty when there is none."""
    key = key_of(cluster)
    return part(await client.get(RAY_CLUSTERS, key.name, key.namespace), "status")


async def until_pods(
    client: KubeClient, cluster: ReadOnlyJson, heads: int, workers: int, *, limit: float = LIMIT_SECONDS
) -> dict[str, list[Json]]:
    """Return ``pods_of`` as soon as there are so many of each. Raises NotInTime."""

    def are_all_there(pods: dict[str, list[Json]]) -> bool:
        return [len(pods[role]) for role in (HEAD_NODE_TYPE, WORKER_NODE_TYPE)] == [heads, workers]

    what = f"{heads} heads and {workers} workers of {key_of(cluster)}"
    return await until(lambda: pods_of(client, cluster), what, limit, holds=are_all_there)


async def until_status(
    client: KubeClient, cluster: ReadOnlyJson, claim: Callable[[ReadOnlyJson], object], *, limit: float = LIMIT_SECONDS
) -> Json:
    """Return a Ray cluster's status as soon as the claim holds. Raises NotInTime, with the last status."""
    return await until(
        lambda: status_of(client, cluster), f"the status of {key_of(cluster)} as claimed", limit, holds=claim
    )


def condition(status: ReadOnlyJson, kind: str) -> tuple[str, str]:
    """Return status and reason of a condition; empty when it is not there."""
    entry = condition_of({"status": status}, kind)
    return entry.get("status", ""), entry.get("reason", "")


def ray_cluster(namespace: str, name: str, *, workers: int = 1, **spec: object) -> Json:
    """Return a small RayCluster; ``spec`` replaces fields of its spec."""

    def template(container: str) -> Json:
        return {
            "metadata": {"labels": {_MARK: name}},
            "spec": {
                # No plugin of the real server's admission may wait for an account.
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": container, "image": "example/engine:1"}],
            },
        }

    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "rayVersion": "2.60.0",
            "headGroupSpec": {"rayStartParams": {}, "template": template("ray-head")},
            "workerGroupSpecs": [
                {
                    "groupName": "workers",
                    "replicas": workers,
                    "minReplicas": 0,
                    "maxReplicas": 10,
                    "rayStartParams": {},
                    "template": template("ray-worker"),
                }
            ],
            **spec,
        },
    }
