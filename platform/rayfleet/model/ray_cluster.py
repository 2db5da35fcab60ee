"""A RayCluster as observed: the live facts of KubeRay's status. Pure.

KubeRay's ``status.state`` and the condition ``RayClusterProvisioned`` are sticky (never withdrawn when a worker dies),
so neither is health: ``HeadPodReady`` and ``readyWorkerReplicas`` are live. What the condition does say is that all
pods have been ready once. ``observedGeneration`` is written only when something else changed: nobody waits for it.
Source: KubeRay ``raycluster_controller.go`` ``calculateStatus`` (v1.5).
"""

from dataclasses import dataclass
from datetime import datetime

from rayfleet.model.meta import ObjectMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class RayCluster:
    """One replica of a fleet.

    ``expected_workers`` counts worker pods as the live spec asks (``minReplicas`` where Ray's autoscaler is on: a
    scale-up is no failure). ``head_ready_since`` is the transition time of ``HeadPodReady`` when it is True, else None.
    ``accelerators`` counts devices that all pods together ask for. ``failure`` is KubeRay's ``ReplicaFailure`` message,
    ``failure_reason`` its reason. ``is_suspended``: somebody (Kueue) has its pods wait. ``first_ready_at``: when all of
    its pods were ready first since it was made or resumed, by KubeRay's word; how it stands now is another question.
    ``has_auth_options``: its spec kept them. ``lacks_conditions``: KubeRay calls it ready and tells no conditions.
    """

    meta: ObjectMeta
    expected_workers: int = 0
    ready_workers: int = 0
    head_ready_since: datetime | None = None
    accelerators: int = 0
    failure: str = ""
    failure_reason: str = ""
    is_suspended: bool = False
    first_ready_at: datetime | None = None
    has_auth_options: bool = False
    lacks_conditions: bool = False

    @property
    def is_terminating(self) -> bool:
        """Whether somebody has asked for its deletion; its pods may still hold accelerators."""
        return self.meta.deleted_at is not None

    @property
    def was_ready(self) -> bool:
        """Whether all of its pods have been ready once."""
        return self.first_ready_at is not None

    @property
    def is_ready(self) -> bool:
        """Whether head and all expected workers are ready now, and it is not on its way out."""
        return (
            not self.is_terminating
            and self.head_ready_since is not None
            and self.ready_workers >= self.expected_workers
        )
