"""The Services and the token Secret of a Ray cluster.

Pure. Source: KubeRay ray-operator/controllers/ray/common/service.go (1.6).
"""

import base64
import copy
from collections.abc import Mapping, Sequence

from rayfleet.local.kuberay.environment import AUTH_KEY, wants_token
from rayfleet.local.kuberay.names import auth_secret_name, head_service_name, label_value, owner_reference
from rayfleet.model.json import Json, ReadOnlyJson

SERVE_ANNOTATION = "ray.io/enable-serve-service"
_DEFAULT_PORTS = {"client": 10001, "gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "serve": 8000}
_APP_LABEL = "app.kubernetes.io/name"


def build_head_service(cluster: ReadOnlyJson) -> Json:
    """Return the head Service.

    Headless and publishing addresses that are not ready, so that workers can join before the engine.
    """
    group = cluster["spec"]["headGroupSpec"]
    selector = head_service_labels(cluster)
    template_labels = (group["template"].get("metadata") or {}).get("labels") or {}
    if _APP_LABEL in template_labels:
        selector[_APP_LABEL] = template_labels[_APP_LABEL]
    annotations = dict(cluster["spec"].get("headServiceAnnotations") or {})
    service_type = group.get("serviceType") or ""
    custom = group.get("headService")
    if custom:
        return _custom_head_service(cluster, custom, selector, annotations)
    spec: Json = {"selector": dict(selector), "ports": _ports(cluster)}
    if service_type:
        spec["type"] = service_type
    if service_type in {"", "ClusterIP"}:
        spec |= {"clusterIP": "None", "publishNotReadyAddresses": True}
    service = _service(cluster, head_service_name(cluster), selector, spec)
    if annotations:
        service["metadata"]["annotations"] = annotations
    return service


def build_headless_service(cluster: ReadOnlyJson) -> Json | None:
    """Return the Service by which hosts of one replica find each other; None when no group has several hosts."""
    groups = cluster["spec"].get("workerGroupSpecs") or ()
    if not any(int(group.get("numOfHosts") or 1) > 1 for group in groups):
        return None
    name = cluster["metadata"]["name"]
    spec = {
        "clusterIP": "None",
        "selector": {"ray.io/cluster": name, "ray.io/node-type": "worker"},
        "type": "ClusterIP",
        "publishNotReadyAddresses": True,
    }
    return _service(cluster, f"{name}-headless", {"ray.io/headless-worker-svc": name}, spec)


def build_serve_service(cluster: ReadOnlyJson) -> Json | None:
    """Return the Service of Ray Serve: all pods of the cluster.

    None when it is not asked for or no port is called serve.
    """
    if (cluster["metadata"].get("annotations") or {}).get(SERVE_ANNOTATION) != "true":
        return None
    ports = [
        {"name": port["name"], "port": port["port"]}
        for port in _ports(cluster)
        if port["name"] == "serve" or port["name"].startswith("serve-")
    ]
    if not ports:
        return None
    name = cluster["metadata"]["name"]
    labels = {
        "ray.io/originated-from-cr-name": name,
        "ray.io/originated-from-crd": "RayCluster",
        "ray.io/serve": f"{name}-serve",
    }
    return _service(cluster, f"{name}-serve-svc", labels, {"selector": {"ray.io/cluster": name}, "ports": ports})


def build_auth_secret(cluster: ReadOnlyJson, token: bytes) -> Json | None:
    """Return the Secret with the cluster's token (written as base64).

    None when none is wanted, or the user names an own one.
    """
    options = cluster["spec"].get("authOptions") or {}
    if not wants_token(cluster) or options.get("secretName") or options.get("enableK8sTokenAuth"):
        return None
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": auth_secret_name(cluster),
            "namespace": cluster["metadata"]["namespace"],
            "labels": {"ray.io/cluster": cluster["metadata"]["name"]},
            "ownerReferences": [owner_reference(cluster)],
        },
        "type": "Opaque",
        "data": {AUTH_KEY: base64.b64encode(base64.b64encode(token)).decode()},
    }


def head_service_labels(cluster: ReadOnlyJson) -> dict[str, str]:
    """Return the labels by which a head Service is known."""
    name = cluster["metadata"]["name"]
    return {
        "ray.io/cluster": name,
        "ray.io/node-type": "head",
        "ray.io/identifier": label_value(f"{name}-head"),
        _APP_LABEL: "kuberay",
        "app.kubernetes.io/created-by": "kuberay-operator",
    }


def head_services(cluster: ReadOnlyJson, services: Sequence[ReadOnlyJson]) -> tuple[ReadOnlyJson, ...]:
    """Return those of a namespace's Services that KubeRay takes for the head's, whoever made them."""
    labels = head_service_labels(cluster)
    keys = ("ray.io/cluster", "ray.io/node-type", "ray.io/identifier")
    return tuple(
        service
        for service in services
        if all((service["metadata"].get("labels") or {}).get(key) == labels[key] for key in keys)
    )


def _custom_head_service(
    cluster: ReadOnlyJson, custom: ReadOnlyJson, selector: Mapping[str, str], annotations: Mapping[str, str]
) -> Json:
    """Return the user's Service with our selector, our ports after the user's, our labels and annotations on top."""
    spec = copy.deepcopy(custom.get("spec") or {})
    service_type = spec.get("type") or cluster["spec"]["headGroupSpec"].get("serviceType")
    spec |= {"selector": dict(selector), "ports": [*(spec.get("ports") or ()), *_ports(cluster)]}
    if service_type:
        spec["type"] = service_type
    meta = custom.get("metadata") or {}
    service = _service(cluster, head_service_name(cluster), {**(meta.get("labels") or {}), **selector}, spec)
    service["metadata"]["annotations"] = {**(meta.get("annotations") or {}), **annotations}
    return service


def _service(cluster: ReadOnlyJson, name: str, labels: Mapping[str, str], spec: ReadOnlyJson) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": name,
            "namespace": cluster["metadata"]["namespace"],
            "labels": dict(labels),
            "ownerReferences": [owner_reference(cluster)],
        },
        "spec": spec,
    }


def _ports(cluster: ReadOnlyJson) -> list[Json]:
    """Return the Ray container's ports, or Ray's own; sorted by name."""
    declared = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0].get("ports") or ()
    found = {port.get("name") or f"{port['containerPort']}-port": port["containerPort"] for port in declared}
    found = found or dict(_DEFAULT_PORTS)
    found.setdefault("metrics", 8080)
    return [{"name": name, "port": port, "appProtocol": "tcp"} for name, port in sorted(found.items())]
