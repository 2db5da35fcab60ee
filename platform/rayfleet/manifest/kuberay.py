"""What KubeRay refuses in a RayCluster's spec: one list, in KubeRay's order, for who is refused and who refuses. Pure.

KubeRay answers such a spec with an Event alone: no condition, no pods, no second look. So ``ray_template`` says it
before, with the field; the stand-in for KubeRay (``rayfleet.local.kuberay``) says it in KubeRay's own words.

Source: KubeRay ray-operator/controllers/ray/utils/validation.go (1.6), ``ValidateRayClusterSpec``. What types and enums
of its definition refuse is not here; parts of a wrong type count as absent. Nor is a group without ``minReplicas`` or
``maxReplicas``: the definition fills them in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeGuard

from rayfleet.manifest.checking import child_path, shown
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.labels import FAULT_TOLERANCE_ANNOTATION
from rayfleet.objects.parts import mapping, mappings, part
from rayfleet.objects.ray_spec import (
    containers,
    has_autoscaler,
    head_group,
    is_suspended,
    pod_spec,
    ray_version_of,
    worker_groups,
)

RESOURCE_PARAMS = ("num-cpus", "num-gpus", "memory", "resources")
_TOKEN_SINCE, _KUBERNETES_TOKEN_SINCE = (2, 52), (2, 55)
_EXTERNAL_STORAGE_ANNOTATION = "ray.io/external-storage-namespace"
_AUTOSCALER_V2 = "RAY_enable_autoscaler_v2"
_NO_POD_SPEC = "needs at least one container; the first one runs Ray"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecRefusal:
    """``path`` is the field, ``words`` what KubeRay's Event says, ``advice`` what a person is told of that field."""

    path: str
    words: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Group:
    """A group with the name that KubeRay's words use, and where it stands."""

    name: str
    path: str
    raw: Json

    @property
    def params(self) -> Json:
        return mapping(self.raw.get("rayStartParams"))


def kuberay_refusals(spec: ReadOnlyJson, annotations: ReadOnlyJson, path: str) -> Iterator[SpecRefusal]:
    """Yield everything that KubeRay refuses; it tells only the first. ``annotations`` are the RayCluster's."""
    head = _Group("Head", child_path(path, "headGroupSpec"), head_group(spec))
    groups = _workers(spec, child_path(path, "workerGroupSpecs"))
    if not containers(head.raw):
        yield _without_container(head, "headGroupSpec")
    yield from _start_params(head)
    for group in groups:
        yield from _worker(group, spec, head)
    yield from _fault_tolerance(spec, annotations, head, path)
    yield from _autoscaling(spec, head, groups, path)
    yield from _authentication(spec, path)


def _workers(spec: ReadOnlyJson, path: str) -> Sequence[_Group]:
    listed = spec.get("workerGroupSpecs")
    places = [place for place, raw in enumerate(listed if isinstance(listed, list) else ()) if isinstance(raw, dict)]
    named = zip(places, worker_groups(spec), strict=True)
    return [_Group(str(raw.get("groupName") or ""), f"{path}[{place}]", raw) for place, raw in named]


def _without_container(group: _Group, kind: str) -> SpecRefusal:
    return SpecRefusal(
        path=f"{group.path}.template.spec.containers",
        words=f"{kind} should have at least one container",
        advice=_NO_POD_SPEC,
    )


def _start_params(group: _Group) -> Iterator[SpecRefusal]:
    here = f"{group.path}.rayStartParams"
    mixed = [name for name in RESOURCE_PARAMS if group.params.get(name)] if group.raw.get("resources") else []
    if mixed:
        both = "resource fields should not be set in both rayStartParams and Resources"
        yield SpecRefusal(
            path=child_path(here, mixed[0]),
            words=f"{both} for {group.name} group; please use only one",
            advice=f"cannot be given together with {group.path}.resources: KubeRay refuses the mix",
        )
    if "labels" in group.params:
        instead = "please use the top-level Labels field instead"
        yield SpecRefusal(
            path=f"{here}.labels",
            words=f"rayStartParams['labels'] is not supported for {group.name} group; {instead}",
            advice=f"is not allowed here: use {group.path}.labels",
        )


def _worker(group: _Group, spec: ReadOnlyJson, head: _Group) -> Iterator[SpecRefusal]:
    if not containers(group.raw):
        yield _without_container(group, "workerGroupSpec")
    yield from _worker_counts(group)
    yield from _start_params(group)
    seconds = group.raw.get("idleTimeoutSeconds")
    here = f"{group.path}.idleTimeoutSeconds"
    if _is_number(seconds) and seconds < 0:
        words = f"worker group {group.name}: idleTimeoutSeconds must be non-negative, got {seconds}"
        yield SpecRefusal(path=here, words=words, advice=f"{seconds} must be at least 0")
    elif _is_number(seconds) and not (_is_autoscaler_v2(spec) or _given(head, _AUTOSCALER_V2) in {"1", "true"}):
        yield SpecRefusal(
            path=here,
            words=f"worker group {group.name}: idleTimeoutSeconds is set, but autoscaler v2 is not enabled",
            advice="works with autoscaler v2 only: set autoscalerOptions.version to v2, or leave it out",
        )


def _worker_counts(group: _Group) -> Iterator[SpecRefusal]:
    low, high = group.raw.get("minReplicas"), group.raw.get("maxReplicas")
    for field, value in (("minReplicas", low), ("maxReplicas", high)):
        if _is_number(value) and value < 0:
            words = f"worker group {group.name} has negative {field} {value}"
            yield SpecRefusal(path=f"{group.path}.{field}", words=words, advice=f"{value} must be at least 0")
    if _is_number(low) and _is_number(high) and low > high:
        words = f"worker group {group.name} has minReplicas {low} greater than maxReplicas {high}"
        yield SpecRefusal(
            path=f"{group.path}.minReplicas", words=words, advice=f"{low} is more than maxReplicas {high}"
        )


def _fault_tolerance(spec: ReadOnlyJson, annotations: ReadOnlyJson, head: _Group, path: str) -> Iterator[SpecRefusal]:
    options = child_path(path, "gcsFaultToleranceOptions")
    # KubeRay asks whether the part is there, not whether it says anything.
    has_options = isinstance(spec.get("gcsFaultToleranceOptions"), dict)
    noted = str(annotations.get(FAULT_TOLERANCE_ANNOTATION) or "")
    if noted and has_options:
        yield SpecRefusal(
            path=options,
            words=f"{FAULT_TOLERANCE_ANNOTATION} annotation and GcsFaultToleranceOptions are both set. "
            "Please use only GcsFaultToleranceOptions to configure GCS fault tolerance",
            advice=f"cannot be given together with the annotation {FAULT_TOLERANCE_ANNOTATION}",
        )
    if _given(head, "RAY_REDIS_ADDRESS") is not None and not (has_options or noted.lower() == "true"):
        yield SpecRefusal(
            path=_environment_path(head, "RAY_REDIS_ADDRESS"),
            words="RAY_REDIS_ADDRESS is set which implicitly enables GCS fault tolerance, but GcsFaultToleranceOptions "
            "is not set. Please set GcsFaultToleranceOptions to enable GCS fault tolerance",
            advice=f"switches fault tolerance on unseen: use {options}.redisAddress",
        )
    if has_options:
        yield from _doubled_redis(head, annotations, options)
    for field, is_set in (
        (f"{head.path}.rayStartParams.redis-username", bool(head.params.get("redis-username"))),
        (_environment_path(head, "REDIS_USERNAME"), _given(head, "REDIS_USERNAME") is not None),
    ):
        if is_set:
            yield SpecRefusal(
                path=field,
                words="cannot set redis username in rayStartParams or environment variables"
                " - use GcsFaultToleranceOptions.RedisUsername instead",
                advice=f"is refused: use {options}.redisUsername",
            )


def _doubled_redis(head: _Group, annotations: ReadOnlyJson, options: str) -> Iterator[SpecRefusal]:
    doubled = (
        ("`redis-password` in rayStartParams", "RedisPassword", f"{head.path}.rayStartParams.redis-password"),
        ("`REDIS_PASSWORD` env var in head Pod", "RedisPassword", _environment_path(head, "REDIS_PASSWORD")),
        ("`RAY_REDIS_ADDRESS` env var in head Pod", "RedisAddress", _environment_path(head, "RAY_REDIS_ADDRESS")),
        (f"`{_EXTERNAL_STORAGE_ANNOTATION}` annotation", "ExternalStorageNamespace", options),
    )
    is_set = (
        bool(head.params.get("redis-password")),
        _given(head, "REDIS_PASSWORD") is not None,
        _given(head, "RAY_REDIS_ADDRESS") is not None,
        bool(annotations.get(_EXTERNAL_STORAGE_ANNOTATION)),
    )
    for (what, field, path), is_there in zip(doubled, is_set, strict=True):
        if is_there:
            enabled = "when GcsFaultToleranceOptions is enabled"
            yield SpecRefusal(
                path=path,
                words=f"cannot set {what} {enabled} - use GcsFaultToleranceOptions.{field} instead",
                advice=f"{what} cannot be given together with {options}: use its {field[0].lower()}{field[1:]}",
            )


def _autoscaling(spec: ReadOnlyJson, head: _Group, groups: Sequence[_Group], path: str) -> Iterator[SpecRefusal]:
    value = _given(head, _AUTOSCALER_V2)
    here = _environment_path(head, _AUTOSCALER_V2)
    if not has_autoscaler(spec):
        if value in {"1", "true"}:
            yield SpecRefusal(
                path=here,
                words=f"environment variable {_AUTOSCALER_V2} cannot be set to '{value}' when enableInTreeAutoscaling "
                "is false. Please set enableInTreeAutoscaling: true to use autoscaler v2",
                advice=f"needs {path}.enableInTreeAutoscaling: true",
            )
    else:
        for group in groups:
            if is_suspended(group.raw):
                words = f"worker group {group.name} cannot be suspended with Autoscaler enabled"
                advice = "true cannot be combined with enableInTreeAutoscaling"
                yield SpecRefusal(path=f"{group.path}.suspend", words=words, advice=advice)
        if value is not None and part(spec, "autoscalerOptions").get("version"):
            both = f"both .spec.autoscalerOptions.version and head Pod env var {_AUTOSCALER_V2} are set"
            advice = f"says again what {path}.autoscalerOptions.version says: use the latter alone"
            yield SpecRefusal(path=here, words=f"{both}, please only use the former", advice=advice)
        if _is_autoscaler_v2(spec):
            yield from _restart_policies(head, groups)
    seconds = part(spec, "autoscalerOptions").get("idleTimeoutSeconds")
    if _is_number(seconds) and seconds < 0:
        words = f"autoscalerOptions.idleTimeoutSeconds must be non-negative, got {seconds}"
        there = f"{path}.autoscalerOptions.idleTimeoutSeconds"
        yield SpecRefusal(path=there, words=words, advice=f"{seconds} must be at least 0")


def _restart_policies(head: _Group, groups: Sequence[_Group]) -> Iterator[SpecRefusal]:
    for group, subject in ((head, "head Pod"), *((each, f"worker group {each.name}") for each in groups)):
        policy = pod_spec(group.raw).get("restartPolicy")
        if policy not in {None, "", "Never"}:
            yield SpecRefusal(
                path=f"{group.path}.template.spec.restartPolicy",
                words=f"restartPolicy for {subject} should be Never or unset when using autoscaler V2",
                advice=f"{shown(policy)} cannot be combined with autoscaler v2: write Never, or leave it out",
            )


def _authentication(spec: ReadOnlyJson, path: str) -> Iterator[SpecRefusal]:
    options = part(spec, "authOptions")
    has_kubernetes = options.get("enableK8sTokenAuth") is True
    kubernetes = f"{path}.authOptions.enableK8sTokenAuth"
    if options.get("mode") != "token":
        if has_kubernetes:
            words = "authOptions.enableK8sTokenAuth is enabled but authOptions.mode not set to 'token'"
            yield SpecRefusal(path=kubernetes, words=words, advice=f"needs {path}.authOptions.mode: token")
        return
    text = spec.get("rayVersion")
    version = ray_version_of(text) if isinstance(text, str) else None
    if version is None or version < _TOKEN_SINCE:
        yield SpecRefusal(
            path=f"{path}.authOptions.mode",
            words=f"authOptions.mode is 'token' but {_version_words(text, version)}",
            advice=f"token needs rayVersion 2.52.0 or newer, {path}.rayVersion is {shown(text)}",
        )
        return
    if has_kubernetes and version < _KUBERNETES_TOKEN_SINCE:
        yield SpecRefusal(
            path=kubernetes,
            words=f"authOptions.enableK8sTokenAuth is enabled but minimum Ray version is 2.55.0, got {text}",
            advice=f"needs rayVersion 2.55.0 or newer, {path}.rayVersion is {shown(text)}",
        )
    if has_kubernetes and options.get("secretName"):
        yield SpecRefusal(
            path=f"{path}.authOptions.secretName",
            words="authOptions.enableK8sTokenAuth is enabled and authOptions.secretName is also set",
            advice="cannot be given together with enableK8sTokenAuth",
        )


def _version_words(text: object, version: tuple[int, int] | None) -> str:
    if not text:
        return "RayVersion was not specified. Ray version 2.52.0 or later is required"
    if version is None:
        return f"RayVersion format is invalid: {text}"
    return f"minimum Ray version is 2.52.0, got {text}"


def _is_autoscaler_v2(spec: ReadOnlyJson) -> bool:
    return part(spec, "autoscalerOptions").get("version") == "v2"


def _environment(group: _Group) -> Mapping[str, int]:
    """Return where each variable of the Ray container stands."""
    entries = [each for raw in islice(containers(group.raw), 1) for each in mappings(raw.get("env"))]
    return {str(entry.get("name")): place for place, entry in enumerate(entries)}


def _environment_path(group: _Group, name: str) -> str:
    return f"{group.path}.template.spec.containers[0].env[{_environment(group).get(name, 0)}]"


def _given(group: _Group, name: str) -> str | None:
    """Return the value of a variable of the Ray container, empty without a literal one; None when it is not there."""
    for raw in islice(containers(group.raw), 1):
        for entry in mappings(raw.get("env")):
            if entry.get("name") == name:
                return str(entry.get("value") or "")
    return None


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
