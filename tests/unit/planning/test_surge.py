"""A surge without spare accelerators: it waits for a while, is withdrawn, and the rollout goes on delete-first."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.json import Json
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.planning.fleet.plan import plan_fleet
from rayfleet.planning.plan import FleetPlan
from rayfleet.planning.writes import Event, Merge
from rayfleet.testing.planner_world import PlannerWorld

TIMEOUT = timedelta(seconds=100)


def template(image: str) -> Json:
    container = {"name": "ray", "image": image, "resources": {"limits": {"nvidia.com/gpu": 1}}}
    return {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"headGroupSpec": {"template": {"spec": {"containers": [container]}}}},
    }


class FullPool:
    """A fleet on a pool of accelerators for so many Ray clusters: those made later wait unscheduled."""

    def __init__(self, pool: int, replicas: int, **rolling: Any) -> None:
        self.pool = pool
        self.world = PlannerWorld()
        self.events: list[Event] = []
        strategy = {"rollingUpdate": rolling, "surgeTimeoutSeconds": int(TIMEOUT.total_seconds())}
        spec = {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "x"}},
            "template": template("a"),
            "strategy": strategy,
        }
        kind = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind}
        self.world.apply_fleet({**kind, "metadata": {"name": "fleet"}, "spec": spec})
        self.play()

    def waiting(self) -> list[RayCluster]:
        return [each for each in self.world.clusters()[self.pool :] if not each.is_terminating]

    def step(self) -> FleetPlan:
        """Make a round; return the fleet's plan."""
        observed = self.world.observe_fleet()
        sets = tuple(self.with_states(each) for each in observed.replica_sets)
        plan = self.world.fleet_pass(replace(observed, replica_sets=sets))
        self.events += [event for action in plan.actions if (event := getattr(action, "event", None)) is not None]
        for raw in self.world.replica_sets():
            self.world.replica_set_pass(raw["metadata"]["name"])
        self.world.finish_deletions()
        self.world.make_ready(*(each.meta.name for each in self.world.clusters()[: self.pool]))
        return plan

    def play(self, rounds: int = 12) -> int:
        """Make rounds; return the most Ray clusters of them all."""
        counts = []
        for _ in range(rounds):
            self.step()
            counts.append(len(self.world.clusters()))
            self.world.now += timedelta(seconds=1)
        return max(counts)

    def with_states(self, replica_set: ReplicaSet) -> ReplicaSet:
        mine = [each for each in self.waiting() if each.meta.owner_uid == replica_set.meta.uid]
        states = tuple(
            ReplicaState(
                name=each.meta.name,
                uid=each.meta.uid,
                phase=ReplicaPhase.SCHEDULING,
                reason="Unschedulable",
                since=each.meta.created_at or self.world.now,
            )
            for each in mine
        )
        return replace(replica_set, status=replace(replica_set.status, replica_states=states))

    def images(self) -> dict[str, int]:
        """Return how many Ray clusters each image has."""
        heads = [raw["spec"]["headGroupSpec"]["template"] for raw in self.world.objects["RayCluster"].values()]
        names = [head["spec"]["containers"][0]["image"] for head in heads]
        return {name: names.count(name) for name in names}


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_surge_without_room_is_withdrawn_and_the_rollout_goes_on(replicas: int) -> None:
    full = FullPool(replicas, replicas, maxSurge=1, maxUnavailable=0)
    full.world.change_spec({"template": template("b")})
    full.play()
    assert full.images() == {"a": replicas, "b": 1}
    full.world.now += TIMEOUT
    assert full.play() == replicas, "never more than there is room for"
    assert full.images() == {"b": replicas}
    assert [event.reason for event in full.events if event.type == "Warning"] == ["SurgeWithdrawn"]
    assert full.step().requeue_after is None


def test_it_is_looked_at_without_any_event() -> None:
    full = FullPool(1, 1, maxSurge=1, maxUnavailable=0)
    full.world.change_spec({"template": template("b")})
    full.step()
    full.step()
    wait = full.step().requeue_after
    assert wait == TIMEOUT
    full.world.now += wait - timedelta(seconds=1)
    assert full.step().requeue_after == timedelta(seconds=1)
    assert full.images() == {"a": 1, "b": 1}


def test_a_surge_that_has_room_is_not_touched() -> None:
    full = FullPool(2, 1, maxSurge=1, maxUnavailable=0)
    full.world.change_spec({"template": template("b")})
    full.play()
    full.world.now += TIMEOUT
    full.play()
    assert full.images() == {"b": 1}
    assert not [event for event in full.events if event.type == "Warning"]


def test_only_as_many_as_found_no_room_are_withdrawn() -> None:
    """One of two surge replicas waits, and nothing goes on: the one that is there keeps serving."""
    full = FullPool(4, 3, maxSurge=2, maxUnavailable=0)
    full.world.change_spec({"template": template("b")})
    full.step()
    [waiting] = full.waiting()
    observed = full.world.observe_fleet()
    sets = tuple(full.with_states(each) for each in observed.replica_sets)
    plan = plan_fleet(replace(observed, replica_sets=sets), full.world.now + TIMEOUT)
    [write] = [action for action in plan.actions if isinstance(action, Merge) and action.resource is REPLICA_SETS]
    assert write.patch["spec"] == {"replicas": 1}
    assert write.ref.uid == waiting.meta.owner_uid


def test_growth_beyond_the_pool_is_no_surge() -> None:
    """The user asked for more than there is: nothing is withdrawn, whoever waits, waits."""
    full = FullPool(1, 1, maxSurge=1, maxUnavailable=0)
    full.world.change_spec({"replicas": 3})
    full.play()
    full.world.now += TIMEOUT
    full.play()
    assert full.images() == {"a": 3}


def test_the_next_rollout_may_surge_again() -> None:
    full = FullPool(1, 1, maxSurge=1, maxUnavailable=0)
    full.world.change_spec({"template": template("b")})
    full.play()
    full.world.now += TIMEOUT
    full.play()
    full.pool = 2
    for image in ("a", "b"):
        full.world.change_spec({"template": template(image)})
        assert full.play() == 2
        assert full.images() == {image: 1}


@pytest.mark.parametrize(
    ("policy", "most"), [(None, 1), ("TerminationComplete", 1), ("TerminationStarted", 2)], ids=str
)
def test_the_replacement_policy_says_whether_the_last_pod_must_be_gone(policy: str | None, most: int) -> None:
    full = FullPool(2, 1, maxSurge=0, maxUnavailable=1)
    full.world.change_spec({"template": template("b"), "replacementPolicy": policy})
    counts = []
    for _ in range(8):
        full.world.all_passes()
        counts.append(len(full.world.clusters()))
        full.world.make_ready(*full.world.names())
    assert max(counts) == most


def test_a_changed_policy_reaches_what_runs() -> None:
    full = FullPool(2, 1, maxSurge=0, maxUnavailable=1)
    policies = {"drain": {"timeoutSeconds": 7}, "recovery": {"graceSeconds": 9}, "replacementPolicy": None}
    for changed in (policies, dict.fromkeys(policies)):
        full.world.change_spec(changed)
        full.play()
        [raw] = full.world.replica_sets()
        spec = {name: raw["spec"].get(name) for name in policies}
        assert {name: value or None for name, value in spec.items()} == changed
        assert full.images() == {"a": 1}
