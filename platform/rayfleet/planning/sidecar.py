"""The sidecar's container, as every head gets it: of one that was rendered, and of one that lacked it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

from rayfleet import __version__
from rayfleet.model.engine import EngineProbe, MetricMap, TrafficMetrics
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.plugin.metric_map import encode_metric_map

SIDECAR_NAME = "rayfleet-sidecar"
SIDECAR_IMAGE = f"rayfleet/sidecar:{__version__}"


def pod_ip() -> Json:
    """Return the variable ``POD_IP``, a new one each time: manifests share nothing."""
    return {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}


def _token() -> Json:
    """Return the variable of the token: whoever changes something by the sidecar shows it.

    Without this Secret in the fleet's namespace nobody may.
    """
    secret = {"name": "rayfleet-sidecar", "key": "token", "optional": True}
    return {"name": "RAYFLEET_SIDECAR_TOKEN", "valueFrom": {"secretKeyRef": secret}}


def sidecar_container(port: int, flags: list[str], environment: tuple[ReadOnlyJson, ...] = ()) -> Json:
    """Return the container that listens on ``port``; ``flags`` are the rest of its command line."""
    return {
        "name": SIDECAR_NAME,
        "image": SIDECAR_IMAGE,
        "command": ["rayfleet-sidecar"],
        "args": ["--host=$(POD_IP)", f"--port={port}", *flags],
        "env": [pod_ip(), _token(), *(dict(each) for each in environment)],
        "ports": [{"name": "http", "containerPort": port}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        # A head that keeps to the pod security standard "restricted" still does with it; as whom it runs says the pod.
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        # One refusal takes the pod out of the Service: the sidecar itself decides what is a passing weakness. Its word
        # is always there at once, so three seconds without one are a dead sidecar and not a busy machine.
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": port},
            "periodSeconds": 1,
            "timeoutSeconds": 3,
            "failureThreshold": 1,
        },
        "livenessProbe": {
            "httpGet": {"path": "/healthz", "port": port},
            "initialDelaySeconds": 5,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    }


def engine_flags(engine: str, probe: EngineProbe) -> list[str]:
    """Return which engine it is and where it is asked, as the sidecar's flags."""
    paths = {"--load-path": probe.load_path, "--sleep-path": probe.sleep_path, "--wake-path": probe.wake_path}
    return [
        f"--engine={engine}",
        f"--engine-url=http://$(POD_IP):{probe.port}",
        "--evidence-folder=/tmp/rayfleet-evidence/$(POD_IP)",
        *(f"{flag}={path}" for flag, path in paths.items() if path),
        f"--health-path={probe.health_path}",
        f"--metrics-path={probe.metrics_path}",
    ]


def metric_flags(traffic: TrafficMetrics, metrics: MetricMap) -> Iterator[str]:
    """Yield what the engine's page tells, of its requests and by the common names, as the sidecar's flags."""
    series: Mapping[str, tuple[str, ...]] = {each.name: getattr(traffic, each.name) for each in fields(traffic)}
    yield from (f"--{name}-metrics={' '.join(values)}" for name, values in series.items() if values)
    text = encode_metric_map(metrics)
    if text:
        yield f"--metric-map={text}"
