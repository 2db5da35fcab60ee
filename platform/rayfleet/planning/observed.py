"""What one pass read: the only input of a plan besides the time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rayfleet.model.absence import Absence
from rayfleet.model.errors import ManifestError
from rayfleet.model.fleet import Fleet, FleetStatus, RayClusterTemplate, ReplicaSet
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.resources import ResourceType
from rayfleet.planning.claims import Claims
from rayfleet.planning.route.observed import ObservedRoute
from rayfleet.planning.writes import Event, WriteFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedWarmUp:
    """What is known of nodes for a rollout that deletes first.

    ``pods`` are those of its Ray clusters, by the UID of the RayCluster, trimmed. ``bring`` is the command that brings
    the model of the present template, empty for none; ``old_brings`` are those of replica sets, by UID.
    """

    pods: Mapping[str, tuple[ReadOnlyJson, ...]] = field(default_factory=dict)
    bring: str = ""
    old_brings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFleet:
    """A fleet and everything that is, or pretends to be, its own.

    ``manifest`` is the fleet as the API server gave it.
    ``template`` is ``fleet_template(fleet, engines)`` of ``rayfleet.planning.render``: as written, or rendered from
    ``serving``; ``identity`` is ``fleet_identity`` of both. ``replica_sets`` are those controlled by the fleet (by
    owner UID); ``taken_names`` are names that a new one would get and that are there, whosever. ``ray_clusters`` maps
    the UID of a replica set to the Ray clusters that it controls, terminating ones included. ``services`` and
    ``budgets`` (for disruptions) are those controlled by the fleet, as the API server gave them. ``route`` is what is
    known of its model's route, None for a fleet that names no model. ``reachable`` are the UIDs of the Ray clusters
    that requests can reach, None where nobody can tell. ``absences`` are the kinds that cannot be read, of those that a
    cluster may lack. ``claims`` are replica sets that change hands first; ``replica_sets`` has none that is let go.
    ``overlapping`` are the fleets that its selector selects too. ``notes`` are to be told of its manifest, once
    for each generation. ``warm_up`` is None where no rollout warms nodes up; ``warm_up_pods`` are the pods for that
    that the fleet controls. ``overlay`` is the note of ``rayfleet.planning.overlay`` for a new replica set.
    """

    fleet: Fleet
    manifest: ReadOnlyJson
    template: RayClusterTemplate
    identity: str
    replica_sets: tuple[ReplicaSet, ...] = ()
    taken_names: frozenset[str] = frozenset()
    ray_clusters: Mapping[str, tuple[RayCluster, ...]] = field(default_factory=dict)
    services: tuple[ReadOnlyJson, ...] = ()
    absences: Mapping[ResourceType, Absence] = field(default_factory=dict)
    claims: Claims = field(default_factory=Claims)
    overlapping: tuple[str, ...] = ()
    notes: tuple[Event, ...] = ()
    budgets: tuple[ReadOnlyJson, ...] = ()
    route: ObservedRoute | None = None
    reachable: frozenset[str] | None = None
    warm_up: ObservedWarmUp | None = None
    warm_up_pods: tuple[ReadOnlyJson, ...] = ()
    overlay: str = ""
    failure: WriteFailure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedInvalidFleet:
    """A fleet whose manifest cannot be accepted: nothing is created, scaled or deleted for it; the status says why.

    ``replica_sets`` and ``ray_clusters`` as in ObservedFleet, left from when it was valid.
    """

    meta: ObjectMeta
    status: FleetStatus
    error: ManifestError
    replica_sets: tuple[ReplicaSet, ...] = ()
    ray_clusters: Mapping[str, tuple[RayCluster, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """What a sidecar said when it was asked for the requests that run in its replica.

    ``requests`` is its last count. ``idle_looks`` and ``failed_looks`` are how often in a row up to now it counted none
    (long enough after the replica had left its Service) and how often it did not answer.
    """

    requests: int = 0
    idle_looks: int = 0
    failed_looks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarWords:
    """What the sidecar of a head pod says of an engine that is not ready: for words, never for decisions.

    ``reason`` is one of ``planning.replica.obstacles.SidecarReason``; empty when nothing is said, None while it is not
    known what is. ``said_at`` is since when it says just that, ``failed_looks`` how often in a row it did not answer.
    """

    pod: str
    reason: str | None = None
    message: str = ""
    said_at: datetime | None = None
    failed_looks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SidecarAnswers:
    """What is known by asking sidecars, each by the UID of the RayCluster: of drained ones, of those not ready."""

    in_flight: Mapping[str, InFlight] = field(default_factory=dict)
    words: Mapping[str, SidecarWords] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedReplicaSet:
    """A replica set and the Ray clusters that it controls (by owner UID), terminating ones included.

    ``taken_names`` are those of ``places.names_in_question`` that others' RayClusters have. ``pods`` maps the UID of a
    RayCluster to the pods that it controls, as the API server gave them (trimmed), ``pods_absence`` is why none can
    be read; ``answers`` are those of their sidecars. ``claims`` are RayClusters that change hands first;
    ``ray_clusters`` has none that is let go. ``reachable`` as in ObservedFleet. ``number`` is the highest number that a
    Ray cluster is known to have had by a status that waited to be written, 0 where none did.
    """

    replica_set: ReplicaSet
    ray_clusters: tuple[RayCluster, ...] = ()
    taken_names: frozenset[str] = frozenset()
    pods: Mapping[str, tuple[ReadOnlyJson, ...]] = field(default_factory=dict)
    pods_absence: Absence | None = None
    answers: SidecarAnswers = field(default_factory=SidecarAnswers)
    claims: Claims = field(default_factory=Claims)
    reachable: frozenset[str] | None = None
    failure: WriteFailure | None = None
    number: int = 0
