"""Names and label values as KubeRay cuts them.

Pure. Source: KubeRay ray-operator/controllers/ray/utils/util.go (1.6).
"""

import string

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS
from rayfleet.objects.meta import name_of, namespace_of, uid_of
from rayfleet.objects.owners import controller_of, controller_reference

CLUSTER_DOMAIN = "cluster.local"
_PREFIX_LIMIT = 50  # of 63, less "-worker-" and five random characters
_LABEL_LIMIT = 63


def pod_name_prefix(owner: str, node_type: str) -> str:
    """Return a pod's generateName; ``owner`` is the cluster's name, for workers ``<cluster>-<group>``."""
    return f"{owner[:_PREFIX_LIMIT]}-{node_type}-".lower()


def label_value(text: str) -> str:
    """Return the end of the text that fits into a label; a leading punctuation mark becomes ``r``."""
    kept = text[-_LABEL_LIMIT:]
    return f"r{kept[1:]}" if kept[0] in string.punctuation else kept


def checked_name(text: str) -> str:
    """Return the end of the text that leaves room for a suffix; a leading digit or punctuation mark becomes ``r``."""
    kept = text[-_PREFIX_LIMIT:]
    return f"r{kept[1:]}" if kept[0] in string.digits + string.punctuation else kept


def head_service_name(cluster: ReadOnlyJson) -> str:
    """Return the name of the head Service: the user's, else ``<cluster>-head-svc``."""
    custom = (cluster["spec"]["headGroupSpec"].get("headService") or {}).get("metadata") or {}
    return str(custom.get("name") or f"{name_of(cluster)}-head-svc")


def head_fqdn(cluster: ReadOnlyJson) -> str:
    """Return the name under which workers find the head."""
    return f"{head_service_name(cluster)}.{namespace_of(cluster)}.svc.{CLUSTER_DOMAIN}"


def auth_secret_name(cluster: ReadOnlyJson) -> str:
    """Return the name of the Secret with the token: the user's, else made from the cluster's."""
    options = cluster["spec"].get("authOptions") or {}
    return str(options.get("secretName") or checked_name(name_of(cluster)))


def is_of_predecessor(manifest: ReadOnlyJson, cluster: ReadOnlyJson) -> bool:
    """Whether an object belongs to a Ray cluster that had the name before: it is garbage, collected in time."""
    owner = controller_of(manifest)
    if owner is None or (owner.kind, owner.name) != (RAY_CLUSTERS.kind, name_of(cluster)):
        return False
    return owner.uid != uid_of(cluster)


def owned_by(cluster: ReadOnlyJson) -> Json:
    """Return the reference to a RayCluster that its objects carry."""
    return controller_reference(RAY_CLUSTERS, name_of(cluster), uid_of(cluster))
