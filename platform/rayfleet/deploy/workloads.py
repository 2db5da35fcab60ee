"""The two Deployments and what belongs to each: budget, Service, autoscaler. Pure.

Their pods keep to the pod security standard ``restricted`` and have a root file system that nobody writes to. Neither
names a user: the images do (a number, so that ``runAsNonRoot`` can be checked), and a cluster may choose another.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rayfleet.deploy.template import ForEach, Item, Joined, Namespace, Value, When
from rayfleet.model.json import Json
from rayfleet.model.resources import DISRUPTION_BUDGETS, SERVICES

CONTROLLER_PORT, GATEWAY_PORT, GATEWAY_ADMIN_PORT = 8002, 8000, 8001
ADMIN = "admin"
"""The name of the port with probes and metrics, of both."""
_SCRATCH = "/tmp"  # noqa: S108 - where a volume is mounted
_GATEWAY_SECONDS = 5 + 60 + 15  # its --lag and --drain, and time to end


def labels_of(component: str) -> Json:
    """Return what selects the pods of ``controller`` or ``gateway``."""
    return {"app.kubernetes.io/name": "rayfleet", "app.kubernetes.io/component": component}


def meta_of(name: str, component: str = "") -> Json:
    """Return the metadata of an object of the installation's namespace; ``component`` empty: of neither alone."""
    labels = labels_of(component) if component else {"app.kubernetes.io/name": "rayfleet"}
    return {"name": name, "namespace": Namespace(), "labels": labels}


def controller_objects() -> list[Any]:
    """Return the controller's Deployment and its budget."""
    arguments: list[Any] = [
        "controller",
        "--leader-election",
        Joined(("--lease-namespace=", Namespace())),
        "--admin-host=0.0.0.0",
        f"--admin-port={CONTROLLER_PORT}",
        Joined(("--log-format=", Value("controller.logFormat"))),
        Joined(("--gateway-name=", Value("routes.gatewayName"))),
        When("routes.gatewayNamespace", Joined(("--gateway-namespace=", Value("routes.gatewayNamespace")))),
        When("routes.gatewayNamespace", Joined(("--gateway-namespace=", Namespace())), not_=True),
        ForEach("controller.extraArguments", Item()),
    ]
    container = {
        "name": "controller",
        "command": ["rayfleet"],
        "args": arguments,
        "ports": [_port(ADMIN, CONTROLLER_PORT)],
    }
    spec = {"replicas": Value("controller.replicas"), **_pods("controller", container, grace_seconds=30)}
    return [_deployment("controller", spec), _budget("controller")]


def gateway_objects() -> list[Any]:
    """Return the gateway's Deployment, Service, budget and autoscaler, if there shall be a gateway."""
    arguments: list[Any] = [
        "--host=0.0.0.0",
        f"--port={GATEWAY_PORT}",
        f"--admin-port={GATEWAY_ADMIN_PORT}",
        Joined(("--log-format=", Value("gateway.logFormat"))),
        "--state-dir=/state",
        ForEach("gateway.extraArguments", Item()),
    ]
    container = {
        "name": "gateway",
        "command": ["rayfleet-gateway"],
        "args": arguments,
        "ports": [_port("http", GATEWAY_PORT), _port(ADMIN, GATEWAY_ADMIN_PORT)],
    }
    spec = {
        "replicas": When("gateway.autoscaling.enabled", Value("gateway.replicas"), not_=True),
        **_pods("gateway", container, grace_seconds=_GATEWAY_SECONDS, folders=(_SCRATCH, "/state")),
    }
    objects = [_deployment("gateway", spec), _service(), _budget("gateway"), _autoscaler()]
    return [When("gateway.enabled", each) for each in objects]


def _deployment(component: str, spec: Json) -> Json:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta_of(f"rayfleet-{component}", component),
        "spec": spec,
    }


def _pods(component: str, container: Json, *, grace_seconds: int, folders: Sequence[str] = (_SCRATCH,)) -> Json:
    """Return a Deployment's selector, way of rolling, and template."""
    volumes = {folder: folder.strip("/") for folder in folders}
    pod = {
        "serviceAccountName": f"rayfleet-{component}",
        "terminationGracePeriodSeconds": grace_seconds,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "imagePullSecrets": When("imagePullSecrets", [ForEach("imagePullSecrets", {"name": Item()})]),
        "priorityClassName": When(f"{component}.priorityClassName", Value(f"{component}.priorityClassName")),
        "nodeSelector": When(f"{component}.nodeSelector", Value(f"{component}.nodeSelector")),
        "tolerations": When(f"{component}.tolerations", Value(f"{component}.tolerations")),
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labels_of(component)},
            }
            for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
        ],
        "containers": [_hardened(component, container, volumes)],
        "volumes": [{"name": name, "emptyDir": {"sizeLimit": "64Mi"}} for name in volumes.values()],
    }
    return {
        "selector": {"matchLabels": labels_of(component)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": {"labels": labels_of(component)}, "spec": pod},
    }


def _hardened(component: str, container: Json, volumes: Mapping[str, str]) -> Json:
    """Return a container with image, probes and volumes (by folder), and with no more rights than it needs."""
    return {
        **container,
        "image": Value(f"{component}.image"),
        "imagePullPolicy": Value("imagePullPolicy"),
        "resources": Value(f"{component}.resources"),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": _probe("/readyz", period_seconds=2, failures=2),
        "livenessProbe": _probe("/healthz", period_seconds=10, failures=3),
        "volumeMounts": [{"name": name, "mountPath": folder} for folder, name in volumes.items()],
    }


def _probe(path: str, *, period_seconds: int, failures: int) -> Json:
    get = {"path": path, "port": ADMIN}
    return {"httpGet": get, "periodSeconds": period_seconds, "timeoutSeconds": 3, "failureThreshold": failures}


def _port(name: str, number: int) -> Json:
    return {"name": name, "containerPort": number, "protocol": "TCP"}


def _budget(component: str) -> Json:
    """Return a budget that lets a drained node go on also where there is one pod alone."""
    return {
        "apiVersion": DISRUPTION_BUDGETS.api_version,
        "kind": DISRUPTION_BUDGETS.kind,
        "metadata": meta_of(f"rayfleet-{component}", component),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels_of(component)}},
    }


def _service() -> Json:
    meta = meta_of("rayfleet-gateway", "gateway")
    annotations = When("gateway.service.annotations", Value("gateway.service.annotations"))
    port = {"name": "http", "port": Value("gateway.service.port"), "targetPort": "http", "protocol": "TCP"}
    return {
        "apiVersion": SERVICES.api_version,
        "kind": SERVICES.kind,
        "metadata": {**meta, "annotations": annotations},
        "spec": {
            "type": Value("gateway.service.type"),
            "selector": labels_of("gateway"),
            "ports": [port],
        },
    }


def _autoscaler() -> When:
    target = {"type": "Utilization", "averageUtilization": Value("gateway.autoscaling.cpuPercent")}
    return When(
        "gateway.autoscaling.enabled",
        {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": meta_of("rayfleet-gateway", "gateway"),
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rayfleet-gateway"},
                "minReplicas": Value("gateway.autoscaling.minReplicas"),
                "maxReplicas": Value("gateway.autoscaling.maxReplicas"),
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            },
        },
    )
