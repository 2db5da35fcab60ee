"""Names and label values as KubeRay cuts them.

Pure. Source: KubeRay ray-operator/controllers/ray/utils/util.go (1.6).
"""

import string

from rayfleet.model.json import Json, ReadOnlyJson

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
    return str(custom.get("name") or f"{cluster['metadata']['name']}-head-svc")


def head_fqdn(cluster: ReadOnlyJson) -> str:
    """Return the name under which workers find the head."""
    return f"{head_service_name(cluster)}.{cluster['metadata']['namespace']}.svc.{CLUSTER_DOMAIN}"


def auth_secret_name(cluster: ReadOnlyJson) -> str:
    """Return the name of the Secret with the token: the user's, else made from the cluster's."""
    options = cluster["spec"].get("authOptions") or {}
    return str(options.get("secretName") or checked_name(cluster["metadata"]["name"]))


def is_of_predecessor(manifest: ReadOnlyJson, cluster: ReadOnlyJson) -> bool:
    """Whether an object belongs to a Ray cluster that had the name before.

    Its garbage collection is a matter of time.
    """
    name, uid = cluster["metadata"]["name"], cluster["metadata"]["uid"]
    return any(
        (owner.get("kind"), owner.get("name")) == ("RayCluster", name) and owner.get("uid") != uid
        for owner in manifest["metadata"].get("ownerReferences") or ()
        if owner.get("controller")
    )


def owner_reference(cluster: ReadOnlyJson) -> Json:
    """Return the controller reference to a RayCluster; it blocks the owner's foreground deletion."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "name": cluster["metadata"]["name"],
        "uid": cluster["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
