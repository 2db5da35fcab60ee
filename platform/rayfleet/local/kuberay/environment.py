"""The environment that KubeRay gives to containers.

Pure. Source: KubeRay ray-operator/controllers/ray/common/pod.go (1.6).

The order counts: of two entries with one name the later one holds. Those named "always" are appended even when the user
set them.
"""

from collections.abc import Sequence

from rayfleet.local.kuberay.names import auth_secret_name, head_fqdn
from rayfleet.local.kuberay.start_command import gcs_port
from rayfleet.model.json import Json, ReadOnlyJson

OPERATOR_VERSION = "v1.6.0"
AUTH_KEY = "auth_token"


def add_address_environment(container: Json, cluster: ReadOnlyJson) -> None:
    """Append the head's names, always."""
    fqdn = head_fqdn(cluster)
    container.setdefault("env", []).extend(
        [{"name": "FQ_RAY_IP", "value": fqdn}, {"name": "RAY_IP", "value": fqdn.split(".")[0]}]
    )


def add_auth_environment(container: Json, cluster: ReadOnlyJson) -> None:
    """Append what Ray needs to prove who it is, if the cluster wants that and the user has not set it."""
    if not wants_token(cluster):
        return
    reference = {"name": auth_secret_name(cluster), "key": AUTH_KEY}
    _add_absent(
        container,
        [
            {"name": "RAY_AUTH_MODE", "value": "token"},
            {"name": "RAY_AUTH_TOKEN", "valueFrom": {"secretKeyRef": reference}},
        ],
    )


def add_ray_environment(container: Json, cluster: ReadOnlyJson, command: str, *, is_head: bool) -> None:
    """Append identity and ``KUBERAY_GEN_RAY_START_CMD`` (always), addresses and usage marks (if absent)."""
    if not is_head:
        add_address_environment(container, cluster)
    container.setdefault("env", []).extend(
        [
            _field("RAY_CLUSTER_NAME", "metadata.labels['ray.io/cluster']"),
            _field("RAY_CLUSTER_NAMESPACE", "metadata.namespace"),
            _field("RAY_CLOUD_INSTANCE_ID", "metadata.name"),
            _field("RAY_NODE_TYPE_NAME", "metadata.labels['ray.io/group']"),
            {"name": "KUBERAY_GEN_RAY_START_CMD", "value": command},
        ]
    )
    port = gcs_port(cluster)
    host = "127.0.0.1" if is_head else head_fqdn(cluster)
    _add_absent(
        container,
        [
            {"name": "RAY_PORT", "value": port},
            {"name": "RAY_ADDRESS", "value": f"{host}:{port}"},
            {"name": "RAY_USAGE_STATS_KUBERAY_IN_USE", "value": "1"},
        ],
    )
    if is_head:
        tags = f"kuberay_version={OPERATOR_VERSION};kuberay_crd=RayCluster"
        container["env"].append({"name": "RAY_USAGE_STATS_EXTRA_TAGS", "value": tags})
    _add_absent(container, [{"name": "RAY_DASHBOARD_ENABLE_K8S_DISK_USAGE", "value": "1"}])


def wants_token(cluster: ReadOnlyJson) -> bool:
    """Whether the cluster's Ray processes must show a token."""
    return bool((cluster["spec"].get("authOptions") or {}).get("mode") == "token")


def _add_absent(container: Json, entries: Sequence[ReadOnlyJson]) -> None:
    variables = container.setdefault("env", [])
    names = {entry["name"] for entry in variables}
    variables.extend(entry for entry in entries if entry["name"] not in names)


def _field(name: str, path: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
