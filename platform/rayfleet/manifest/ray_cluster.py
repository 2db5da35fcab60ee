"""An observed RayCluster from JSON. Pure; lenient, because the object is KubeRay's."""

from rayfleet.model.conditions import Condition, ConditionStatus
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.objects.conditions import decode_conditions
from rayfleet.objects.meta import decode_meta
from rayfleet.objects.parts import mapping
from rayfleet.objects.ray_spec import accelerators, expected_workers, has_auth_options, is_suspended


def decode_ray_cluster(raw: ReadOnlyJson) -> RayCluster:
    """Return the live facts; a RayCluster without status is one that nothing has looked at yet: not ready."""
    spec, status = mapping(raw.get("spec")), mapping(raw.get("status"))
    conditions = {condition.type: condition for condition in decode_conditions(status.get("conditions"))}
    head = _when_true(conditions.get("HeadPodReady"))
    failure = _when_true(conditions.get("ReplicaFailure"))
    provisioned = _when_true(conditions.get("RayClusterProvisioned"))
    ready_workers = status.get("readyWorkerReplicas")
    return RayCluster(
        meta=decode_meta(raw),
        expected_workers=expected_workers(spec),
        ready_workers=ready_workers if isinstance(ready_workers, int) else 0,
        head_ready_since=head.last_transition_time if head else None,
        accelerators=accelerators(spec),
        failure=(failure.message or failure.reason) if failure else "",
        failure_reason=failure.reason if failure else "",
        is_suspended=is_suspended(spec),
        first_ready_at=provisioned.last_transition_time if provisioned else None,
        has_auth_options=has_auth_options(spec),
        lacks_conditions=status.get("state") == "ready" and not status.get("conditions"),
    )


def _when_true(condition: Condition | None) -> Condition | None:
    return condition if condition is not None and condition.status is ConditionStatus.TRUE else None
