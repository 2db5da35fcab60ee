"""An installation for tests: what ``rayfleet install`` prints, and pods beside it that ``restricted`` lets in."""

import subprocess
import sys

from rayfleet.model.json import Json
from rayfleet.testing.realnode.images import CONTROLLER

NAMESPACE = "rayfleet-system"
GATEWAY_URL = f"http://rayfleet-gateway.{NAMESPACE}"
CONTROLLERS, GATEWAY = "rayfleet-controller", "rayfleet-gateway"

_VALUES = "gateway: {autoscaling: {enabled: false}}\n"  # the cluster has no metrics-server


def printed_objects() -> str:
    """Return what is applied, as YAML."""
    command = [sys.executable, "-m", "rayfleet.cli.main", "install", "--values", "/dev/stdin"]
    return subprocess.run(command, input=_VALUES, capture_output=True, text=True, timeout=600, check=True).stdout


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
