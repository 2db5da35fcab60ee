"""A plan: what to write now, as values. Pure.

An executor carries ``actions`` out in order and stops at the first that fails; only then are ``events`` recorded. The
plan of a state that is as it should be has no actions and no events: a second pass writes nothing. Every write of an
object that exists names its UID (and the version it was decided on), so a stale view can change no successor.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from rayfleet.model.fleet import FleetStatus, ReplicaSetStatus
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, RAY_CLUSTERS, REPLICA_SETS, SERVICES, ResourceType


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """An object that exists, as it was seen. ``resource_version`` empty: any version will do."""

    key: ObjectKey
    uid: str
    resource_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReplicaSet:
    """Create a replica set; AlreadyExists means the view was stale: look again."""

    resource: ClassVar[ResourceType] = REPLICA_SETS
    manifest: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleReplicaSet:
    """Set ``spec.replicas`` and, in the same write, ``annotations`` (desired and max replicas)."""

    resource: ClassVar[ResourceType] = REPLICA_SETS
    ref: ObjectRef
    replicas: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def patch(self) -> Json:
        """Return the JSON merge patch of the write."""
        return {"metadata": {"annotations": dict(self.annotations)}, "spec": {"replicas": self.replicas}}


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReplicaSet:
    """Merge ``patch`` into a replica set: annotations, ``minReadySeconds``."""

    resource: ClassVar[ResourceType] = REPLICA_SETS
    ref: ObjectRef
    patch: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteReplicaSet:
    """Delete a replica set that history no longer keeps (background: it has no Ray clusters)."""

    resource: ClassVar[ResourceType] = REPLICA_SETS
    ref: ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateFleet:
    """Merge ``patch`` into the fleet itself: its revision annotation. Never touches the spec."""

    resource: ClassVar[ResourceType] = FLEETS
    ref: ObjectRef
    patch: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRayClusters:
    """Create one batch of Ray clusters, all at once; batches grow 1, 2, 4, ... so that a refusal is met early.

    AlreadyExists of one whose controller is the replica set is success (a reply was lost).
    """

    resource: ClassVar[ResourceType] = RAY_CLUSTERS
    manifests: tuple[ReadOnlyJson, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRayCluster:
    """Delete in the foreground, so that the object stays until its pods are gone. NotFound is success."""

    resource: ClassVar[ResourceType] = RAY_CLUSTERS
    ref: ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateService:
    """Create the fleet's Service."""

    resource: ClassVar[ResourceType] = SERVICES
    manifest: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateService:
    """Merge ``patch`` into the fleet's Service: the fields we own that drifted."""

    resource: ClassVar[ResourceType] = SERVICES
    ref: ObjectRef
    patch: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteService:
    """Delete the fleet's Service: the fleet names no model any more."""

    resource: ClassVar[ResourceType] = SERVICES
    ref: ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateHTTPRoute:
    """Create the fleet's HTTPRoute."""

    resource: ClassVar[ResourceType] = HTTP_ROUTES
    manifest: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateHTTPRoute:
    """Merge ``patch`` into the fleet's HTTPRoute: the fields we own that drifted."""

    resource: ClassVar[ResourceType] = HTTP_ROUTES
    ref: ObjectRef
    patch: ReadOnlyJson


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteHTTPRoute:
    """Delete the fleet's HTTPRoute: the fleet names no model any more."""

    resource: ClassVar[ResourceType] = HTTP_ROUTES
    ref: ObjectRef


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStatus:
    """Replace the whole ``status`` of a fleet or a replica set; always the last action, only when it changed.

    As a JSON patch of the status subresource: test ``/metadata/uid``, then add ``/status``.
    """

    resource: ResourceType
    ref: ObjectRef
    status: ReadOnlyJson


Action = (
    CreateReplicaSet
    | ScaleReplicaSet
    | UpdateReplicaSet
    | DeleteReplicaSet
    | UpdateFleet
    | CreateRayClusters
    | DeleteRayCluster
    | CreateService
    | UpdateService
    | DeleteService
    | CreateHTTPRoute
    | UpdateHTTPRoute
    | DeleteHTTPRoute
    | UpdateStatus
)


class EventType(StrEnum):
    """The two types of a Kubernetes event."""

    NORMAL = "Normal"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something to tell the user about the object that was planned for."""

    type: EventType = EventType.NORMAL
    reason: str
    message: str


StatusT = TypeVar("StatusT", FleetStatus, ReplicaSetStatus)


# Without slots: Python 3.11 cannot make a frozen slotted instance through a subscripted generic (`FleetPlan(...)`).
@dataclass(frozen=True, kw_only=True)
class Plan(Generic[StatusT]):
    """What one pass for one object came to.

    ``status`` is what the object's status ought to be now (``actions`` end with its write if it is not).
    ``requeue_after`` is when time alone will change the plan; None: wait for a change.
    """

    actions: tuple[Action, ...] = ()
    status: StatusT
    events: tuple[Event, ...] = ()
    requeue_after: timedelta | None = None


FleetPlan = Plan[FleetStatus]
ReplicaSetPlan = Plan[ReplicaSetStatus]
