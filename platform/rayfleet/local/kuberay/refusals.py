"""What KubeRay refuses with an Event and then silence: no pods, no status. Pure.

Source: KubeRay ray-operator/controllers/ray/utils/validation.go (1.6), ValidateRayClusterMetadata, -Spec, -Status.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rayfleet.local.kuberay.probes import ray_version_of
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.ray_spec import has_autoscaler, is_suspended

NAME_LIMIT = 53
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_RESOURCE_PARAMS = ("num-cpus", "num-gpus", "memory", "resources")
# What a user could ask the real operator for and does not get here.
_NOT_IMITATED = {
    "enableInTreeAutoscaling": "no autoscaler runs",
    "gcsFaultToleranceOptions": "the head's state dies with the head",
    "networkPolicy": "pods of one machine are not kept apart",
    "tlsOptions": "Ray's connections are not encrypted",
    "upgradeStrategy": "a changed spec does not replace pods",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """``reason`` is the Event's; ``problem`` is what is wrong."""

    reason: str
    problem: str

    def message(self, cluster: ReadOnlyJson) -> str:
        """Return the Event's message."""
        part = {"InvalidRayClusterMetadata": "metadata", "InvalidRayClusterStatus": "status"}.get(self.reason, "spec")
        meta = cluster["metadata"]
        return f"The RayCluster {part} is invalid {meta['namespace']}/{meta['name']}: {self.problem}"


def refusal(cluster: ReadOnlyJson) -> Refusal | None:
    """Return why KubeRay would leave the cluster alone, None when it would not."""
    name = cluster["metadata"]["name"]
    if len(name) > NAME_LIMIT:
        problem = f"RayCluster name should be no more than {NAME_LIMIT} characters"
        return Refusal(reason="InvalidRayClusterMetadata", problem=problem)
    if _DNS_1035.fullmatch(name) is None:
        problem = (
            "RayCluster name should be a valid DNS1035 label: it starts with a letter and has a-z, 0-9 and '-' only"
        )
        return Refusal(reason="InvalidRayClusterMetadata", problem=problem)
    problem = next(_spec_problems(cluster), "")
    if problem:
        return Refusal(reason="InvalidRayClusterSpec", problem=problem)
    conditions = {entry["type"]: entry["status"] for entry in (cluster.get("status") or {}).get("conditions") or ()}
    if conditions.get("RayClusterSuspending") == conditions.get("RayClusterSuspended") == "True":
        problem = (
            "invalid RayCluster State: RayClusterSuspending and RayClusterSuspended conditions should not be both true"
        )
        return Refusal(reason="InvalidRayClusterStatus", problem=problem)
    return None


def not_imitated(spec: ReadOnlyJson) -> str:
    """Return a sentence on what the spec asks for and this stand-in does not do; empty when there is nothing."""
    ignored = [f"{field} ({why})" for field, why in _NOT_IMITATED.items() if spec.get(field)]
    if spec["headGroupSpec"].get("enableIngress"):
        ignored.append("headGroupSpec.enableIngress (no ingress is made)")
    if (spec.get("authOptions") or {}).get("enableK8sTokenAuth"):
        ignored.append("authOptions.enableK8sTokenAuth (pods get no token of the API server)")
    return f"the KubeRay stand-in of one machine does not imitate: {', '.join(ignored)}" if ignored else ""


def _spec_problems(cluster: ReadOnlyJson) -> Iterator[str]:
    """Yield problems in KubeRay's order; it tells only the first."""
    spec = cluster["spec"]
    head, groups = spec["headGroupSpec"], spec.get("workerGroupSpecs") or ()
    if not head["template"]["spec"].get("containers"):
        yield "headGroupSpec should have at least one container"
        return
    yield from _group_problems("Head", head)
    for group in groups:
        name = group.get("groupName", "")
        if not group["template"]["spec"].get("containers"):
            yield "workerGroupSpec should have at least one container"
        yield from _replica_problems(name, group, is_autoscaled=has_autoscaler(spec))
        yield from _group_problems(name, group)
    names = [group.get("groupName", "") for group in groups]
    if len(set(names)) != len(names):  # the real one leaves this to its optional webhook, and makes pods without end
        yield "worker group names must be unique"
    yield from _environment_problems(cluster, head, groups)
    yield from _auth_problems(spec)


def _group_problems(name: str, group: ReadOnlyJson) -> Iterator[str]:
    params = group.get("rayStartParams") or {}
    if group.get("resources") and any(params.get(flag) for flag in _RESOURCE_PARAMS):
        both = "resource fields should not be set in both rayStartParams and Resources"
        yield f"{both} for {name} group; please use only one"
    if "labels" in params:
        instead = "please use the top-level Labels field instead"
        yield f"rayStartParams['labels'] is not supported for {name} group; {instead}"


def _replica_problems(name: str, group: ReadOnlyJson, *, is_autoscaled: bool) -> Iterator[str]:
    low, high = group.get("minReplicas"), group.get("maxReplicas")
    if not is_autoscaled and (low is None or high is None):
        yield f"worker group {name} must set both minReplicas and maxReplicas when autoscaling is disabled"
    for field, value in (("minReplicas", low), ("maxReplicas", high)):
        if value is not None and value < 0:
            yield f"worker group {name} has negative {field} {value}"
    if low is not None and high is not None and low > high:
        yield f"worker group {name} has minReplicas {low} greater than maxReplicas {high}"


def _environment_problems(cluster: ReadOnlyJson, head: ReadOnlyJson, groups: Sequence[ReadOnlyJson]) -> Iterator[str]:
    spec, annotations = cluster["spec"], cluster["metadata"].get("annotations") or {}
    given = {entry["name"]: entry for entry in head["template"]["spec"]["containers"][0].get("env") or ()}
    is_tolerant = bool(spec.get("gcsFaultToleranceOptions"))
    if annotations.get("ray.io/ft-enabled") and is_tolerant:
        yield (
            "ray.io/ft-enabled annotation and GcsFaultToleranceOptions are both set. "
            "Please use only GcsFaultToleranceOptions to configure GCS fault tolerance"
        )
    is_tolerant |= annotations.get("ray.io/ft-enabled", "").lower() == "true"
    if "RAY_REDIS_ADDRESS" in given and not is_tolerant:
        yield (
            "RAY_REDIS_ADDRESS is set which implicitly enables GCS fault tolerance, but GcsFaultToleranceOptions "
            "is not set. Please set GcsFaultToleranceOptions to enable GCS fault tolerance"
        )
    value = (given.get("RAY_enable_autoscaler_v2") or {}).get("value", "")
    if value in {"1", "true"} and not has_autoscaler(spec):
        yield (
            f"environment variable RAY_enable_autoscaler_v2 cannot be set to '{value}' when enableInTreeAutoscaling "
            "is false. Please set enableInTreeAutoscaling: true to use autoscaler v2"
        )
    for group in groups:
        if has_autoscaler(spec) and is_suspended(group):
            yield f"worker group {group.get('groupName', '')} cannot be suspended with Autoscaler enabled"


def _auth_problems(spec: ReadOnlyJson) -> Iterator[str]:
    options: Mapping[str, object] = spec.get("authOptions") or {}
    if options.get("mode") != "token":
        if options.get("enableK8sTokenAuth"):
            yield "authOptions.enableK8sTokenAuth is enabled but authOptions.mode not set to 'token'"
        return
    text = str(spec.get("rayVersion") or "")
    if not text:
        yield "authOptions.mode is 'token' but RayVersion was not specified. Ray version 2.52.0 or later is required"
        return
    version = ray_version_of(text)
    if version is None:
        yield f"authOptions.mode is 'token' but RayVersion format is invalid: {text}"
    elif version < (2, 52):
        yield f"authOptions.mode is 'token' but minimum Ray version is 2.52.0, got {text}"
