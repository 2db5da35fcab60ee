"""The pods of a Ray cluster as KubeRay builds them.

Pure. Source: KubeRay ray-operator/controllers/ray/common/pod.go (1.6).
"""

import base64
import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from rayfleet.local.kuberay.environment import (
    OPERATOR_VERSION,
    add_address_environment,
    add_auth_environment,
    add_ray_environment,
)
from rayfleet.local.kuberay.names import head_fqdn, label_value, owned_by, pod_name_prefix
from rayfleet.local.kuberay.probes import add_probes
from rayfleet.local.kuberay.start_command import METRICS_PORT, complete_start_params, gcs_port, ray_start_command
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.labels import (
    APP_LABEL,
    CREATED_BY_LABEL,
    FAULT_TOLERANCE_ANNOTATION,
    GROUP_LABEL,
    HEAD_NODE_TYPE,
    HOST_INDEX_LABEL,
    IDENTIFIER_LABEL,
    IS_RAY_NODE_LABEL,
    NODE_TYPE_LABEL,
    OPERATOR_VERSION_ANNOTATION,
    OVERWRITE_COMMAND_ANNOTATION,
    RAY_CLUSTER_LABEL,
    RECREATE_HASH_ANNOTATION,
    REPLICA_INDEX_LABEL,
    REPLICA_NAME_LABEL,
    WORKER_NODE_TYPE,
)
from rayfleet.objects.meta import annotation, name_of, namespace_of
from rayfleet.objects.ray_spec import hosts_of

HEAD_GROUP = "headgroup"
SHARED_MEMORY = "/dev/shm"  # noqa: S108 - where a volume is mounted in the pod
_ULIMIT = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
_SHELL = ("/bin/bash", "-c", "--")
_FIXED_LABELS = frozenset({NODE_TYPE_LABEL, GROUP_LABEL, RAY_CLUSTER_LABEL})


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """The operator's environment variables ENABLE_PROBES_INJECTION and ENABLE_INIT_CONTAINER_INJECTION."""

    injects_probes: bool = True
    injects_init_container: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeat:
    """Which worker of its group a pod is: replica ``index``.

    Of replicas with several hosts also ``replica_name`` and ``host``.
    """

    index: int = 0
    replica_name: str = ""
    host: int = 0


def build_head_pod(cluster: ReadOnlyJson, options: PodOptions | None = None) -> Json:
    """Return the head pod of a RayCluster, ready to create (generateName, owner reference)."""
    group = cluster["spec"]["headGroupSpec"]
    pod = _pod(cluster, group, HEAD_NODE_TYPE, HEAD_GROUP)
    pod["metadata"]["generateName"] = pod_name_prefix(name_of(cluster), "head")
    pod["metadata"]["annotations"] |= {
        FAULT_TOLERANCE_ANNOTATION: "false",
        RECREATE_HASH_ANNOTATION: recreate_hash(cluster["spec"]),
        OPERATOR_VERSION_ANNOTATION: OPERATOR_VERSION,
    }
    params = complete_start_params(group, is_head=True)
    _finish(pod, cluster, params, options or PodOptions(), is_head=True)
    return pod


def build_worker_pod(
    cluster: ReadOnlyJson, group: ReadOnlyJson, options: PodOptions | None = None, seat: WorkerSeat | None = None
) -> Json:
    """Return a worker pod of a group, ready to create."""
    options, seat = options or PodOptions(), seat or WorkerSeat()
    pod = _pod(cluster, group, WORKER_NODE_TYPE, group["groupName"])
    pod["metadata"]["generateName"] = pod_name_prefix(f"{name_of(cluster)}-{group['groupName']}", "worker")
    labels = pod["metadata"]["labels"]
    labels[REPLICA_INDEX_LABEL] = str(seat.index)
    if hosts_of(group) > 1:
        labels |= {REPLICA_NAME_LABEL: seat.replica_name, HOST_INDEX_LABEL: str(seat.host)}
    if options.injects_init_container:
        waiting = _wait_for_gcs(cluster, group["template"]["spec"]["containers"][0])
        add_auth_environment(waiting, cluster)
        pod["spec"].setdefault("initContainers", []).append(waiting)
    address = f"{head_fqdn(cluster)}:{gcs_port(cluster)}"
    _finish(pod, cluster, complete_start_params(group, is_head=False, head_address=address), options, is_head=False)
    return pod


def recreate_hash(spec: ReadOnlyJson) -> str:
    """Return a hash of what makes pods differ; not KubeRay's own, which hashes Go's encoding of its types."""
    kept = copy.deepcopy({key: value for key, value in spec.items() if key != "upgradeStrategy"})
    for group in (kept["headGroupSpec"], *(kept.get("workerGroupSpecs") or ())):
        for field in ("replicas", "minReplicas", "maxReplicas", "scaleStrategy"):
            group.pop(field, None)
        for field in ("tolerations", "schedulingGates"):
            group["template"]["spec"].pop(field, None)
    digest = hashlib.sha1(json.dumps(kept, sort_keys=True).encode(), usedforsecurity=False).digest()
    return base64.b32hexencode(digest).decode()


def _pod(cluster: ReadOnlyJson, group: ReadOnlyJson, node_type: str, group_name: str) -> Json:
    """Return the template as a pod, with labels, annotations and owner."""
    name = name_of(cluster)
    template = copy.deepcopy(group["template"])
    meta = template.get("metadata") or {}
    labels_asked = {**(meta.get("labels") or {}), **(group.get("labels") or {})}
    labels = {
        IS_RAY_NODE_LABEL: "yes",
        RAY_CLUSTER_LABEL: name,
        NODE_TYPE_LABEL: node_type,
        GROUP_LABEL: group_name,
        IDENTIFIER_LABEL: label_value(f"{name}-{node_type}"),
        APP_LABEL: "kuberay",
        CREATED_BY_LABEL: "kuberay-operator",
    } | {key: value for key, value in labels_asked.items() if key not in _FIXED_LABELS}
    annotations = dict(meta.get("annotations") or {})
    if _is_true(annotation(cluster, OVERWRITE_COMMAND_ANNOTATION)):
        annotations[OVERWRITE_COMMAND_ANNOTATION] = "true"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace_of(cluster),
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owned_by(cluster)],
        },
        "spec": template["spec"],
    }


def _finish(pod: Json, cluster: ReadOnlyJson, params: Mapping[str, str], options: PodOptions, *, is_head: bool) -> None:
    """Complete the Ray container and the init containers, in KubeRay's order (the environment's depends on it)."""
    ray = pod["spec"]["containers"][0]
    command = ray_start_command(params, is_head=is_head)
    _add_metrics_port(ray)
    add_auth_environment(ray, cluster)
    if "plasma-directory" not in params:
        _add_shared_memory(pod["spec"], ray)
    _set_command(pod, ray, command)
    for container in pod["spec"].get("initContainers") or ():
        add_address_environment(container, cluster)
    add_ray_environment(ray, cluster, command, is_head=is_head)
    if options.injects_probes:
        add_probes(ray, params, str(cluster["spec"].get("rayVersion") or ""), is_head=is_head)


def _add_metrics_port(ray: Json) -> None:
    ports = ray.setdefault("ports", [])
    if not any(port.get("name") == "metrics" for port in ports):
        ports.append({"name": "metrics", "containerPort": METRICS_PORT})


def _add_shared_memory(spec: Json, ray: Json) -> None:
    mounts = ray.setdefault("volumeMounts", [])
    if any(mount["mountPath"] == SHARED_MEMORY for mount in mounts):
        return
    volumes = spec.setdefault("volumes", [])
    if not any(volume["name"] == "shared-mem" for volume in volumes):
        folder: Json = {"medium": "Memory"}
        resources = ray.get("resources") or {}
        memory = (resources.get("limits") or {}).get("memory", (resources.get("requests") or {}).get("memory"))
        if memory is not None:
            folder["sizeLimit"] = memory
        volumes.append({"name": "shared-mem", "emptyDir": folder})
    mounts.append({"name": "shared-mem", "mountPath": SHARED_MEMORY})


def _set_command(pod: Json, ray: Json, command: str) -> None:
    """Put ``ray start`` after the user's command, unless the user starts Ray."""
    own = "".join(f" {word} " for word in (*(ray.get("command") or ()), *(ray.get("args") or ())))
    if _is_true(pod["metadata"]["annotations"].get(OVERWRITE_COMMAND_ANNOTATION)) or "ray start" in own:
        return
    generated = f"{_ULIMIT}; {command}"
    ray["command"] = list(_SHELL)
    ray["args"] = [f"{own} && {generated}" if own else generated]


def _wait_for_gcs(cluster: ReadOnlyJson, ray: ReadOnlyJson) -> Json:
    """Return the init container that waits, without limit.

    It has what the user gave to the Ray container, and no more.
    """
    address = f"{head_fqdn(cluster)}:{gcs_port(cluster)}"
    resources = {"cpu": "200m", "memory": "256Mi"}
    copied = ("image", "imagePullPolicy", "env", "volumeMounts", "securityContext")
    return {
        "name": "wait-gcs-ready",
        "command": list(_SHELL),
        "args": [_WAIT_SCRIPT.format(address=address)],
        "resources": {"limits": dict(resources), "requests": dict(resources)},
        **{field: copy.deepcopy(ray[field]) for field in copied if ray.get(field)},
    }


def _is_true(value: str | None) -> bool:
    return (value or "").lower() == "true"


# Word for word, down to the tabs: what the container says in its log is KubeRay's.
_WAIT_SCRIPT = """
					SECONDS=0
					while true; do
						if (( SECONDS <= 120 )); then
							if ray health-check --address {address} > /dev/null 2>&1; then
								echo "GCS is ready."
								break
							fi
							echo "$SECONDS seconds elapsed: Waiting for GCS to be ready."
						else
							if ray health-check --address {address}; then
								echo "GCS is ready. Any error messages above can be safely ignored."
								break
							fi
							echo "$SECONDS seconds elapsed: Still waiting for GCS to be ready. \
For troubleshooting, refer to the FAQ at https://docs.ray.io/en/master/cluster/kubernetes/troubleshooting.html."
						fi
						sleep 5
					done
				"""
