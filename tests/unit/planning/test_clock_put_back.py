"""A clock that is put back by hours: what was noted before lies ahead, and holds nobody until it comes."""

from datetime import timedelta

from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import Rebuild, ReplicaPhase, ReplicaState
from rayfleet.model.resources import PODS
from rayfleet.objects.labels import INDEX_LABEL
from rayfleet.objects.pods import incarnation_text
from rayfleet.planning.observed import InFlight, ObservedReplicaSet, SidecarAnswers
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import Delete, Merge
from rayfleet.testing.planner_world import START as NOW
from rayfleet.testing.ray_pods import head_pod, later, withdrawn_pod

HOURS_AHEAD = later(NOW, 6 * 3600)
HEAD = head_pod("a", since=later(NOW, -600))


def observed(status: ReplicaSetStatus, head: Json = HEAD, *, replicas: int = 1) -> ObservedReplicaSet:
    spec = ReplicaSetSpec(
        selector=Selector(match_labels={"app": "x"}),
        template=RayClusterTemplate(labels={"app": "x"}),
        replicas=replicas,
    )
    meta = ObjectMeta(name="a", uid="uid-a", labels={INDEX_LABEL: "0"}, owner_uid="set", created_at=NOW)
    return ObservedReplicaSet(
        replica_set=ReplicaSet(meta=ObjectMeta(name="fleet-abc", uid="set"), spec=spec, status=status),
        ray_clusters=(RayCluster(meta=meta),),
        pods={"uid-a": (head,)},
        answers=SidecarAnswers(in_flight={"uid-a": InFlight(requests=3)}),
    )


def broken(*rebuilds: Rebuild) -> ReplicaSetStatus:
    life = incarnation_text([HEAD])
    state = ReplicaState(name="a", uid="uid-a", phase=ReplicaPhase.BROKEN, since=HOURS_AHEAD, incarnation=life)
    return ReplicaSetStatus(replica_states=(state,), rebuilds=rebuilds)


def seconds_until_rebuilt(status: ReplicaSetStatus) -> int:
    """Return how long a broken replica waits for its rebuild, by passes of a second each, 1,000 at most."""
    for seconds in range(1000):
        plan = plan_replica_set(observed(status), later(NOW, seconds))
        if any(rebuild.name == "a" for rebuild in plan.status.rebuilds):
            return seconds
        status = plan.status
    raise AssertionError("it was not rebuilt")


def test_a_broken_replica_has_its_grace_from_now_on() -> None:
    assert seconds_until_rebuilt(broken()) == 60


def test_a_back_off_begins_anew() -> None:
    earlier = (Rebuild(index=0, name=name, time=HOURS_AHEAD, reason="x", message="x") for name in ("y", "z"))
    assert seconds_until_rebuilt(broken(*earlier)) == 60


def test_the_times_are_brought_back_once() -> None:
    first = plan_replica_set(observed(broken()), NOW)
    assert first.status.replica_states[0].since == NOW
    assert first.actions
    assert not plan_replica_set(observed(first.status), later(NOW, 1)).actions


def test_clocks_that_differ_a_little_write_nothing() -> None:
    settled = plan_replica_set(observed(broken()), NOW).status
    assert not plan_replica_set(observed(settled), NOW - timedelta(seconds=3)).actions


def test_a_drain_ends_within_its_time_after_the_clock_was_put_back() -> None:
    out = withdrawn_pod(HEAD, at=HOURS_AHEAD)
    (anew, *_) = plan_replica_set(observed(ReplicaSetStatus(), out, replicas=0), NOW).actions
    assert isinstance(anew, Merge)
    assert anew.resource is PODS
    noted = withdrawn_pod(HEAD, at=NOW)
    late = plan_replica_set(observed(ReplicaSetStatus(), noted, replicas=0), later(NOW, 61)).actions
    assert any(isinstance(action, Delete) for action in late)
