"""RayCluster templates that KubeRay refuses, one for each of its reasons, and the nearest that it takes. Pure.

For who says it beforehand (manifests), who says it instead (the stand-in) and who must make nothing of one (fleets).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rayfleet.model.json import Json

_TOKEN = {"authOptions.mode": "token"}
_SCALED = {"enableInTreeAutoscaling": True}
_V2 = {**_SCALED, "autoscalerOptions.version": "v2"}
_TOLERANT = {"gcsFaultToleranceOptions.redisAddress": "redis:6379"}
_HEAD_POD, _WORKER_POD = "headGroupSpec.template.spec", "workerGroupSpecs.0.template.spec"
_HEAD_ENV = f"{_HEAD_POD}.containers.0.env"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTemplate:
    """``fields`` (dotted paths below the spec) make a good template one that KubeRay refuses with ``words``.

    ``path`` is the field at fault, below the spec; ``neighbour`` are the fields of the nearest template that it takes;
    ``annotations`` are the RayCluster's in both.
    """

    name: str
    fields: Mapping[str, Any]
    words: str
    path: str
    neighbour: Mapping[str, Any]
    annotations: Mapping[str, str] = field(default_factory=dict)


def ray_cluster_spec(fields: Mapping[str, Any]) -> Json:
    """Return a spec of a head and one worker group that KubeRay takes, with ``fields`` put into it."""
    spec: Json = {"headGroupSpec": _group(), "workerGroupSpecs": [{"groupName": "a", **_counts(1, 1), **_group()}]}
    for path, value in fields.items():
        *parents, last = path.split(".")
        place: Any = spec
        for name in parents:
            place = place[int(name)] if name.isdecimal() else place.setdefault(name, {})
        place[last] = value
    return spec


def _group() -> Json:
    container: Json = {"name": "ray", "image": "rayproject/ray:2.60.0"}
    return {"rayStartParams": {}, "template": {"spec": {"containers": [container]}}}


def _counts(low: int, high: int) -> Json:
    return {"replicas": low, "minReplicas": low, "maxReplicas": high}


def _env(name: str, value: str = "x") -> Sequence[Json]:
    return [{"name": name, "value": value}]


def _case(
    name: str,
    fields: Mapping[str, Any],
    words: str,
    path: str,
    neighbour: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
) -> RefusedTemplate:
    return RefusedTemplate(
        name=name, fields=fields, words=words, path=path, neighbour=neighbour, annotations=annotations or {}
    )


REFUSED_TEMPLATES = (
    _case(
        "head-without-container",
        {f"{_HEAD_POD}.containers": []},
        "headGroupSpec should have at least one container",
        "headGroupSpec.template.spec.containers",
        {},
    ),
    _case(
        "worker-without-container",
        {f"{_WORKER_POD}.containers": []},
        "workerGroupSpec should have at least one container",
        "workerGroupSpecs[0].template.spec.containers",
        {},
    ),
    _case(
        "resources-twice",
        {"headGroupSpec.resources": {"CPU": "4"}, "headGroupSpec.rayStartParams": {"num-cpus": "2"}},
        "resource fields should not be set in both",
        "headGroupSpec.rayStartParams.num-cpus",
        {"headGroupSpec.resources": {"CPU": "4"}, "headGroupSpec.rayStartParams": {"port": "6379"}},
    ),
    _case(
        "labels-as-parameter",
        {"workerGroupSpecs.0.rayStartParams": {"labels": "a=b"}},
        "rayStartParams['labels'] is not supported for a group",
        "workerGroupSpecs[0].rayStartParams.labels",
        {"workerGroupSpecs.0.labels": {"a": "b"}},
    ),
    _case(
        "negative-count",
        {"workerGroupSpecs.0.minReplicas": -1},
        "worker group a has negative minReplicas -1",
        "workerGroupSpecs[0].minReplicas",
        {"workerGroupSpecs.0.minReplicas": 0},
    ),
    _case(
        "more-than-the-most",
        {"workerGroupSpecs.0.minReplicas": 2},
        "worker group a has minReplicas 2 greater than maxReplicas 1",
        "workerGroupSpecs[0].minReplicas",
        {"workerGroupSpecs.0.minReplicas": 2, "workerGroupSpecs.0.maxReplicas": 2},
    ),
    _case(
        "idle-without-v2",
        {**_SCALED, "workerGroupSpecs.0.idleTimeoutSeconds": 60},
        "idleTimeoutSeconds is set, but autoscaler v2 is not enabled",
        "workerGroupSpecs[0].idleTimeoutSeconds",
        {**_V2, "workerGroupSpecs.0.idleTimeoutSeconds": 60},
    ),
    _case(
        "negative-idle-group",
        {**_V2, "workerGroupSpecs.0.idleTimeoutSeconds": -1},
        "worker group a: idleTimeoutSeconds must be non-negative",
        "workerGroupSpecs[0].idleTimeoutSeconds",
        {**_V2, "workerGroupSpecs.0.idleTimeoutSeconds": 0},
    ),
    _case(
        "negative-idle",
        {**_SCALED, "autoscalerOptions.idleTimeoutSeconds": -1},
        "autoscalerOptions.idleTimeoutSeconds must be non-negative",
        "autoscalerOptions.idleTimeoutSeconds",
        {**_SCALED, "autoscalerOptions.idleTimeoutSeconds": 0},
    ),
    _case(
        "tolerant-twice",
        _TOLERANT,
        "ray.io/ft-enabled annotation and GcsFaultToleranceOptions are both set",
        "gcsFaultToleranceOptions",
        {},
        {"ray.io/ft-enabled": "true"},
    ),
    _case(
        "redis-unseen",
        {_HEAD_ENV: _env("RAY_REDIS_ADDRESS")},
        "RAY_REDIS_ADDRESS is set which implicitly enables",
        "headGroupSpec.template.spec.containers[0].env[0]",
        _TOLERANT,
    ),
    _case(
        "redis-address-twice",
        {**_TOLERANT, _HEAD_ENV: _env("RAY_REDIS_ADDRESS")},
        "cannot set `RAY_REDIS_ADDRESS` env var in head Pod when",
        "headGroupSpec.template.spec.containers[0].env[0]",
        _TOLERANT,
    ),
    _case(
        "redis-password-as-parameter",
        {**_TOLERANT, "headGroupSpec.rayStartParams": {"redis-password": "x"}},
        "cannot set `redis-password` in rayStartParams when",
        "headGroupSpec.rayStartParams.redis-password",
        {**_TOLERANT, "gcsFaultToleranceOptions.redisPassword.value": "x"},
    ),
    _case(
        "redis-password-as-variable",
        {**_TOLERANT, _HEAD_ENV: _env("REDIS_PASSWORD")},
        "cannot set `REDIS_PASSWORD` env var in head Pod when",
        "headGroupSpec.template.spec.containers[0].env[0]",
        {_HEAD_ENV: _env("REDIS_PASSWORD")},
    ),
    _case(
        "redis-username",
        {_HEAD_ENV: _env("REDIS_USERNAME")},
        "cannot set redis username in rayStartParams or environment variables",
        "headGroupSpec.template.spec.containers[0].env[0]",
        {**_TOLERANT, "gcsFaultToleranceOptions.redisUsername.value": "x"},
    ),
    _case(
        "storage-namespace-twice",
        _TOLERANT,
        "cannot set `ray.io/external-storage-namespace` annotation when",
        "gcsFaultToleranceOptions",
        {},
        {"ray.io/external-storage-namespace": "x"},
    ),
    _case(
        "autoscaler-v2-off",
        {_HEAD_ENV: _env("RAY_enable_autoscaler_v2", "1")},
        "environment variable RAY_enable_autoscaler_v2 cannot be set to '1'",
        "headGroupSpec.template.spec.containers[0].env[0]",
        {**_SCALED, _HEAD_ENV: _env("RAY_enable_autoscaler_v2", "1")},
    ),
    _case(
        "autoscaler-v2-twice",
        {**_V2, _HEAD_ENV: _env("RAY_enable_autoscaler_v2", "1")},
        "both .spec.autoscalerOptions.version and head Pod env var RAY_enable_autoscaler_v2 are set",
        "headGroupSpec.template.spec.containers[0].env[0]",
        _V2,
    ),
    _case(
        "suspended-and-scaled",
        {**_SCALED, "workerGroupSpecs.0.suspend": True},
        "worker group a cannot be suspended with Autoscaler enabled",
        "workerGroupSpecs[0].suspend",
        {"workerGroupSpecs.0.suspend": True},
    ),
    _case(
        "restarting-head",
        {**_V2, f"{_HEAD_POD}.restartPolicy": "Always"},
        "restartPolicy for head Pod should be Never or unset",
        "headGroupSpec.template.spec.restartPolicy",
        {**_V2, f"{_HEAD_POD}.restartPolicy": "Never"},
    ),
    _case(
        "restarting-worker",
        {**_V2, f"{_WORKER_POD}.restartPolicy": "OnFailure"},
        "restartPolicy for worker group a should be Never or unset",
        "workerGroupSpecs[0].template.spec.restartPolicy",
        {**_SCALED, f"{_WORKER_POD}.restartPolicy": "OnFailure"},
    ),
    _case(
        "token-of-an-old-ray",
        {**_TOKEN, "rayVersion": "2.51.0"},
        "authOptions.mode is 'token' but minimum Ray version is 2.52.0, got 2.51.0",
        "authOptions.mode",
        {**_TOKEN, "rayVersion": "2.52.0"},
    ),
    _case(
        "token-of-no-ray",
        _TOKEN,
        "authOptions.mode is 'token' but RayVersion was not specified",
        "authOptions.mode",
        {**_TOKEN, "rayVersion": "2.60.0"},
    ),
    _case(
        "token-of-an-unreadable-ray",
        {**_TOKEN, "rayVersion": "nightly"},
        "authOptions.mode is 'token' but RayVersion format is invalid: nightly",
        "authOptions.mode",
        {**_TOKEN, "rayVersion": "2.60.0"},
    ),
    _case(
        "kubernetes-token-of-an-old-ray",
        {**_TOKEN, "rayVersion": "2.54.0", "authOptions.enableK8sTokenAuth": True},
        "authOptions.enableK8sTokenAuth is enabled but minimum Ray version is 2.55.0",
        "authOptions.enableK8sTokenAuth",
        {**_TOKEN, "rayVersion": "2.55.0", "authOptions.enableK8sTokenAuth": True},
    ),
    _case(
        "kubernetes-token-and-secret",
        {
            **_TOKEN,
            "rayVersion": "2.55.0",
            "authOptions.enableK8sTokenAuth": True,
            "authOptions.secretName": "x",
        },
        "authOptions.enableK8sTokenAuth is enabled and authOptions.secretName is also set",
        "authOptions.secretName",
        {**_TOKEN, "rayVersion": "2.55.0", "authOptions.secretName": "x"},
    ),
    _case(
        "kubernetes-token-alone",
        {"authOptions.enableK8sTokenAuth": True, "rayVersion": "2.55.0"},
        "authOptions.enableK8sTokenAuth is enabled but authOptions.mode not set to 'token'",
        "authOptions.enableK8sTokenAuth",
        {"authOptions.enableK8sTokenAuth": False},
    ),
)
