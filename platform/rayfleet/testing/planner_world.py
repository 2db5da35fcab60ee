"""A small world for planners.

Objects in memory, writes carried out, Ray clusters that become ready when they are told to. Pure.

No server, no clock, no tasks: a test says who acts next, so any interleaving can be written down and played again.
Writes keep the rules that plans rely on: UID and version preconditions, generations, foreground deletion, merge
patches.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import assert_never

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.ray_cluster import decode_ray_cluster
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.propagation import Propagation
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.objects.parts import copied
from rayfleet.objects.ray_spec import expected_workers
from rayfleet.objects.times import encode_time
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.observed import ObservedFleet, ObservedReplicaSet
from rayfleet.planning.plan import FleetPlan, ReplicaSetPlan
from rayfleet.planning.render import fleet_template
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import (
    Action,
    Create,
    CreateTogether,
    Delete,
    Merge,
    ObjectRef,
    Replace,
)

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Refused(Exception):
    """A write that a server would answer with Conflict or AlreadyExists."""


@dataclass(slots=True, kw_only=True)
class PlannerWorld:
    """One fleet and its objects; kinds map names to objects as a server stores them.

    ``is_waiting``: some plan of the last ``all_passes`` asked to be looked at again later.
    """

    objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    now: datetime = START
    is_waiting: bool = False
    _serial: int = 0

    def apply_fleet(self, manifest: ReadOnlyJson) -> None:
        """Create the fleet, or replace its spec, labels and annotations as a user's apply would."""
        current = next(iter(self._kind("RayClusterFleet").values()), None)
        if current is None:
            self.create(manifest)
            return
        self._write(current, {"spec": None})
        self._write(current, {"spec": copy.deepcopy(manifest["spec"])})

    @property
    def fleet(self) -> Json:
        """Return the fleet as stored."""
        return next(iter(self._kind("RayClusterFleet").values()))

    def change_spec(self, patch: ReadOnlyJson) -> None:
        """Merge ``patch`` into the fleet's spec."""
        self._write(self.fleet, {"spec": patch})

    def observe_fleet(self) -> ObservedFleet:
        """Return what a pass for the fleet reads now."""
        fleet = decode_fleet(self.fleet)
        replica_sets = tuple(decode_replica_set(raw) for raw in self._kind("RayClusterReplicaSet").values())
        return ObservedFleet(
            fleet=fleet,
            template=fleet_template(fleet, {}),
            replica_sets=replica_sets,
            ray_clusters={each.meta.uid: self.clusters_of(each.meta.uid) for each in replica_sets},
            services=tuple(copy.deepcopy(list(self._kind("Service").values()))),
            http_routes=tuple(copy.deepcopy(list(self._kind("HTTPRoute").values()))),
        )

    def observe_replica_set(self, name: str) -> ObservedReplicaSet:
        """Return what a pass for a replica set reads now."""
        replica_set = decode_replica_set(self._kind("RayClusterReplicaSet")[name])
        return ObservedReplicaSet(replica_set=replica_set, ray_clusters=self.clusters_of(replica_set.meta.uid))

    def fleet_pass(self, observed: ObservedFleet | None = None) -> FleetPlan:
        """Plan for the fleet, on an older view when one is given, and carry the plan out up to a refusal."""
        plan = plan_fleet(observed or self.observe_fleet(), self.now)
        self.carry_out(plan.actions)
        return plan

    def replica_set_pass(self, name: str, observed: ObservedReplicaSet | None = None) -> ReplicaSetPlan:
        """Plan for a replica set and carry the plan out."""
        plan = plan_replica_set(observed or self.observe_replica_set(name), self.now)
        self.carry_out(plan.actions)
        return plan

    def all_passes(self) -> list[Action]:
        """Run one pass for everything; return all that was written."""
        plans: list[FleetPlan | ReplicaSetPlan] = [self.fleet_pass()]
        plans += [self.replica_set_pass(name) for name in list(self._kind("RayClusterReplicaSet"))]
        self.is_waiting = any(plan.requeue_after is not None for plan in plans)
        return [action for plan in plans for action in plan.actions]

    def settle(self, rounds: int = 100, on_round: Callable[[], None] = lambda: None) -> int:
        """Let everything happen until a whole round writes nothing and waits for nothing; return the rounds it took."""
        for number in range(rounds):
            written = self.all_passes()
            on_round()
            self.finish_deletions()
            self.make_ready(*self.names())
            self.now += timedelta(seconds=1)
            if not written and not self.all_passes() and not self.is_waiting:
                return number
        raise AssertionError(f"nothing settled in {rounds} rounds; last writes: {self.all_passes()}")

    def carry_out(self, actions: tuple[Action, ...]) -> None:
        """Carry out in order; stop at a refusal, as the executor does."""
        try:
            for action in actions:
                self.carry_out_one(action)
        except Refused:
            return

    def carry_out_one(self, action: Action) -> None:
        """Carry out one write; raises Refused."""
        match action:
            case Create(manifest=manifest):
                self.create(manifest)
            case CreateTogether(manifests=manifests):
                for manifest in manifests:
                    self.create(manifest)
            case Merge(ref=ref, patch=patch):
                self._write(self._stored(action.resource.kind, ref), patch)
            case Delete(ref=ref, propagation=propagation):
                self._delete(action.resource.kind, ref, propagation)
            case Replace(ref=ref, content=content):
                self._stored(action.resource.kind, ref)["status"] = copied(content)
            case _:
                assert_never(action)

    def create(self, manifest: ReadOnlyJson) -> None:
        """Store a new object."""
        raw = copied(manifest)
        name, kind = raw["metadata"]["name"], self._kind(raw["kind"])
        if name in kind:
            raise Refused(name)
        self._serial += 1
        raw["metadata"] |= {
            "uid": f"uid-{self._serial}",
            "generation": 1,
            "resourceVersion": str(self._serial),
            "creationTimestamp": encode_time(self.now),
        }
        kind[name] = raw

    def names(self) -> list[str]:
        """Return the names of all Ray clusters, terminating ones included."""
        return list(self._kind("RayCluster"))

    def clusters(self) -> tuple[RayCluster, ...]:
        """Return all Ray clusters as observed."""
        return tuple(decode_ray_cluster(raw) for raw in self._kind("RayCluster").values())

    def clusters_of(self, replica_set_uid: str) -> tuple[RayCluster, ...]:
        """Return the Ray clusters of one replica set."""
        return tuple(each for each in self.clusters() if each.meta.owner_uid == replica_set_uid)

    def make_ready(self, *names: str) -> None:
        """Let KubeRay report head and workers ready; those that are so already keep their times."""
        for name in names:
            raw = self._kind("RayCluster")[name]
            if not decode_ray_cluster(raw).is_ready:
                self._report(raw, "True", expected_workers(raw["spec"]))

    def make_unready(self, *names: str) -> None:
        """Let KubeRay report a lost head."""
        for name in names:
            self._report(self._kind("RayCluster")[name], "False", 0)

    def finish_deletions(self) -> None:
        """Let the pods of terminating Ray clusters be gone, and with them the objects."""
        kind = self._kind("RayCluster")
        for name in [name for name, raw in kind.items() if "deletionTimestamp" in raw["metadata"]]:
            del kind[name]

    def _report(self, raw: Json, head: str, workers: int) -> None:
        condition = {"type": "HeadPodReady", "status": head, "lastTransitionTime": encode_time(self.now)}
        raw["status"] = {"conditions": [condition], "readyWorkerReplicas": workers}

    def _kind(self, kind: str) -> dict[str, Json]:
        return self.objects.setdefault(kind, {})

    def _delete(self, kind: str, ref: ObjectRef, propagation: Propagation) -> None:
        """Delete at once, or (in the foreground) mark as terminating until ``finish_deletions``."""
        stored = self._stored(kind, ref)
        if propagation is Propagation.FOREGROUND:
            stored["metadata"].setdefault("deletionTimestamp", encode_time(self.now))
        else:
            del self._kind(kind)[ref.key.name]

    def _stored(self, kind: str, ref: ObjectRef) -> Json:
        raw = self._kind(kind).get(ref.key.name)
        if raw is None or raw["metadata"]["uid"] != ref.uid:
            raise Refused(ref.key.name)
        if ref.resource_version and ref.resource_version != raw["metadata"]["resourceVersion"]:
            raise Refused(ref.key.name)
        return raw

    def _write(self, raw: Json, patch: ReadOnlyJson) -> None:
        before = copy.deepcopy(raw.get("spec"))
        _merge(raw, patch)
        self._serial += 1
        raw["metadata"]["resourceVersion"] = str(self._serial)
        raw["metadata"]["generation"] += raw.get("spec") != before


def _merge(target: Json, patch: ReadOnlyJson) -> None:
    """Apply a JSON merge patch (RFC 7396) in place."""
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge(target[name], value)
        else:
            target[name] = copy.deepcopy(value)
