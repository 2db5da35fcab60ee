"""The Node object and its Lease: what makes a scheduler and a node controller take this machine for a node."""

import asyncio
import contextlib
import logging
import os
import platform
from datetime import UTC, datetime

from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import AlreadyExists, ApiError, NotFound
from rayfleet.local.node.settings import NodeSettings
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import LEASES, NAMESPACES, NODES
from rayfleet.objects.meta import version_of
from rayfleet.objects.nodes import NOT_READY, taints_of
from rayfleet.objects.times import encode_micro_time, encode_time

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
LEASE_SECONDS = 40
RENEW_SECONDS = 10
RENEWALS_PER_STATUS = 30  # five minutes, the kubelet's nodeStatusReportFrequency


async def keep_registered(client: KubeClient, settings: NodeSettings) -> None:
    """Write the Node, renew its Lease until cancelled, and write the Node anew now and then, as a kubelet does."""
    started_at = datetime.now(UTC)
    renewals, reported = 0, ""
    while True:
        try:
            if renewals % RENEWALS_PER_STATUS == 0:
                await _register(client, settings, started_at)
            await _renew(client, settings.name)
        except ApiError as error:
            if error.message != reported:
                log.warning("cannot register the node; trying again", extra={"reason": error.message})
            reported = error.message
            renewals = 0
            await asyncio.sleep(1)
            continue
        renewals, reported = renewals + 1, ""
        await asyncio.sleep(RENEW_SECONDS)


def node_status(settings: NodeSettings, now: datetime, ready_since: datetime) -> Json:
    """Return the Node's status: capacity, addresses, Ready. Pure but for the facts of the machine."""
    capacity = {
        "cpu": str(os.cpu_count() or 1),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki",
        "pods": "250",
        **{name: str(count) for name, count in settings.accelerators.items()},
    }
    return {
        "capacity": capacity,
        "allocatable": capacity,
        "addresses": [
            {"type": "InternalIP", "address": "127.0.0.1"},
            {"type": "Hostname", "address": platform.node() or settings.name},
        ],
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "NodeReady",
                "message": "rayfleet's node is ready",
                "lastHeartbeatTime": encode_time(now),
                "lastTransitionTime": encode_time(ready_since),
            }
        ],
        "nodeInfo": {
            "architecture": platform.machine(),
            "bootID": "",
            "containerRuntimeVersion": "rayfleet://0",
            "kernelVersion": platform.release(),
            "kubeProxyVersion": "",
            "kubeletVersion": "rayfleet",
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "",
            "systemUUID": "",
        },
    }


async def _register(client: KubeClient, settings: NodeSettings, started_at: datetime) -> None:
    labels = {"kubernetes.io/hostname": settings.name, "kubernetes.io/os": "linux"}
    node: Json = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": settings.name, "labels": labels}}
    with contextlib.suppress(AlreadyExists):
        await client.create(NODES, node)
    status = node_status(settings, datetime.now(UTC), started_at)
    key = ObjectKey(namespace="", name=settings.name)
    known = await client.patch(NODES, key, {"status": status}, subresource="status")
    # A new node is tainted until it is ready; who takes that off elsewhere is the controller manager.
    taints = taints_of(known)
    rest = [each.raw for each in taints if each.key != NOT_READY]
    if len(rest) < len(taints):
        version = {"resourceVersion": version_of(known)}
        await client.patch(NODES, key, {"metadata": version, "spec": {"taints": rest or None}})


async def _renew(client: KubeClient, name: str) -> None:
    now = encode_micro_time(datetime.now(UTC))
    spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now}
    lease: Json = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
        "spec": spec,
    }
    try:
        await client.patch(LEASES, ObjectKey(namespace=LEASE_NAMESPACE, name=name), {"spec": spec})
    except NotFound:
        namespace: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}}
        with contextlib.suppress(AlreadyExists):
            await client.create(NAMESPACES, namespace)
        await client.create(LEASES, lease)
