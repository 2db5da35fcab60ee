"""Suspension of a Ray cluster: an operation that, once begun, goes on to its end. Pure.

Source: KubeRay utils/util.go (1.6), FindRayClusterSuspendStatus: neither -> Suspending (spec.suspend) -> Suspended (no
pods left) -> neither (spec.suspend false; a removed field does not resume).
"""

from collections.abc import Callable, Sequence
from enum import StrEnum

from rayfleet.model.json import Json, ReadOnlyJson

Put = Callable[[str, str, str, str], None]
"""Set a condition: type, status, reason, message."""


class Suspension(StrEnum):
    """Where the operation stands; the values are the conditions' types."""

    NONE = ""
    GOING_ON = "RayClusterSuspending"
    DONE = "RayClusterSuspended"


def suspension_of(cluster: ReadOnlyJson) -> Suspension:
    """Return where the suspension stands, by the stored conditions."""
    conditions: Sequence[Json] = (cluster.get("status") or {}).get("conditions") or ()
    for entry in conditions:
        if entry["type"] in (Suspension.GOING_ON, Suspension.DONE) and entry["status"] == "True":
            return Suspension(entry["type"])
    return Suspension.NONE


def put_suspension(cluster: ReadOnlyJson, *, has_pods: bool, put: Put) -> None:
    """Set the two conditions to what they are after this pass."""
    wanted: bool | None = cluster["spec"].get("suspend")

    def put_flag(kind: Suspension, *, is_true: bool) -> None:
        put(kind.value, "True" if is_true else "False", kind.value, "")

    match suspension_of(cluster):
        case Suspension.GOING_ON if not has_pods:
            put("RayClusterProvisioned", "False", "RayClusterPodsProvisioning", "RayCluster has been suspended")
            put_flag(Suspension.GOING_ON, is_true=False)
            put_flag(Suspension.DONE, is_true=True)
        case Suspension.DONE if wanted is False:
            put_flag(Suspension.DONE, is_true=False)
        case Suspension.NONE:
            put_flag(Suspension.DONE, is_true=False)
            put_flag(Suspension.GOING_ON, is_true=bool(wanted))
        case _:
            pass  # pods are still going, or it stays suspended
