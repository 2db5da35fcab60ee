"""The head Service and the token Secret of a Ray cluster. Pure. Source: KubeRay ray-operator/controllers/ray/common/service.go (1.5)."""

import base64
from typing import Any

from rayfleet.local.kuberay.pods import head_service_name, owner_reference

JsonObject = dict[str, Any]

_DEFAULT_PORTS = {"client": 10001, "gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "serve": 8000}


def build_head_service(cluster: JsonObject) -> JsonObject:
    """Return the head Service: headless and publishing addresses that are not ready, so that workers can join before the engine."""
    name, namespace = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    group = cluster["spec"]["headGroupSpec"]
    labels = {
        "ray.io/cluster": name,
        "ray.io/node-type": "head",
        "ray.io/identifier": f"{name}-head"[:63],
        "app.kubernetes.io/name": "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }
    template_labels = (group["template"].get("metadata") or {}).get("labels") or {}
    selector = {**labels, **{key: value for key, value in template_labels.items() if key in labels}}
    selector |= {"ray.io/cluster": name, "ray.io/node-type": "head"}
    service_type = group.get("serviceType") or ""
    spec: JsonObject = {"selector": selector, "ports": _ports(group)}
    if service_type in {"", "ClusterIP"}:
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True, "type": "ClusterIP"}
    else:
        spec["type"] = service_type
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": head_service_name(name),
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(cluster)],
        },
        "spec": spec,
    }


def build_auth_secret(cluster: JsonObject, token: str) -> JsonObject | None:
    """Return the Secret with the cluster's token; None when none is wanted, or the user names an own one."""
    options = cluster["spec"].get("authOptions") or {}
    if options.get("mode") != "token" or options.get("secretName"):
        return None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": cluster["metadata"]["name"],
            "namespace": cluster["metadata"]["namespace"],
            "labels": {"ray.io/cluster": cluster["metadata"]["name"]},
            "ownerReferences": [owner_reference(cluster)],
        },
        "type": "Opaque",
        "data": {"auth_token": base64.b64encode(token.encode()).decode()},
    }


def _ports(group: JsonObject) -> list[JsonObject]:
    declared = group["template"]["spec"]["containers"][0].get("ports") or ()
    named = {port["name"]: port["containerPort"] for port in declared if port.get("name")}
    found = dict(named) if named else dict(_DEFAULT_PORTS)
    found.setdefault("metrics", 8080)
    return [
        {"name": name, "port": port, "targetPort": port, "protocol": "TCP", "appProtocol": "tcp"}
        for name, port in sorted(found.items())
    ]
