"""The probes that KubeRay gives to a Ray container without any.

Pure. Source: KubeRay common/pod.go and utils/constant.go (1.6).

They test raylet and GCS, never the engine.
"""

from collections.abc import Mapping

from rayfleet.local.kuberay.start_command import AGENT_PORT, DASHBOARD_PORT
from rayfleet.model.json import Json
from rayfleet.objects.ray_spec import ray_version_of

_HTTP_SINCE = (2, 53)


def add_probes(container: Json, params: Mapping[str, str], ray_version: str, *, is_head: bool) -> None:
    """Set each of the two probes that the user has not set.

    Ray 2.53 and later answer HTTP; the others are asked by wget.
    """
    action = _action(params, ray_version, is_head=is_head)
    timeout = 5 if is_head else 2  # the head's command asks two servers
    common = {"timeoutSeconds": timeout, "periodSeconds": 5, "successThreshold": 1}
    if not container.get("livenessProbe"):
        container["livenessProbe"] = {**action, **common, "initialDelaySeconds": 30, "failureThreshold": 120}
    if not container.get("readinessProbe"):
        container["readinessProbe"] = {**action, **common, "initialDelaySeconds": 10, "failureThreshold": 10}


def _action(params: Mapping[str, str], ray_version: str, *, is_head: bool) -> Json:
    agent = _port(params, "dashboard-agent-listen-port", AGENT_PORT)
    if (ray_version_of(ray_version) or (0, 0)) >= _HTTP_SINCE:
        return {"httpGet": {"path": "/api/healthz", "port": agent}}
    commands = [_wget(2, agent, "api/local_raylet_healthz")]
    if is_head:
        # Ten seconds are a slip of KubeRay's (it formats the failure threshold there); the kubelet's time-out is 5 s
        # anyway.
        commands.append(_wget(10, _port(params, "dashboard-port", DASHBOARD_PORT), "api/gcs_healthz"))
    return {"exec": {"command": ["bash", "-c", " && ".join(commands)]}}


def _port(params: Mapping[str, str], flag: str, default: int) -> int:
    return int(params[flag]) if params.get(flag, "").isdecimal() else default


def _wget(seconds: int, port: int, path: str) -> str:
    return f"wget --tries 1 -T {seconds} -q -O- http://localhost:{port}/{path} | grep success"
