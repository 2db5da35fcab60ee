"""An installation as tests need it: namespace, definitions, roles, two controllers, one gateway with its Service."""

from pathlib import Path

import yaml

import rayfleet
from rayfleet.manifest.crds import fleet_crds
from rayfleet.model.json import Json
from rayfleet.testing.realnode.images import CONTROLLER

NAMESPACE = "rayfleet-system"
GATEWAY_URL = f"http://rayfleet-gateway.{NAMESPACE}:8000"
CONTROLLERS, GATEWAY = "rayfleet-controller", "rayfleet-gateway"

_ROLES = Path(rayfleet.__file__).parent / "deploy" / "rbac"
_ADMIN_PORT = 8001


def objects() -> list[Json]:
    """Return what is applied, in this order."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        *fleet_crds(),
        *(each for path in sorted(_ROLES.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text("utf-8"))),
        _deployment(CONTROLLERS, ["rayfleet", "controller", "--leader-election"], replicas=2),
        _deployment(GATEWAY, ["rayfleet-gateway", "--host=0.0.0.0", f"--admin-port={_ADMIN_PORT}"], replicas=1),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
            "spec": {"selector": {"app": GATEWAY}, "ports": [{"port": 8000}]},
        },
    ]


def restricted_pod(container: Json) -> Json:
    """Return a pod's spec, of one container of our image, that Pod Security's ``restricted`` lets in."""
    return {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                **container,
                "image": CONTROLLER,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }


def _deployment(name: str, command: list[str], *, replicas: int) -> Json:
    pod = restricted_pod({"name": name.removeprefix("rayfleet-"), "command": command})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {**pod, "serviceAccountName": name}},
        },
    }
