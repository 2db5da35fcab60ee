"""The RayCluster of ``spec.serving``: pods for one machine and for Kubernetes alike. Pure.

What differs between engines comes as data (``LaunchPlan``); the frame is the same for all: fixed ports for Ray's
daemons, plain TCP probes on the Ray container (with any probe of its own there, KubeRay injects none of its), a sidecar
on the head that alone judges the engine, addresses by ``$(POD_IP)`` and never ``0.0.0.0``, and Ray's token
authentication where Ray has it (2.52). An engine that spans its nodes without Ray has a worker group for each rank, the
port of Ray's head service for its ranks to meet at, and probes that hold as long as the container runs: that no process
of it is missing, its script sees to.
"""

import re
from collections.abc import Iterator, Mapping

from rayfleet.manifest.fleet import serving_labels
from rayfleet.model.engine import LaunchPlan, NodeLaunch
from rayfleet.model.fleet import Fleet, RayClusterTemplate
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Drain
from rayfleet.model.ports import ENGINE_PORT, RANKS_PORT, SIDECAR_PORT
from rayfleet.model.serving import Backend, NodeResources, Serving
from rayfleet.objects.labels import (
    MODEL_LABEL,
    MODEL_PORT_LABEL,
    OVERWRITE_COMMAND_ANNOTATION,
    RESTARTED_ANNOTATION,
)
from rayfleet.planning.drain_hooks import grace_seconds, head_hook, worker_hook
from rayfleet.planning.sidecar import engine_flags, metric_flags, pod_ip, sidecar_container
from rayfleet.plugin.checks import checked_engine
from rayfleet.plugin.contracts import Engine

GCS_PORT = 6379
NODE_MANAGER_PORT = 6380
METRICS_PORT = 8090  # Ray's default, 8080, is the sidecar's
RAY_PORTS: Mapping[str, int] = {"gcs-server": GCS_PORT, "client": 10001, "dashboard": 8265, "metrics": METRICS_PORT}
RANK_PORTS: Mapping[str, int] = {"rendezvous": GCS_PORT, "ranks": RANKS_PORT}
WORKER_GROUP = "workers"
RANK_GROUP = "rank"
_TOKEN_RAY_VERSION = (2, 52)

_RAY_ENVIRONMENT: Mapping[str, str] = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
# A lost node is known in about 1 + 3 x 2 seconds; Ray's own default is half a minute.
_HEAD_ENVIRONMENT: Mapping[str, str] = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}


def fleet_template(fleet: Fleet, engines: Mapping[str, Engine]) -> RayClusterTemplate:
    """Return the fleet's template: as written, or rendered by the engine that ``serving`` names.

    Raises ManifestError: there is no such engine, or it cannot do what is asked.
    """
    if fleet.spec.template is not None:
        return fleet.spec.template
    serving = fleet.spec.serving
    assert serving is not None, "a decoded fleet has a template or a serving part"
    engine = checked_engine(fleet, serving, engines)
    return render_template(serving, engine.launch_plan(serving), fleet.meta, fleet.spec.drain)


def render_template(serving: Serving, plan: LaunchPlan, fleet: ObjectMeta, drain: Drain) -> RayClusterTemplate:
    """Return the RayCluster template of one replica: a head with the sidecar, and ``nodes - 1`` workers."""
    version = serving.ray_version or plan.ray_version
    spec: Json = {"rayVersion": version}
    if _wants_token(serving, plan):
        spec["authOptions"] = {"mode": "token"}
    spec["headGroupSpec"] = {
        "rayStartParams": _start_params(plan.head),
        "template": _pod_template(
            serving, [_head_container(serving, plan, drain), _sidecar(serving, plan, drain)], drain
        ),
    }
    if serving.nodes > 1:
        spec["workerGroupSpecs"] = list(_worker_groups(serving, plan, drain))
    labels = serving_labels(fleet, serving.served_model_name)
    if plan.probe.port != ENGINE_PORT:
        labels[MODEL_PORT_LABEL] = str(plan.probe.port)
    annotations = {OVERWRITE_COMMAND_ANNOTATION: "true"}
    if serving.restarted_at:
        annotations[RESTARTED_ANNOTATION] = serving.restarted_at
    return RayClusterTemplate(labels=labels, annotations=annotations, spec=spec)


def _worker_groups(serving: Serving, plan: LaunchPlan, drain: Drain) -> Iterator[Json]:
    """Yield one group of all workers, or one for each rank: a pod knows its group, but not its place in it."""
    groups = {f"{RANK_GROUP}-{rank}": (launch, 1) for rank, launch in enumerate(plan.ranks, 1)}
    for name, (launch, workers) in (groups or {WORKER_GROUP: (plan.worker, serving.nodes - 1)}).items():
        yield {
            "groupName": name,
            "replicas": workers,
            "minReplicas": workers,
            "maxReplicas": workers,
            "rayStartParams": _start_params(launch),
            "template": _pod_template(serving, [_worker_container(serving, plan, launch, drain)], drain),
        }


def _start_params(launch: NodeLaunch) -> Json:
    frame = {"metrics-export-port": str(METRICS_PORT), "node-manager-port": str(NODE_MANAGER_PORT)}
    return {**frame, **launch.ray_start_params}


def _pod_template(serving: Serving, containers: list[ReadOnlyJson], drain: Drain) -> Json:
    spec: Json = {
        "automountServiceAccountToken": False,  # no engine asks the API server, and whoever breaks into one must not
        "terminationGracePeriodSeconds": grace_seconds(drain.timeout_seconds),
        "containers": containers,
    }
    return {"metadata": {"labels": {MODEL_LABEL: serving.served_model_name}}, "spec": spec}


def _head_container(serving: Serving, plan: LaunchPlan, drain: Drain) -> Json:
    is_on_ray = plan.backend is Backend.RAY
    ports = {**(RAY_PORTS if is_on_ray else RANK_PORTS), "serve": plan.probe.port}
    frame = {**_ray_environment(serving, plan), **_HEAD_ENVIRONMENT} if is_on_ray else {}
    return {
        **_ray_container("ray-head", serving, plan, plan.head.script),
        "env": _environment({**frame, **plan.head.environment, **serving.environment}),
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
        **_probes(plan, GCS_PORT),
        "lifecycle": head_hook(drain.timeout_seconds),
    }


def _worker_container(serving: Serving, plan: LaunchPlan, launch: NodeLaunch, drain: Drain) -> Json:
    is_on_ray = plan.backend is Backend.RAY
    frame = _ray_environment(serving, plan) if is_on_ray else {}
    return {
        **_ray_container("ray-worker", serving, plan, launch.script),
        "env": _environment({**frame, **launch.environment, **serving.environment}),
        **({"ports": [{"name": "metrics", "containerPort": METRICS_PORT}]} if is_on_ray else {}),
        **_probes(plan, NODE_MANAGER_PORT),
        "lifecycle": worker_hook(drain.timeout_seconds),
    }


def _ray_environment(serving: Serving, plan: LaunchPlan) -> Mapping[str, str]:
    """Return what every Ray node has; its mode of authentication is said, or a token file that lies about decides."""
    return {**_RAY_ENVIRONMENT, "RAY_AUTH_MODE": "token" if _wants_token(serving, plan) else "disabled"}


def _wants_token(serving: Serving, plan: LaunchPlan) -> bool:
    version = serving.ray_version or plan.ray_version
    return plan.backend is Backend.RAY and _numbers(version) >= _TOKEN_RAY_VERSION


def _ray_container(name: str, serving: Serving, plan: LaunchPlan, script: str) -> Json:
    container: Json = {
        "name": name,
        "image": serving.image or plan.image,
        "command": ["/bin/bash", "-c"],
        "args": [script],
        "terminationMessagePolicy": "FallbackToLogsOnError",  # what a rank said last outlives it, in its pod's status
    }
    amounts = _amounts(serving.resources)
    if amounts:
        container["resources"] = {"limits": amounts, "requests": dict(amounts)}
    return container


def _sidecar(serving: Serving, plan: LaunchPlan, drain: Drain) -> Json:
    probe = plan.probe
    flags = [
        *engine_flags(serving.engine, probe),
        f"--model={serving.served_model_name}",
        f"--expected-ray-nodes={plan.expected_ray_nodes(serving.nodes)}",
        f"--ray-nodes-url=http://$(POD_IP):{probe.nodes_port or probe.port}{probe.nodes_path}",
        f"--linger-seconds={grace_seconds(drain.timeout_seconds)}",
        *metric_flags(probe.traffic, plan.metrics),
    ]
    return sidecar_container(SIDECAR_PORT, flags)


def _probes(plan: LaunchPlan, port: int) -> Json:
    """Return probes of Ray's daemon: ready at once when it listens, restarted after two minutes of silence.

    Without Ray: of the container. KubeRay adds none of its own where there are some, and its own ask Ray.
    """
    if plan.backend is not Backend.RAY:
        runs: Json = {"exec": {"command": ["/bin/bash", "-c", "true"]}, "timeoutSeconds": 10, "failureThreshold": 12}
        return {"readinessProbe": {**runs, "periodSeconds": 5}, "livenessProbe": {**runs, "periodSeconds": 10}}
    return {
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1, "failureThreshold": 3},
        "livenessProbe": {
            "tcpSocket": {"port": port},
            "initialDelaySeconds": 60,
            "periodSeconds": 5,
            "failureThreshold": 24,
        },
    }


def _environment(values: Mapping[str, str]) -> list[Json]:
    """Return the entries by name, ``POD_IP`` first: others may refer to it."""
    return [pod_ip(), *({"name": name, "value": value} for name, value in sorted(values.items()))]


def _amounts(resources: NodeResources) -> Json:
    amounts: Json = {}
    if resources.cpu:
        amounts["cpu"] = resources.cpu
    if resources.memory:
        amounts["memory"] = resources.memory
    if resources.accelerators:
        amounts[resources.accelerator_resource] = str(resources.accelerators)
    return amounts


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])
