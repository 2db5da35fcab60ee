"""A small world for planners: objects in memory, passes as the controllers make them, Ray clusters that obey a test.

No server, no tasks, no clock that runs: a test says who acts next, so any interleaving can be written down and played
again. A pass reads by the controllers' own steps and ends as ``reconciling.passes`` ends it: at the first write that
fails; after one that was refused for good it plans once more with that failure.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rayfleet.controllers.fleet import AnyObservedFleet, fleet_steps
from rayfleet.controllers.fleet_source import FleetSources
from rayfleet.controllers.replica_set import replica_set_steps
from rayfleet.controllers.route import route_steps
from rayfleet.local.kuberay.controller import ray_cluster_steps
from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.model.fleet import FleetStatus
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.resources import FLEETS, HTTP_ROUTES, PODS, RAY_CLUSTERS, REPLICA_SETS, ResourceType
from rayfleet.objects.conditions import conditions_of, since
from rayfleet.objects.meta import is_terminating, labels_of, name_of, uid_of
from rayfleet.objects.owners import controller_reference, is_controlled_by
from rayfleet.objects.parts import part
from rayfleet.objects.pods import container_names
from rayfleet.objects.ray_spec import desired_workers, expected_workers
from rayfleet.planning.observed import InFlight, ObservedFleet, ObservedReplicaSet, SidecarAnswers, SidecarWords
from rayfleet.planning.plan import FleetPlan, Plan, ReplicaSetPlan
from rayfleet.planning.route.users import names_of_route
from rayfleet.planning.writes import Action, Event, WriteFailure
from rayfleet.plugin.contracts import CommandReader
from rayfleet.reconciling.passes import Steps
from rayfleet.testing.kubelet import SITUATIONS, RayPod, is_bound
from rayfleet.testing.stored_objects import NAMESPACE, Refused, Stale, StoredObjects, with_metadata

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One action that was tried, with its object as it was before; ``problem`` empty: it went well."""

    action: Action
    before: ReadOnlyJson | None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What became of one pass: the writes that were tried, the plan's events that were told, the plan (the last).

    An action's own event was told when its write has no problem.
    """

    writer: str
    writes: tuple[Write, ...]
    events: tuple[Event, ...]
    plan: Plan[Any]


def answered(observation: Any) -> Any:
    """Return what was read, also when the server was asked: one in memory answers at once."""
    if not inspect.isawaitable(observation):
        return observation
    reading = observation.__await__()
    try:
        next(reading)
    except StopIteration as end:
        return end.value
    raise AssertionError("a server in memory answers at once")


class PlannerWorld:
    """One fleet and its objects. ``in_flight`` and ``words`` are what sidecars say, by the UID of the Ray cluster."""

    def __init__(self, readers: Sequence[CommandReader] = ()) -> None:
        self._sources = FleetSources({}, readers)
        self.stored = StoredObjects(START)
        self.in_flight: dict[str, InFlight] = {}
        self.words: dict[str, SidecarWords] = {}

    @property
    def now(self) -> datetime:
        """Return the time that everybody here goes by."""
        return self.stored.now

    @now.setter
    def now(self, now: datetime) -> None:
        self.stored.now = now

    @property
    def objects(self) -> dict[str, dict[str, Json]]:
        """Return the objects by kind and name, as a server stores them."""
        return self.stored.by_kind

    @property
    def fleet(self) -> Json:
        """Return the fleet as stored."""
        return next(iter(self.stored.of_kind(FLEETS.kind).values()))

    def apply_fleet(self, manifest: ReadOnlyJson) -> None:
        """Create the fleet, or replace its spec and labels as a user's apply would."""
        if not self.stored.of_kind(FLEETS.kind):
            self.stored.create(manifest)
            return
        labelled = with_metadata(self.fleet, {"labels": dict(labels_of(manifest))})
        self.stored.put({**labelled, "spec": part(manifest, "spec")})

    def change_spec(self, fields: ReadOnlyJson) -> None:
        """Replace fields of the fleet's spec; None takes one away."""
        spec = {**part(self.fleet, "spec"), **fields}
        self.stored.put({**self.fleet, "spec": {name: value for name, value in spec.items() if value is not None}})

    def observe_fleet(self) -> ObservedFleet:
        """Return what a pass for the fleet, a valid one, reads now."""
        observed = self.observed(FLEETS, name_of(self.fleet))
        assert isinstance(observed, ObservedFleet)
        return observed

    def fleet_pass(self, observed: AnyObservedFleet | None = None) -> FleetPlan:
        """Make a pass for the fleet, on an older view when one is given; return its plan."""
        return self.pass_for(FLEETS, name_of(self.fleet), observed).plan

    def replica_set_pass(self, name: str, observed: ObservedReplicaSet | None = None) -> ReplicaSetPlan:
        """Make a pass for a replica set; return its plan."""
        return self.pass_for(REPLICA_SETS, name, observed).plan

    def pass_for(self, resource: ResourceType, name: str, observed: Any = None) -> Pass:
        """Make a pass for one object."""
        steps = self.steps(resource)
        observed = observed if observed is not None else self.observed(resource, name)
        plan = steps.plan(observed, self.now)
        done, failure = self._carried_out(name, plan)
        if failure is None or steps.with_failure is None:
            return done
        again, _ = self._carried_out(name, steps.plan(steps.with_failure(observed, failure), self.now))
        return Pass(writer=name, writes=(*done.writes, *again.writes), events=again.events, plan=again.plan)

    def observed(self, resource: ResourceType, name: str) -> Any:
        """Return what a pass for one object reads now, also from the server: that answers at once here."""
        steps = self.steps(resource)
        raw = steps.find(ObjectKey(namespace=NAMESPACE, name=name))
        assert raw is not None, f"there is no {resource.kind} {name}"
        return answered(steps.observe(raw))

    def steps(self, resource: ResourceType) -> Steps[Any]:
        """Return what the controller of a kind does in a pass, with what is there now."""
        every: dict[ResourceType, Steps[Any]] = {
            FLEETS: fleet_steps(self.stored, self._sources, self.stored),
            REPLICA_SETS: replica_set_steps(self.stored, self.stored, self._answers),
            RAY_CLUSTERS: ray_cluster_steps(self.stored),
            HTTP_ROUTES: route_steps(self.stored),
        }
        return every[resource]

    def _answers(self) -> SidecarAnswers:
        return SidecarAnswers(in_flight=self.in_flight, words=self.words)

    def passes(self) -> list[Pass]:
        """Make one pass for the fleet, one for each of its replica sets, oldest first, and one for each route."""
        fleet = self.pass_for(FLEETS, name_of(self.fleet))
        sets = [self.pass_for(REPLICA_SETS, name_of(raw)) for raw in self.replica_sets()]
        return [fleet, *sets, *(self.pass_for(HTTP_ROUTES, name) for name in self.route_names())]

    def route_names(self) -> list[str]:
        """Return the names of all routes that there are or ought to be, without others' objects."""
        named = [name for raw in self.stored.of_kind(FLEETS.kind).values() for name in names_of_route(raw)]
        find = self.steps(HTTP_ROUTES).find
        names = dict.fromkeys((*named, *self.stored.of_kind(HTTP_ROUTES.kind)))
        return [name for name in names if find(ObjectKey(namespace=NAMESPACE, name=name)) is not None]

    def all_passes(self) -> list[Action]:
        """Make one pass for everything; return all writes that were tried."""
        return [write.action for each in self.passes() for write in each.writes]

    def status_after(self, rounds: int = 2) -> FleetStatus:
        """Make so many passes for everything, a second each; return what the fleet says then."""
        for _ in range(rounds):
            self.all_passes()
            self.now += timedelta(seconds=1)
        return self.fleet_pass().status

    def settle(self, rounds: int = 100) -> int:
        """Let everything happen until a whole round writes nothing and waits for nothing; return the rounds it took."""
        for number in range(rounds):
            was_quiet = not self.all_passes()
            self.finish_deletions()
            self.make_ready(*self.names())
            self.now += timedelta(seconds=1)
            if was_quiet and all(not each.writes and each.plan.requeue_after is None for each in self.passes()):
                return number
        raise AssertionError(f"nothing settled in {rounds} rounds; last writes: {self.all_passes()}")

    def replica_sets(self) -> Sequence[ReadOnlyJson]:
        """Return the fleet's replica sets as stored, oldest first."""
        return self.stored.store(REPLICA_SETS).by_owner(uid_of(self.fleet))

    def names(self) -> list[str]:
        """Return the names of all Ray clusters, terminating ones included, oldest first."""
        return list(self.stored.of_kind(RAY_CLUSTERS.kind))

    def clusters(self) -> tuple[RayCluster, ...]:
        """Return all Ray clusters as observed."""
        return tuple(decode_ray_cluster(raw) for raw in self.stored.of_kind(RAY_CLUSTERS.kind).values())

    def make_ready(self, *names: str) -> None:
        """Let KubeRay report head and workers ready; those that are so already keep their times."""
        for name in names:
            raw = self._ray_cluster(name)
            if not decode_ray_cluster(raw).is_ready and not is_terminating(raw):
                self._report(raw, is_head_ready=True, workers=expected_workers(part(raw, "spec")))

    def make_unready(self, *names: str) -> None:
        """Let KubeRay report a lost head, and with it no worker."""
        for name in names:
            self._report(self._ray_cluster(name), is_head_ready=False, workers=0)

    def lose_worker(self, name: str) -> None:
        """Let KubeRay report one worker less than there should be."""
        raw = self._ray_cluster(name)
        self._report(raw, is_head_ready=True, workers=max(0, desired_workers(part(raw, "spec")) - 1))

    def show_pod(self, ray_cluster: str, pod: RayPod, status: ReadOnlyJson) -> None:
        """Let a pod of a Ray cluster have a status; it is made when it is not there."""
        owner = controller_reference(RAY_CLUSTERS, ray_cluster, uid_of(self._ray_cluster(ray_cluster)))
        shown = with_metadata(pod.showing(status), {"ownerReferences": [owner]})
        there = self.stored.of_kind(PODS.kind).get(pod.name)
        if there is None:
            self.stored.create(shown)
        else:
            self.stored.put({**there, "spec": part(shown, "spec"), "status": part(shown, "status")})

    def warm_up_pods(self) -> list[Json]:
        """Return the pods that warm nodes up for the fleet, oldest first."""
        return [raw for raw in self.stored.of_kind(PODS.kind).values() if is_controlled_by(raw, uid_of(self.fleet))]

    def show_warm_up_pods(self, situation: str) -> None:
        """Let all pods that warm nodes up stand as ``kubelet`` calls it; on their nodes, unless that says otherwise."""
        for raw in self.warm_up_pods():
            status = SITUATIONS[situation](self.now, container_names(raw))
            spec = part(raw, "spec") | ({"nodeName": "n"} if is_bound(status) else {})
            self.stored.put({**raw, "spec": spec, "status": status})

    def finish_deletions(self) -> None:
        """Let the pods of terminating Ray clusters be gone, and with them the objects."""
        self.stored.finish_deletions(RAY_CLUSTERS.kind)
        for raw in filter(is_terminating, self.warm_up_pods()):
            self.stored.remove(raw)

    def _ray_cluster(self, name: str) -> Json:
        return self.stored.of_kind(RAY_CLUSTERS.kind)[name]

    def _report(self, raw: ReadOnlyJson, *, is_head_ready: bool, workers: int) -> None:
        status = "True" if is_head_ready else "False"
        changed = since(conditions_of(raw), "HeadPodReady", status, self.now)
        condition = {"type": "HeadPodReady", "status": status, "lastTransitionTime": changed}
        report = {"conditions": [condition], "readyWorkerReplicas": workers}
        self.stored.put_status(RAY_CLUSTERS.kind, name_of(raw), report)

    def _carried_out(self, writer: str, plan: Plan[Any]) -> tuple[Pass, WriteFailure | None]:
        """Write in order up to the first failure; return that too when it is one to plan again with."""
        assert plan.is_ordered, "the order of the others' writes is nobody's business here"
        writes: list[Write] = []
        for action in plan.actions:
            before = self.stored.named(action)
            try:
                self.stored.apply(action)
            except (Stale, Refused) as error:
                problem = str(error)
                writes.append(Write(action=action, before=before, problem=problem))
                failure = WriteFailure(action=action, message=problem) if isinstance(error, Refused) else None
                return Pass(writer=writer, writes=tuple(writes), events=(), plan=plan), failure
            writes.append(Write(action=action, before=before))
        return Pass(writer=writer, writes=tuple(writes), events=plan.events, plan=plan), None
