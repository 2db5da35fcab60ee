"""Pods of a Ray cluster as a kubelet reports them, by what a test says of them. Pure.

Only fields that decisions read are filled in, in the API's own form.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.objects.labels import (
    DRAINING_ANNOTATION,
    FLEET_LABEL,
    HEAD_NODE_TYPE,
    NODE_TYPE_LABEL,
    RAY_CLUSTER_LABEL,
    WORKER_NODE_TYPE,
)
from rayfleet.objects.meta import labels_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import container_statuses, containers_of
from rayfleet.objects.times import encode_micro_time, encode_time
from rayfleet.testing.stored_objects import with_metadata


def head_pod(cluster: str, *, since: datetime, sidecar: bool = True, fleet: str = "fleet", **life: Any) -> Json:
    """Return the head of a Ray cluster of a fleet, ready since then; ``life`` as of ``running_pod``."""
    labels = {RAY_CLUSTER_LABEL: cluster, NODE_TYPE_LABEL: HEAD_NODE_TYPE, FLEET_LABEL: fleet}
    pod = running_pod(f"{cluster}-head", labels, since=since, **life)
    ports = [{"name": "http", "containerPort": SIDECAR_PORT}]
    beside = [{"name": "rayfleet-sidecar", "image": "x", "ports": ports}] if sidecar else []
    spec = part(pod, "spec")
    return {**pod, "spec": {**spec, "containers": [*containers_of(pod), *beside]}}


def worker_pod(cluster: str, number: int = 0, *, since: datetime, **life: Any) -> Json:
    """Return a worker of a Ray cluster."""
    labels = {RAY_CLUSTER_LABEL: cluster, NODE_TYPE_LABEL: WORKER_NODE_TYPE}
    return running_pod(f"{cluster}-worker-{number}", labels, since=since, **life)


def running_pod(
    name: str, labels: Mapping[str, str], *, since: datetime, uid: str = "", ready: bool = True, restarts: int = 0
) -> Json:
    """Return a pod whose container runs since then, in its ``restarts``th life, and is ready or not since then too."""
    status = ray_status(uid or name, since=since, ready=ready, restarts=restarts)
    is_ready = {"type": "Ready", "status": str(ready), "lastTransitionTime": encode_time(since)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "labels": dict(labels)},
        "spec": {"nodeName": "n1", "containers": [{"name": "ray", "image": "x"}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [is_ready], "containerStatuses": [status]},
    }


def ray_status(identity: str, *, since: datetime, ready: bool = True, restarts: int = 0) -> Json:
    """Return the status of the Ray container in its ``restarts``th life."""
    running = {"running": {"startedAt": encode_time(since)}}
    life = {"containerID": f"c://{identity}/{restarts}", "restartCount": restarts}
    return {"name": "ray", "ready": ready, "state": running, **life}


def ended_before(pod: ReadOnlyJson, *, at: datetime, exit_code: int = 137) -> Json:
    """Return the pod with a note of how its Ray container's life before this one ended."""
    ended = {"terminated": {"exitCode": exit_code, "finishedAt": encode_time(at), "reason": "Error"}}
    statuses = [{**status, "lastState": ended} for status in container_statuses(pod)]
    return {**pod, "status": {**part(pod, "status"), "containerStatuses": statuses}}


def leaving_pod(pod: ReadOnlyJson, *, at: datetime) -> Json:
    """Return the pod on its way out; its grace period ends then."""
    return with_metadata(pod, {"deletionTimestamp": encode_time(at)})


def withdrawn_pod(head: ReadOnlyJson, *, at: datetime) -> Json:
    """Return a head that was taken out of its Service."""
    labels = {name: value for name, value in labels_of(head).items() if name != FLEET_LABEL}
    return with_metadata(head, {"labels": labels, "annotations": {DRAINING_ANNOTATION: encode_micro_time(at)}})


def later(moment: datetime, seconds: float) -> datetime:
    """Return the moment so many seconds after another."""
    return moment + timedelta(seconds=seconds)
