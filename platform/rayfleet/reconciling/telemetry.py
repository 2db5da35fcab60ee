"""What controllers tell of their work, all declared here: passes, queues, writes, and the fleets that they see.

One ``Telemetry`` per process; its page is Prometheus'. Labels are bounded: kinds, verbs, controllers and reasons are
closed lists, fleets are as many as there are. What a fleet's controller does not lead is not on its page: of two
processes only the leader shows fleets. Times to ready and restarts are counted as they are seen to happen, so a new
leader begins at nothing, as counters may. What can be named before it happens begins at 0: Prometheus takes the first
value of a series for no increase, so what appears with its first event would miss that one.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from rayfleet import __version__
from rayfleet.kube.errors import ApiError
from rayfleet.kube.store import Store
from rayfleet.manifest.replica_states import decode_rebuilds, decode_replica_states, written_states
from rayfleet.model.absence import Absence, AbsenceReason
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.replica import NODE_LOST, ReplicaPhase, ReplicaState
from rayfleet.model.resources import FLEETS, ResourceType
from rayfleet.objects.meta import name_of, namespace_of
from rayfleet.objects.owners import controller_of
from rayfleet.objects.parts import part
from rayfleet.planning.replica.stages import STAGES
from rayfleet.planning.replica_set.recovery import REASONS
from rayfleet.planning.writes import Action, Create, CreateTogether, Delete, Merge, Replace, permission_of

PASS_BUCKETS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60)
STAGE_BUCKETS = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 2400)
_RESULTS = ("ok", "stale", "failed", "fault")
_CAUSES = (*REASONS, NODE_LOST, "OOMKilled")
"""Why replicas break: recovery's own reasons, and of those that pods tell the two that come most."""
_MOST_REFUSALS = "Conflict"
_COUNTS: Mapping[str, str] = {
    "replicas": "replicas",
    "ready": "readyReplicas",
    "updated": "updatedReplicas",
    "available": "availableReplicas",
}


class Telemetry:
    """The metrics of one controller process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        build = Gauge("rayfleet_build_info", "The version that runs.", ["version"], registry=self._registry)
        build.labels(__version__).set(1)
        self._leader = self._gauge("leader", "Whether this process leads (without an election it always does).")
        self._passes = self._counter("reconciles", "Passes by how they ended.", "controller", "result")
        self._seconds = Histogram(
            "rayfleet_controller_reconcile_seconds",
            "How long passes took.",
            ["controller"],
            buckets=PASS_BUCKETS,
            registry=self._registry,
        )
        self._writes = self._counter("writes", "Writes by what they were for.", "controller", "kind", "verb", "reason")
        self._refused = self._counter(
            "refused_writes", "Writes that failed, by the server's reason.", "controller", "kind", "verb", "reason"
        )
        self._breaks = self._counter("replica_breaks", "Ready replicas that broke, by cause.", "reason")
        self._rebuilds = self._counter("replica_rebuilds", "Replicas made anew, by cause.", "reason")
        self._stages = Histogram(
            "rayfleet_controller_replica_stage_seconds",
            "What replicas that became ready spent on the way, by stage.",
            ["stage"],
            buckets=STAGE_BUCKETS,
            registry=self._registry,
        )
        for cause in _CAUSES:
            self._breaks.labels(cause)
            self._rebuilds.labels(cause)
        for stage in STAGES:
            self._stages.labels(stage)

    def page(self) -> bytes:
        """Return what is told of the work, in Prometheus' text format: in the loop, whose stores it reads."""
        return generate_latest(self._registry)

    def process_page(self) -> bytes:
        """Return what the kernel says of the process; it reads files, so not in the loop."""
        return generate_latest(self._process)

    def leads(self, is_leader: bool) -> None:
        """Note whether this process leads now."""
        self._leader.set(is_leader)

    def passed(self, controller: str, seconds: float, result: str) -> None:
        """Count one pass; ``result`` is ok, stale, failed or fault."""
        for each in _RESULTS:
            self._passes.labels(controller, each)
        self._passes.labels(controller, result).inc()
        self._seconds.labels(controller).observe(seconds)

    def wrote(self, controller: str, action: Action, error: ApiError | None) -> None:
        """Count the writes of one action that went well, or by ``error`` that it failed."""
        what = (controller, action.resource.kind, _verb(action))
        self._refused.labels(*what, _MOST_REFUSALS)
        if error is not None:
            self._refused.labels(*what, error.reason or type(error).__name__).inc()
            return
        number = len(action.manifests) if isinstance(action, CreateTogether) else 1
        self._writes.labels(*what, _reason(action)).inc(number)

    def shows(self, collect: Callable[[], Iterable[Metric]]) -> None:
        """Let each page show what ``collect`` returns at that moment."""
        self._registry.register(_Collected(collect))

    def hear_replica_set(self, old: ReadOnlyJson | None, new: ReadOnlyJson | None) -> None:
        """Count what became of replicas between two states of a replica set: a listener for its reflector."""
        if old is None or new is None:
            return
        before, after = part(old, "status"), part(new, "status")
        phases = {state.uid: state.phase for state in written_states(before.get("replicaStates"))}
        ready: set[str] = set()
        for state in written_states(after.get("replicaStates")):
            if state.phase == ReplicaPhase.BROKEN and phases.get(state.uid) == ReplicaPhase.READY:
                self._breaks.labels(state.reason).inc()
            if state.phase == ReplicaPhase.READY and phases.get(state.uid) != ReplicaPhase.READY:
                ready.add(state.uid)
        if ready:
            self._became_ready(state for state in decode_replica_states(after["replicaStates"]) if state.uid in ready)
        if before.get("rebuilds") != after.get("rebuilds"):
            known = {(rebuild.index, rebuild.name) for rebuild in decode_rebuilds(before.get("rebuilds"))}
            for rebuild in decode_rebuilds(after.get("rebuilds")):
                if (rebuild.index, rebuild.name) not in known:
                    self._rebuilds.labels(rebuild.reason).inc()

    def _became_ready(self, states: Iterable[ReplicaState]) -> None:
        for state in states:
            for stage, seconds in state.stages.items():
                self._stages.labels(stage).observe(seconds)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"rayfleet_controller_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"rayfleet_controller_{name}", meaning, registry=self._registry)


class _Collected(Collector):
    """A collector whose families are made when a page is asked for."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: a registry would else collect once now, before anything is there."""
        return ()


def queue_families(depths: Mapping[str, int]) -> Iterator[Metric]:
    """Yield how many keys of each controller stand in line. Pure."""
    family = GaugeMetricFamily("rayfleet_controller_queue_depth", "Keys in line.", labels=["controller"])
    for controller, depth in depths.items():
        family.add_metric([controller], depth)
    yield family


def absence_families(kinds: Iterable[ResourceType], absences: Mapping[ResourceType, Absence]) -> Iterator[Metric]:
    """Yield of each kind that is read whether it cannot be now, and why. Pure."""
    family = GaugeMetricFamily(
        "rayfleet_controller_absent_kinds", "Kinds that cannot be read now, by reason.", labels=["kind", "reason"]
    )
    for resource in kinds:
        absence = absences.get(resource)
        for reason in AbsenceReason:
            family.add_metric([resource.kind, reason.value], absence is not None and absence.reason is reason)
    yield family


def fleet_families(fleets: Store, replica_sets: Store) -> Iterator[Metric]:
    """Yield each fleet's counts, and its replicas by phase, as their statuses have them."""
    desired = GaugeMetricFamily(
        "rayfleet_fleet_desired_replicas", "Replicas that are asked for.", labels=["namespace", "fleet"]
    )
    counts = GaugeMetricFamily(
        "rayfleet_fleet_replicas", "Replicas, by what its status counts.", labels=["namespace", "fleet", "state"]
    )
    for fleet in fleets.list():
        where, status = (namespace_of(fleet), name_of(fleet)), part(fleet, "status")
        desired.add_metric(where, _number(part(fleet, "spec").get("replicas"), 1))
        for state, field in _COUNTS.items():
            counts.add_metric([*where, state], _number(status.get(field), 0))
    yield desired
    yield counts
    phases = GaugeMetricFamily(
        "rayfleet_fleet_replica_phase", "Replicas by their phase.", labels=["namespace", "fleet", "phase"]
    )
    for labels, number in _phases(replica_sets).items():
        phases.add_metric(labels, number)
    yield phases


def _phases(replica_sets: Store) -> Tally[tuple[str, str, str]]:
    tally: Tally[tuple[str, str, str]] = Tally()
    for manifest in replica_sets.list():
        owner = controller_of(manifest)
        fleet = owner.name if owner is not None and owner.kind == FLEETS.kind else ""
        tally[namespace_of(manifest), fleet, ReplicaPhase.FAILED] += 0  # an alert asks for it
        for state in written_states(part(manifest, "status").get("replicaStates")):
            tally[namespace_of(manifest), fleet, state.phase] += 1
    return tally


def _verb(action: Action) -> str:
    return permission_of(action).verb.value


def _reason(action: Action) -> str:
    """Return why something is written: the reason of its event, or which part of the object it is."""
    match action:
        case Replace():
            return action.subresource
        case Create() | CreateTogether() | Merge() | Delete():
            return action.event.reason if action.event is not None else ""


def _number(value: object, absent: int) -> int:
    return value if isinstance(value, int) else absent
