"""Suspension of a Ray cluster: an operation that, once begun, goes on to its end. Pure.

Source: KubeRay utils/util.go (1.6), FindRayClusterSuspendStatus: neither -> Suspending (spec.suspend) -> Suspended (no
pods left) -> neither (spec.suspend false; a removed field does not resume).
"""

from collections.abc import Callable
from enum import StrEnum

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.conditions import is_true

Put = Callable[[str, str, str, str], None]
"""Set a condition: type, status, reason, message."""


class Suspension(StrEnum):
    """Where the operation stands; the values are the conditions' types."""

    NONE = ""
    GOING_ON = "RayClusterSuspending"
    DONE = "RayClusterSuspended"


def suspension_of(cluster: ReadOnlyJson) -> Suspension:
    """Return where the suspension stands, by the stored conditions."""
    under_way = (stage for stage in (Suspension.GOING_ON, Suspension.DONE) if is_true(cluster, stage))
    return next(under_way, Suspension.NONE)


def put_suspension(cluster: ReadOnlyJson, *, has_pods: bool, put: Put) -> None:
    """Set the two conditions to what they are after this pass."""
    suspend: bool | None = cluster["spec"].get("suspend")

    def put_flag(kind: Suspension, *, is_true: bool) -> None:
        put(kind.value, "True" if is_true else "False", kind.value, "")

    match suspension_of(cluster):
        case Suspension.GOING_ON if not has_pods:
            put("RayClusterProvisioned", "False", "RayClusterPodsProvisioning", "RayCluster has been suspended")
            put_flag(Suspension.GOING_ON, is_true=False)
            put_flag(Suspension.DONE, is_true=True)
        case Suspension.DONE if suspend is False:
            put_flag(Suspension.DONE, is_true=False)
        case Suspension.NONE:
            put_flag(Suspension.DONE, is_true=False)
            put_flag(Suspension.GOING_ON, is_true=bool(suspend))
        case _:
            pass  # pods are still going, or it stays suspended
