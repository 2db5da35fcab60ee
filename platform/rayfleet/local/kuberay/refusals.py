"""What KubeRay refuses with an Event and then silence: no pods, no status. Pure.

Source: KubeRay ray-operator/controllers/ray/utils/validation.go (1.6), ValidateRayClusterMetadata, -Spec, -Status.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rayfleet.manifest.kuberay import kuberay_refusals
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import annotations_of
from rayfleet.objects.ray_spec import has_autoscaler

NAME_LIMIT = 53
_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
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
    """Yield problems; KubeRay tells only the first."""
    spec = cluster["spec"]
    groups = spec.get("workerGroupSpecs") or ()
    if not has_autoscaler(spec):  # our open definition fills in no defaults, so these can be missing here
        for group in groups:
            if group.get("minReplicas") is None or group.get("maxReplicas") is None:
                must = "must set both minReplicas and maxReplicas when autoscaling is disabled"
                yield f"worker group {group.get('groupName', '')} {must}"
    names = [group.get("groupName", "") for group in groups]
    if len(set(names)) != len(names):  # the real one leaves this to its optional webhook, and makes pods without end
        yield "worker group names must be unique"
    yield from (each.words for each in kuberay_refusals(spec, annotations_of(cluster), "spec"))
