"""The Services and the token Secret of a Ray cluster.

Pure. Source: KubeRay ray-operator/controllers/ray/common/service.go (1.6).
"""

import base64
import copy
from collections.abc import Mapping, Sequence

from rayfleet.local.kuberay.environment import AUTH_KEY, wants_token
from rayfleet.local.kuberay.names import auth_secret_name, head_service_name, label_value, owned_by
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import RAY_CLUSTERS, SECRETS, SERVICES
from rayfleet.objects.labels import (
    APP_LABEL,
    CREATED_BY_LABEL,
    HEAD_NODE_TYPE,
    HEADLESS_WORKER_LABEL,
    IDENTIFIER_LABEL,
    NODE_TYPE_LABEL,
    ORIGIN_KIND_LABEL,
    ORIGIN_NAME_LABEL,
    RAY_CLUSTER_LABEL,
    SERVE_LABEL,
    SERVE_SERVICE_ANNOTATION,
    WORKER_NODE_TYPE,
)
from rayfleet.objects.meta import annotation, labels_of, name_of, namespace_of
from rayfleet.objects.ray_spec import hosts_of, worker_groups
from rayfleet.objects.selectors import has_all

_DEFAULT_PORTS = {"client": 10001, "gcs-server": 6379, "dashboard": 8265, "metrics": 8080, "serve": 8000}


def build_head_service(cluster: ReadOnlyJson) -> Json:
    """Return the head Service.

    Headless and publishing addresses that are not ready, so that workers can join before the engine.
    """
    group = cluster["spec"]["headGroupSpec"]
    selector = head_service_labels(cluster)
    template_labels = labels_of(group["template"])
    if APP_LABEL in template_labels:
        selector[APP_LABEL] = template_labels[APP_LABEL]
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
    if not any(hosts_of(group) > 1 for group in worker_groups(cluster["spec"])):
        return None
    name = name_of(cluster)
    spec = {
        "clusterIP": "None",
        "selector": {RAY_CLUSTER_LABEL: name, NODE_TYPE_LABEL: WORKER_NODE_TYPE},
        "type": "ClusterIP",
        "publishNotReadyAddresses": True,
    }
    return _service(cluster, f"{name}-headless", {HEADLESS_WORKER_LABEL: name}, spec)


def build_serve_service(cluster: ReadOnlyJson) -> Json | None:
    """Return the Service of Ray Serve: all pods of the cluster.

    None when it is not asked for or no port is called serve.
    """
    if annotation(cluster, SERVE_SERVICE_ANNOTATION) != "true":
        return None
    ports = [
        {"name": port["name"], "port": port["port"]}
        for port in _ports(cluster)
        if port["name"] == "serve" or port["name"].startswith("serve-")
    ]
    if not ports:
        return None
    name = name_of(cluster)
    labels = {
        ORIGIN_NAME_LABEL: name,
        ORIGIN_KIND_LABEL: RAY_CLUSTERS.kind,
        SERVE_LABEL: f"{name}-serve",
    }
    return _service(cluster, f"{name}-serve-svc", labels, {"selector": {RAY_CLUSTER_LABEL: name}, "ports": ports})


def build_auth_secret(cluster: ReadOnlyJson, token: bytes) -> Json | None:
    """Return the Secret with the cluster's token (written as base64).

    None when none is wanted, or the user names an own one.
    """
    options = cluster["spec"].get("authOptions") or {}
    if not wants_token(cluster) or options.get("secretName") or options.get("enableK8sTokenAuth"):
        return None
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": {
            "name": auth_secret_name(cluster),
            "namespace": namespace_of(cluster),
            "labels": {RAY_CLUSTER_LABEL: name_of(cluster)},
            "ownerReferences": [owned_by(cluster)],
        },
        "type": "Opaque",
        "data": {AUTH_KEY: base64.b64encode(base64.b64encode(token)).decode()},
    }


def head_service_labels(cluster: ReadOnlyJson) -> dict[str, str]:
    """Return the labels by which a head Service is known."""
    name = name_of(cluster)
    return {
        RAY_CLUSTER_LABEL: name,
        NODE_TYPE_LABEL: HEAD_NODE_TYPE,
        IDENTIFIER_LABEL: label_value(f"{name}-head"),
        APP_LABEL: "kuberay",
        CREATED_BY_LABEL: "kuberay-operator",
    }


def head_services(cluster: ReadOnlyJson, services: Sequence[ReadOnlyJson]) -> tuple[ReadOnlyJson, ...]:
    """Return those of a namespace's Services that KubeRay takes for the head's, whoever made them."""
    labels = head_service_labels(cluster)
    keys = (RAY_CLUSTER_LABEL, NODE_TYPE_LABEL, IDENTIFIER_LABEL)
    asked = {key: labels[key] for key in keys}
    return tuple(service for service in services if has_all(asked, labels_of(service)))


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
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": {
            "name": name,
            "namespace": namespace_of(cluster),
            "labels": dict(labels),
            "ownerReferences": [owned_by(cluster)],
        },
        "spec": spec,
    }


def _ports(cluster: ReadOnlyJson) -> list[Json]:
    """Return the Ray container's ports, or Ray's own; sorted by name."""
    declared = cluster["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0].get("ports") or ()
    ports = {port.get("name") or f"{port['containerPort']}-port": port["containerPort"] for port in declared}
    ports = ports or dict(_DEFAULT_PORTS)
    ports.setdefault("metrics", 8080)
    return [{"name": name, "port": port, "appProtocol": "tcp"} for name, port in sorted(ports.items())]
