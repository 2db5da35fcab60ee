"""An installation for tests: the chart by the real Helm, and pods beside it that Pod Security's ``restricted`` lets in.

The namespace is the one that ``rayfleet install`` prints: Helm's own would not have that standard's label.
"""

import json
import subprocess

from rayfleet.deploy.install import CHART, DEFAULT_NAMESPACE, install_objects
from rayfleet.model.json import Json
from rayfleet.objects.conditions import is_true
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube import HELM_VERSIONS, default_cache, ensure_helm, prometheus_operator_crds
from rayfleet.testing.realnode.images import CONTROLLER
from rayfleet.testing.waiting import wait_until

NAMESPACE = DEFAULT_NAMESPACE
GATEWAY_URL = f"http://rayfleet-gateway.{NAMESPACE}"
CONTROLLERS, GATEWAY = "rayfleet-controller", "rayfleet-gateway"
LIMIT_SECONDS = 600

VALUES: Json = {
    # The cluster has no metrics-server.
    "gateway": {"autoscaling": {"enabled": False}, "resources": {"requests": {"cpu": "100m"}}},
    "controller": {"resources": {"requests": {"cpu": "50m"}}},
    "monitoring": dict.fromkeys(("serviceMonitors", "podMonitor", "rules", "dashboards"), True),
    "networkPolicy": {"enabled": True, "prometheusNamespace": "monitoring", "fleetNamespaces": ["default"]},
}
"""What a small cluster asks for: two cores have to hold a surge beside two of each of ours."""


def install(kubectl: Kubectl) -> None:
    """Install the chart beside the Prometheus operator's kinds, and wait until Helm says that all of it runs."""
    files = [str(file) for file in prometheus_operator_crds(default_cache())]
    for file in files:
        kubectl("create", "-f", file)

    def unserved() -> list[str]:
        return [file for file in files if not is_true(kubectl.object("get", "-f", file), "Established")]

    wait_until(unserved, "the Prometheus operator's kinds are served", LIMIT_SECONDS, holds=lambda left: not left)
    kubectl.apply(next(each for each in install_objects({}) if each["kind"] == "Namespace"))
    flags = ("--wait", f"--timeout={LIMIT_SECONDS}s", "--values", "-")
    helm(kubectl, "install", "rayfleet", str(CHART), *flags, stdin=json.dumps(VALUES))


def helm(kubectl: Kubectl, *arguments: str, stdin: str = "") -> str:
    """Return what the newest Helm printed, on kubectl's cluster and in our namespace."""
    program = ensure_helm(default_cache(), HELM_VERSIONS[-1], progress=print)
    command = [str(program), *arguments, "--namespace", NAMESPACE]
    done = subprocess.run(
        command,
        input=stdin,
        env=kubectl.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS + 30,
        check=False,
    )
    assert done.returncode == 0, f"helm {arguments[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def in_namespace(kubectl: Kubectl) -> Kubectl:
    """Return the same kubectl for the installation's namespace."""
    return Kubectl(program=kubectl.program, environment=kubectl.environment, namespace=NAMESPACE)


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
