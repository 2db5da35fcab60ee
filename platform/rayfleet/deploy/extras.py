"""What an installation may have beside its processes: Gateway API objects, network policies, monitoring. Pure."""

from pathlib import PurePosixPath
from typing import Any

from rayfleet.deploy.template import File, ForEach, Item, Namespace, Value, When
from rayfleet.deploy.workloads import (
    ADMIN,
    CONTROLLER_PORT,
    GATEWAY_ADMIN_PORT,
    GATEWAY_PORT,
    labels_of,
    meta_of,
)
from rayfleet.model.json import Json
from rayfleet.model.ports import OVERLAY_PORT, SIDECAR_PORT
from rayfleet.model.resources import CONFIG_MAPS, GATEWAY_API, GATEWAYS
from rayfleet.objects.labels import NODE_TYPE_LABEL, RAY_CLUSTER_LABEL

DASHBOARDS = ("fleets", "gateway", "engines")
RULES_FILE = "files/rules.json"
_NAME_OF_NAMESPACE = "kubernetes.io/metadata.name"
_MONITORING = "monitoring.coreos.com/v1"


def gateway_api_objects() -> list[Any]:
    """Return a GatewayClass and a Gateway for the routes of fleets, each where the values ask for it."""
    gateway_class = {
        "apiVersion": f"{GATEWAY_API}/v1",
        "kind": "GatewayClass",
        "metadata": {"name": Value("gatewayApi.className")},
        "spec": {"controllerName": Value("gatewayApi.controllerName")},
    }
    listener = {
        "name": "http",
        "protocol": "HTTP",
        "port": Value("gatewayApi.port"),
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    gateway = {
        "apiVersion": GATEWAYS.api_version,
        "kind": GATEWAYS.kind,
        "metadata": {**meta_of("rayfleet"), "name": Value("routes.gatewayName")},
        "spec": {"gatewayClassName": Value("gatewayApi.className"), "listeners": [listener]},
    }
    return [
        When("gatewayApi.className", When("gatewayApi.controllerName", gateway_class)),
        When("gatewayApi.className", gateway),
    ]


def network_policies() -> list[Any]:
    """Return who may reach what: clients the gateway, Prometheus the metrics; engines as ``_engine_policy`` says."""
    prometheus = _from_namespace(Value("networkPolicy.prometheusNamespace"))
    controller = _policy(
        meta_of("rayfleet-controller", "controller"),
        {"matchLabels": labels_of("controller")},
        [{"from": [prometheus], "ports": [_port(CONTROLLER_PORT)]}],
    )
    gateway = _policy(
        meta_of("rayfleet-gateway", "gateway"),
        {"matchLabels": labels_of("gateway")},
        [{"ports": [_port(GATEWAY_PORT)]}, {"from": [prometheus], "ports": [_port(GATEWAY_ADMIN_PORT)]}],
    )
    return [
        When("networkPolicy.enabled", controller),
        When("networkPolicy.enabled", When("gateway.enabled", gateway)),
        When("networkPolicy.enabled", ForEach("networkPolicy.fleetNamespaces", _engine_policy(prometheus))),
    ]


def _engine_policy(prometheus: Json) -> Json:
    """Return a policy of a fleets' namespace.

    The pods of its Ray clusters reach one another on every port (Ray and engines choose theirs); the gateway reaches
    all their ports, since an engine may have any; the controller the sidecars, Prometheus sidecars and Ray's metrics.
    """
    ray_pods = {"matchExpressions": [{"key": RAY_CLUSTER_LABEL, "operator": "Exists"}]}
    gateway = {**_from_namespace(Namespace()), "podSelector": {"matchLabels": labels_of("gateway")}}
    controller = {**_from_namespace(Namespace()), "podSelector": {"matchLabels": labels_of("controller")}}
    return _policy(
        {"name": "rayfleet-engines", "namespace": Item(), "labels": {"app.kubernetes.io/name": "rayfleet"}},
        ray_pods,
        [
            {"from": [{"podSelector": ray_pods}]},
            {"from": [gateway]},
            {"from": [controller, prometheus], "ports": [_port(SIDECAR_PORT), _port(OVERLAY_PORT)]},
        ],
    )


def _policy(meta: Json, pods: Json, ingress: list[Json]) -> Json:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta,
        "spec": {"podSelector": pods, "policyTypes": ["Ingress"], "ingress": ingress},
    }


def _from_namespace(name: Value | Namespace) -> Json:
    return {"namespaceSelector": {"matchLabels": {_NAME_OF_NAMESPACE: name}}}


def _port(number: int) -> Json:
    return {"protocol": "TCP", "port": number}


def monitoring_objects() -> list[Any]:
    """Return what tells the Prometheus operator and Grafana of us, each where the values ask for it."""
    return [
        When("monitoring.serviceMonitors", _metrics_service("controller", CONTROLLER_PORT)),
        When("monitoring.serviceMonitors", _service_monitor("controller")),
        When("monitoring.serviceMonitors", When("gateway.enabled", _metrics_service("gateway", GATEWAY_ADMIN_PORT))),
        When("monitoring.serviceMonitors", When("gateway.enabled", _service_monitor("gateway"))),
        When("monitoring.podMonitor", _pod_monitor()),
        When("monitoring.rules", _rules()),
        *(When("monitoring.dashboards", _dashboard(name)) for name in DASHBOARDS),
    ]


def dashboard_file(name: str) -> str:
    """Return where the chart has a dashboard."""
    return str(PurePosixPath("files") / f"{name}.json")


def _metrics_service(component: str, port: int) -> Json:
    meta = meta_of(f"rayfleet-{component}-metrics", component)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**meta, "labels": {**labels_of(component), "rayfleet.io/metrics": "true"}},
        "spec": {
            "clusterIP": "None",
            "selector": labels_of(component),
            "ports": [{"name": ADMIN, "port": port, "targetPort": ADMIN, "protocol": "TCP"}],
        },
    }


def _service_monitor(component: str) -> Json:
    """Return a monitor that keeps the labels of the page: a fleet's ``namespace`` is not the one of our pods."""
    return {
        "apiVersion": _MONITORING,
        "kind": "ServiceMonitor",
        "metadata": _monitored(f"rayfleet-{component}"),
        "spec": {
            "selector": {"matchLabels": {**labels_of(component), "rayfleet.io/metrics": "true"}},
            "endpoints": [{"port": ADMIN, "path": "/metrics", "honorLabels": True}],
        },
    }


def _pod_monitor() -> Json:
    return {
        "apiVersion": _MONITORING,
        "kind": "PodMonitor",
        "metadata": _monitored("rayfleet-engines"),
        "spec": {
            "namespaceSelector": {"any": True},
            "selector": {"matchLabels": {NODE_TYPE_LABEL: "head"}},
            "podMetricsEndpoints": [{"port": "http", "path": "/metrics"}],
        },
    }


def _rules() -> Json:
    return {
        "apiVersion": _MONITORING,
        "kind": "PrometheusRule",
        "metadata": _monitored("rayfleet"),
        "spec": {"groups": File(RULES_FILE, is_json=True)},
    }


def _dashboard(name: str) -> Json:
    return {
        "apiVersion": CONFIG_MAPS.api_version,
        "kind": CONFIG_MAPS.kind,
        "metadata": {
            **meta_of(f"rayfleet-dashboard-{name}"),
            "labels": When("monitoring.dashboardLabels", Value("monitoring.dashboardLabels")),
        },
        "data": {f"rayfleet-{name}.json": File(dashboard_file(name))},
    }


def _monitored(name: str) -> Json:
    labels = When("monitoring.labels", Value("monitoring.labels"))
    return {"name": name, "namespace": Namespace(), "labels": labels}
