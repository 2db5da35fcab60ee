"""RayClusterFleet and RayClusterReplicaSet. Pure.

As Deployment and ReplicaSet of apps/v1, but a replica is one Ray cluster. Group, kinds and defaults are AIBrix's
(``orchestration.aibrix.ai/v1alpha1``); ``serving`` is rayfleet's own, optional short form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from rayfleet.model.conditions import Condition
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Drain, Recovery, ReplacementPolicy, Route, WarmUp
from rayfleet.model.replica import Rebuild, ReplicaState
from rayfleet.model.serving import Serving


class StrategyType(StrEnum):
    """How a new template replaces an old one."""

    ROLLING_UPDATE = "RollingUpdate"
    RECREATE = "Recreate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """A share of the desired count, in whole percent (``25%``)."""

    value: int

    def __str__(self) -> str:
        return f"{self.value}%"


CountOrPercent = int | Percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Rollout strategy; surge and unavailable count whole Ray clusters and hold for ``RollingUpdate`` only.

    None is what the manifest does not say: 25% each, or what fits the accelerators (``planning.fleet.bounds`` decides).
    """

    type: StrategyType = StrategyType.ROLLING_UPDATE
    max_surge: CountOrPercent | None = None
    max_unavailable: CountOrPercent | None = None
    rollback_on_failure: bool = False
    surge_timeout_seconds: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequirement:
    """One entry of ``matchExpressions``; ``operator`` is In, NotIn, Exists or DoesNotExist."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A label selector; an empty one selects everything."""

    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: tuple[LabelRequirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RayClusterTemplate:
    """What each RayCluster is made from; ``spec`` is KubeRay's and stays open (never pruned, never defaulted here)."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: ReadOnlyJson = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """``spec`` of a fleet after defaulting. Exactly one of ``template`` and ``serving`` is given.

    ``replacement_policy`` None: by accelerators (``TerminationComplete`` with, ``TerminationStarted`` without).
    """

    selector: Selector
    template: RayClusterTemplate | None = None
    serving: Serving | None = None
    replicas: int = 1
    strategy: Strategy = field(default_factory=Strategy)
    min_ready_seconds: int = 0
    revision_history_limit: int = 10
    paused: bool = False
    progress_deadline_seconds: int = 600
    replacement_policy: ReplacementPolicy | None = None
    recovery: Recovery = field(default_factory=Recovery)
    drain: Drain = field(default_factory=Drain)
    warm_up: WarmUp = field(default_factory=WarmUp)
    route: Route = field(default_factory=Route)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """``status`` of a fleet; counts are Ray clusters.

    ``phase``, ``ready`` (``2/3``) and ``model`` repeat in words what ``kubectl get`` shows: printer columns can only
    copy. ``replica_states`` is bounded: those that need a look first. ``revision`` is the number of the present
    template in the history, 0 before it has one.
    """

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    unavailable_replicas: int = 0
    collision_count: int | None = None
    conditions: tuple[Condition, ...] = ()
    scaling_target_selector: str = ""
    terminating_replicas: int = 0
    phase: str = ""
    ready: str = ""
    model: str = ""
    replica_states: tuple[ReplicaState, ...] = ()
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A RayClusterFleet."""

    meta: ObjectMeta
    spec: FleetSpec
    status: FleetStatus = field(default_factory=FleetStatus)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSetSpec:
    """``spec`` of a replica set after defaulting."""

    selector: Selector
    template: RayClusterTemplate
    replicas: int = 1
    min_ready_seconds: int = 0
    replacement_policy: ReplacementPolicy | None = None
    recovery: Recovery = field(default_factory=Recovery)
    drain: Drain = field(default_factory=Drain)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSetStatus:
    """``status`` of a replica set; counts are Ray clusters.

    ``replicas`` leaves terminating ones out. ``ready_since`` maps the UID of a ready Ray cluster to when it was first
    seen so: KubeRay keeps no such time for workers, and ``minReadySeconds`` must survive a restart of the controller.
    ``replica_states`` are all of its Ray clusters; ``rebuilds`` those that recovery counts or that are open, oldest
    first. ``incarnations`` is the highest number that one of its Ray clusters ever had: no name is given twice.
    ``resumed`` is the last value of the annotation that gave Failed ones another budget.
    """

    observed_generation: int = 0
    replicas: int = 0
    fully_labeled_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    terminating_replicas: int = 0
    ready_since: Mapping[str, datetime] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    replica_states: tuple[ReplicaState, ...] = ()
    rebuilds: tuple[Rebuild, ...] = ()
    incarnations: int = 0
    resumed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaSet:
    """A RayClusterReplicaSet: the Ray clusters of one template revision."""

    meta: ObjectMeta
    spec: ReplicaSetSpec
    status: ReplicaSetStatus = field(default_factory=ReplicaSetStatus)
