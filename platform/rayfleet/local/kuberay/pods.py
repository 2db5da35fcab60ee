"""The pods of a Ray cluster as KubeRay builds them. Pure. Source: KubeRay ray-operator/controllers/ray/common/pod.go (1.5)."""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.local.kuberay.start_command import completed_start_params, gcs_port, start_command

JsonObject = dict[str, Any]

OVERWRITE_ANNOTATION = "ray.io/overwrite-container-cmd"
OPERATOR_VERSION = "v1.5.0"
CLUSTER_DOMAIN = "cluster.local"
_ULIMIT = "ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}"
_AGENT_PORT = 52365


@dataclass(frozen=True, slots=True, kw_only=True)
class PodOptions:
    """The operator's environment variables: ENABLE_PROBES_INJECTION and ENABLE_INIT_CONTAINER_INJECTION."""

    injects_probes: bool = True
    injects_init_container: bool = True


def head_service_name(cluster: str) -> str:
    """Return the name of the head Service."""
    return f"{cluster}-head-svc"


def head_fqdn(cluster: JsonObject) -> str:
    """Return the name under which workers find the head."""
    meta = cluster["metadata"]
    return f"{head_service_name(meta['name'])}.{meta['namespace']}.svc.{CLUSTER_DOMAIN}"


def build_head_pod(cluster: JsonObject, options: PodOptions | None = None) -> JsonObject:
    """Return the head pod of a RayCluster, ready to create (generateName, owner reference)."""
    group = cluster["spec"]["headGroupSpec"]
    params = {**(group.get("rayStartParams") or {})}
    container = group["template"]["spec"]["containers"][0]
    full = completed_start_params(params, container, is_head=True, head_address="", group=group)
    command = start_command(full, is_head=True)
    pod = _base_pod(cluster, group, "head", "headgroup")
    pod["metadata"]["generateName"] = _pod_prefix(f"{cluster['metadata']['name']}-head-")
    ray = pod["spec"]["containers"][0]
    port = gcs_port(params)
    _set_command(pod, ray, command)
    _add_environment(
        ray,
        [
            *_identity_environment(command),
            {"name": "RAY_PORT", "value": str(port)},
            {"name": "RAY_ADDRESS", "value": f"127.0.0.1:{port}"},
            {"name": "RAY_USAGE_STATS_KUBERAY_IN_USE", "value": "1"},
            {
                "name": "RAY_USAGE_STATS_EXTRA_TAGS",
                "value": f"kuberay_version={OPERATOR_VERSION};kuberay_crd=RayCluster",
            },
            {"name": "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "value": "1"},
            *_auth_environment(cluster),
        ],
    )
    _add_probes(cluster, ray, options or PodOptions(), is_head=True)
    return pod


def build_worker_pod(
    cluster: JsonObject, group: JsonObject, options: PodOptions | None = None, host: tuple[str, int] | None = None
) -> JsonObject:
    """Return a worker pod of a group; ``host`` is (replica name, index in it) for groups with several hosts."""
    options = options or PodOptions()
    head_params = cluster["spec"]["headGroupSpec"].get("rayStartParams") or {}
    port = gcs_port(head_params)
    fqdn = head_fqdn(cluster)
    container = group["template"]["spec"]["containers"][0]
    full = completed_start_params(
        group.get("rayStartParams") or {}, container, is_head=False, head_address=f"{fqdn}:{port}", group=group
    )
    command = start_command(full, is_head=False)
    pod = _base_pod(cluster, group, "worker", group["groupName"])
    pod["metadata"]["generateName"] = _pod_prefix(f"{cluster['metadata']['name']}-{group['groupName']}-worker-")
    if host is not None:
        pod["metadata"]["labels"] |= {
            "ray.io/worker-group-replica-name": host[0],
            "ray.io/replica-host-index": str(host[1]),
        }
    ray = pod["spec"]["containers"][0]
    _set_command(pod, ray, command)
    names = [{"name": "FQ_RAY_IP", "value": fqdn}, {"name": "RAY_IP", "value": fqdn.split(".")[0]}]
    _add_environment(
        ray,
        [
            *names,
            *_identity_environment(command),
            {"name": "RAY_PORT", "value": str(port)},
            {"name": "RAY_ADDRESS", "value": f"{fqdn}:{port}"},
            {"name": "RAY_USAGE_STATS_KUBERAY_IN_USE", "value": "1"},
            {"name": "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "value": "1"},
            *_auth_environment(cluster),
        ],
    )
    if options.injects_init_container:
        pod["spec"].setdefault("initContainers", []).append(_wait_for_gcs(ray, names, f"{fqdn}:{port}"))
    _add_probes(cluster, ray, options, is_head=False)
    return pod


def cluster_labels(name: str) -> dict[str, str]:
    """Return the labels that select every pod of a Ray cluster."""
    return {"ray.io/cluster": name}


def _base_pod(cluster: JsonObject, group: JsonObject, node_type: str, group_name: str) -> JsonObject:
    name = cluster["metadata"]["name"]
    template = copy.deepcopy(group["template"])
    meta = template.get("metadata") or {}
    labels = {
        "ray.io/is-ray-node": "yes",
        "ray.io/identifier": f"{name}-{node_type}"[:63],
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
        **(meta.get("labels") or {}),
        **(group.get("labels") or {}),
        "ray.io/cluster": name,
        "ray.io/node-type": node_type,
        "ray.io/group": group_name,
    }
    annotations = {**(meta.get("annotations") or {})}
    overwrite = (cluster["metadata"].get("annotations") or {}).get(OVERWRITE_ANNOTATION)
    if overwrite is not None:
        annotations[OVERWRITE_ANNOTATION] = overwrite
    if node_type == "head":
        annotations["ray.io/kuberay-version"] = OPERATOR_VERSION
    spec = template["spec"]
    ray = spec["containers"][0]
    _add_metrics_port(ray)
    _add_shared_memory(spec, ray, group.get("rayStartParams") or {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": cluster["metadata"]["namespace"],
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [owner_reference(cluster)],
        },
        "spec": spec,
    }


def owner_reference(cluster: JsonObject) -> JsonObject:
    """Return the controller reference to a RayCluster; it blocks the owner's foreground deletion."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": cluster["metadata"]["name"],
        "uid": cluster["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_prefix(prefix: str) -> str:
    return prefix[:50].lower()


def _set_command(pod: JsonObject, ray: JsonObject, command: str) -> None:
    own = " ".join([*(ray.get("command") or ()), *(ray.get("args") or ())])
    is_kept = pod["metadata"]["annotations"].get(OVERWRITE_ANNOTATION, "").lower() == "true" or "ray start" in own
    if is_kept:
        return
    generated = f"{_ULIMIT}; {command}"
    ray["command"] = ["/bin/bash", "-c", "--"]
    ray["args"] = [f"{own} && {generated}" if own.strip() else generated]


def _identity_environment(command: str) -> list[JsonObject]:
    def field(name: str, path: str) -> JsonObject:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    return [
        field("RAY_CLUSTER_NAME", "metadata.labels['ray.io/cluster']"),
        field("RAY_CLUSTER_NAMESPACE", "metadata.namespace"),
        field("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
        field("RAY_NODE_TYPE_NAME", "metadata.labels['ray.io/group']"),
        {"name": "KUBERAY_GEN_RAY_START_CMD", "value": command},
    ]


def _auth_environment(cluster: JsonObject) -> list[JsonObject]:
    options = cluster["spec"].get("authOptions") or {}
    if options.get("mode") != "token":
        return []
    secret = options.get("secretName") or cluster["metadata"]["name"]
    return [
        {"name": "RAY_AUTH_MODE", "value": "token"},
        {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "auth_token"}}},
    ]


def _add_environment(container: JsonObject, entries: Sequence[JsonObject]) -> None:
    """Append entries that the user has not set."""
    found = container.setdefault("env", [])
    names = {entry["name"] for entry in found}
    found.extend(entry for entry in entries if entry["name"] not in names)


def _add_metrics_port(ray: JsonObject) -> None:
    ports = ray.setdefault("ports", [])
    if not any(port.get("name") == "metrics" for port in ports):
        ports.append({"name": "metrics", "containerPort": 8080})


def _add_shared_memory(spec: JsonObject, ray: JsonObject, params: Mapping[str, str]) -> None:
    mounts = ray.setdefault("volumeMounts", [])
    if "plasma-directory" in params or any(mount["mountPath"] == "/dev/shm" for mount in mounts):  # noqa: S108 - a name
        return
    mounts.append({"name": "shared-mem", "mountPath": "/dev/shm"})  # noqa: S108 - a name
    volume: JsonObject = {"name": "shared-mem", "emptyDir": {"medium": "Memory"}}
    resources = ray.get("resources") or {}
    memory = (resources.get("limits") or {}).get("memory") or (resources.get("requests") or {}).get("memory")
    if memory is not None:
        volume["emptyDir"]["sizeLimit"] = memory
    spec.setdefault("volumes", []).append(volume)


def _wait_for_gcs(ray: JsonObject, names: Sequence[JsonObject], address: str) -> JsonObject:
    script = (
        "\n"
        "SECONDS=0\n"
        "while true; do\n"
        "  if (( SECONDS <= 120 )); then\n"
        f"    if ray health-check --address {address} > /dev/null 2>&1; then\n"
        '      echo "GCS is ready."\n'
        "      break\n"
        "    fi\n"
        '    echo "$SECONDS seconds elapsed: Waiting for GCS to be ready."\n'
        "  else\n"
        f"    if ray health-check --address {address}; then\n"
        '      echo "GCS is ready. Any error messages above can be safely ignored."\n'
        "      break\n"
        "    fi\n"
        '    echo "$SECONDS seconds elapsed: Still waiting for GCS to be ready."\n'
        '    echo "For troubleshooting, refer to the FAQ at https://github.com/ray-project/kuberay/blob/master/docs/guidance/FAQ.md."\n'
        "  fi\n"
        "  sleep 5\n"
        "done\n"
    )
    environment = copy.deepcopy(ray.get("env") or [])
    present = {entry["name"] for entry in environment}
    environment += [entry for entry in names if entry["name"] not in present]
    found: JsonObject = {
        "name": "wait-gcs-ready",
        "image": ray.get("image", ""),
        "command": ["/bin/bash", "-lc", "--"],
        "args": [script],
        "env": environment,
        "volumeMounts": copy.deepcopy(ray.get("volumeMounts") or []),
        "resources": {
            "limits": {"cpu": "200m", "memory": "256Mi"},
            "requests": {"cpu": "200m", "memory": "256Mi"},
        },
    }
    if ray.get("imagePullPolicy"):
        found["imagePullPolicy"] = ray["imagePullPolicy"]
    if ray.get("securityContext"):
        found["securityContext"] = copy.deepcopy(ray["securityContext"])
    return found


def _add_probes(cluster: JsonObject, ray: JsonObject, options: PodOptions, *, is_head: bool) -> None:
    if not options.injects_probes:
        return
    action = _probe_action(str(cluster["spec"].get("rayVersion") or ""), is_head=is_head)
    timeout = 5 if is_head else 2
    ray.setdefault(
        "livenessProbe",
        {**action, "initialDelaySeconds": 30, "timeoutSeconds": timeout, "periodSeconds": 5, "failureThreshold": 120},
    )
    ray.setdefault(
        "readinessProbe",
        {**action, "initialDelaySeconds": 10, "timeoutSeconds": timeout, "periodSeconds": 5, "failureThreshold": 10},
    )


def _probe_action(ray_version: str, *, is_head: bool) -> JsonObject:
    if _version(ray_version) >= (2, 53):
        return {"httpGet": {"path": "/api/healthz", "port": _AGENT_PORT}}
    raylet = f"wget --tries 1 -T 2 -q -O- http://localhost:{_AGENT_PORT}/api/local_raylet_healthz | grep success"
    gcs = "wget --tries 1 -T 2 -q -O- http://localhost:8265/api/gcs_healthz | grep success"
    return {"exec": {"command": ["bash", "-c", f"{raylet} && {gcs}" if is_head else raylet]}}


def _version(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)
