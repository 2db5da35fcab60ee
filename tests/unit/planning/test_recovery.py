"""Recovery: what breaks a replica, how long it has, what a rebuild costs, and when it is kept as it is."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Recovery, RecoveryOrder
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import Rebuild, ReplicaPhase, ReplicaState
from rayfleet.objects.labels import INDEX_LABEL, RESUME_ANNOTATION
from rayfleet.objects.pods import incarnation_text
from rayfleet.planning.observed import ObservedReplicaSet
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import CreateTogether, Delete
from rayfleet.testing.planner_world import START as NOW
from rayfleet.testing.ray_pods import ended_before, head_pod, later, leaving_pod, withdrawn_pod, worker_pod

EARLY = later(NOW, -3600)
BROKEN = ReplicaPhase.BROKEN


def replica_set(
    recovery: Recovery | None = None, *, resume: str = "", spec: Json | None = None, **more: Any
) -> ReplicaSet:
    return ReplicaSet(
        meta=ObjectMeta(name="fleet-abc", uid="set", annotations={RESUME_ANNOTATION: resume} if resume else {}),
        spec=ReplicaSetSpec(
            selector=Selector(match_labels={"app": "x"}),
            template=RayClusterTemplate(labels={"app": "x"}, spec=spec or {}),
            recovery=recovery or Recovery(),
        ),
        status=ReplicaSetStatus(**more),
    )


def cluster(*, ready: bool, workers: int = 1, **more: Any) -> RayCluster:
    meta = ObjectMeta(name="a", uid="uid-a", labels={INDEX_LABEL: "0"}, owner_uid="set", created_at=EARLY)
    counts = {"expected_workers": workers, "ready_workers": workers if ready else 0}
    return RayCluster(meta=meta, head_ready_since=EARLY if ready else None, **{**counts, **more})


def pods(
    *, head: int = 0, worker: int = 0, head_uid: str = "h", since: datetime = EARLY, ready: bool = True
) -> tuple[Json, ...]:
    """Return head and worker in these lives (restarts); each but the first life began at ``since``."""
    one = head_pod("a", since=since if head or head_uid != "h" else EARLY, uid=head_uid, restarts=head, ready=ready)
    other = worker_pod("a", since=since if worker else EARLY, uid="w", restarts=worker)
    return one, other


FIRST_LIFE = incarnation_text(pods())


def state(phase: ReplicaPhase = ReplicaPhase.READY, since: datetime = EARLY, **more: Any) -> ReplicaState:
    return ReplicaState(
        **{"name": "a", "uid": "uid-a", "phase": phase, "since": since, "incarnation": FIRST_LIFE, **more}
    )


def planned(owner: ReplicaSet, one: RayCluster, its_pods: tuple[Json, ...] = (), now: datetime = NOW) -> ReplicaSetPlan:
    return plan_replica_set(ObservedReplicaSet(replica_set=owner, ray_clusters=(one,), pods={"uid-a": its_pods}), now)


def given_up(plan: ReplicaSetPlan) -> list[str]:
    return [f"{rebuild.index} {rebuild.name} {rebuild.reason}" for rebuild in plan.status.rebuilds]


def deleted(plan: ReplicaSetPlan) -> list[str]:
    return [action.ref.key.name for action in plan.actions if isinstance(action, Delete)]


def created(plan: ReplicaSetPlan) -> list[str]:
    together = [action for action in plan.actions if isinstance(action, CreateTogether)]
    return [each["metadata"]["name"] for action in together for each in action.manifests]


@pytest.mark.parametrize(
    ("its_pods", "workers", "reason", "seconds"),
    [
        (pods(), 1, "NotReady", 60),
        (pods(worker=1, since=NOW), 1, "WorkerLost", 60),
        (pods()[:1], 1, "WorkerLost", 60),
        (pods(head=1, since=NOW), 1, "HeadRestarted", 60),
        (pods(head_uid="other", since=NOW), 1, "HeadReplaced", 0),
        (pods()[1:], 1, "HeadReplaced", 0),
        (pods(head=1, worker=1, since=NOW), 1, "AllLost", 600),
        ((), 1, "NotReady", 60),
    ],
)
def test_an_unready_one_has_the_time_that_its_loss_allows(
    its_pods: tuple[Json, ...], workers: int, reason: str, seconds: int
) -> None:
    owner = replica_set(replica_states=(state(),))
    first = planned(owner, cluster(ready=False, workers=workers), its_pods)
    if seconds:
        [seen] = first.status.replica_states
        assert (seen.phase, seen.since, first.status.rebuilds) == (BROKEN, NOW, ())
        assert first.requeue_after == timedelta(seconds=seconds)
    end = later(NOW, seconds)
    almost = planned(replace(owner, status=first.status), cluster(ready=False), its_pods, later(end, -1))
    assert almost.status.rebuilds == () or not seconds
    late = planned(replace(owner, status=first.status), cluster(ready=False), its_pods, end)
    assert given_up(late) == [f"0 a {reason}"]


def test_a_lone_head_that_restarts_has_the_time_of_one_that_forms() -> None:
    lone = (head_pod("a", since=EARLY, uid="h"),)
    again = (head_pod("a", since=NOW, uid="h", restarts=1, ready=False),)
    owner = replica_set(replica_states=(state(incarnation=incarnation_text(lone)),))
    plan = planned(owner, cluster(ready=False, workers=0), again)
    assert plan.requeue_after == timedelta(seconds=600)


def test_back_within_its_time_it_is_well() -> None:
    owner = replica_set(replica_states=(state(BROKEN, later(NOW, -59)),))
    plan = planned(owner, cluster(ready=True), pods())
    assert [each.phase for each in plan.status.replica_states] == [ReplicaPhase.READY]
    assert (plan.status.rebuilds, plan.requeue_after) == ((), None)


def test_a_worker_that_restarted_unnoticed_is_not_believed_for_long() -> None:
    """Counts came back, the engine's rank did not: the head never turned unready (restartCount + 1)."""
    owner = replica_set(replica_states=(state(),))
    silent = pods(worker=1, since=NOW)
    first = planned(owner, cluster(ready=True), silent)
    [seen] = first.status.replica_states
    assert (seen.phase, seen.reason, first.requeue_after) == (ReplicaPhase.READY, "WorkerLost", timedelta(seconds=60))
    assert seen.incarnation == FIRST_LIFE
    late = planned(replace(owner, status=first.status), cluster(ready=True), silent, later(NOW, 60))
    assert given_up(late) == ["0 a WorkerLost"]


@pytest.mark.parametrize("is_withdrawn", [False, True])
def test_a_loss_that_no_container_dates_counts_from_when_it_was_told(is_withdrawn: bool) -> None:
    """Out of its Service it began anew at every look, and stayed there for ever."""
    head = withdrawn_pod(pods()[0], at=EARLY) if is_withdrawn else pods()[0]
    replaced = head, worker_pod("a", since=NOW, uid="another")
    replaced[1]["status"].pop("containerStatuses")
    owner = replica_set(replica_states=(state(),), ready_since={"uid-a": EARLY})
    first = planned(owner, cluster(ready=True), replaced)
    assert first.requeue_after == timedelta(seconds=60)
    again = replace(owner, status=first.status)
    assert planned(again, cluster(ready=True), replaced, later(NOW, 59)).requeue_after == timedelta(seconds=1)
    assert given_up(planned(again, cluster(ready=True), replaced, later(NOW, 60))) == ["0 a WorkerLost"]


def test_a_head_that_turned_ready_after_the_loss_proves_that_its_engine_lives() -> None:
    owner = replica_set(replica_states=(state(),))
    turned = head_pod("a", since=later(NOW, 1), uid="h")
    turned["status"]["containerStatuses"][0]["state"]["running"]["startedAt"] = "2026-01-02T02:04:05Z"
    after = (turned, worker_pod("a", since=NOW, uid="w", restarts=1))
    plan = planned(owner, cluster(ready=True), after, later(NOW, 99))
    [seen] = plan.status.replica_states
    assert (seen.reason, seen.incarnation, plan.requeue_after) == ("", incarnation_text(after), None)


def test_workers_that_rays_autoscaler_takes_are_no_loss() -> None:
    owner = replica_set(spec={"enableInTreeAutoscaling": True}, replica_states=(state(),))
    plan = planned(owner, cluster(ready=True, workers=0), pods()[:1], later(NOW, 999))
    assert (plan.status.rebuilds, plan.status.replica_states[0].reason) == ((), "")


@pytest.mark.parametrize("before", [(), (state(),)])
def test_a_suspended_one_is_never_broken(before: tuple[ReplicaState, ...]) -> None:
    owner = replica_set(replica_states=before)
    plan = planned(owner, cluster(ready=False, workers=0, is_suspended=True), (), later(NOW, 9999))
    [seen] = plan.status.replica_states
    assert (seen.phase, seen.incarnation, plan.status.rebuilds) == (ReplicaPhase.PENDING, "", ())


def test_one_that_was_never_ready_belongs_to_its_rollout() -> None:
    plan = planned(replica_set(), cluster(ready=False), (), later(NOW, 9999))
    assert (plan.status.rebuilds, plan.requeue_after) == ((), None)


def test_one_that_broke_before_it_was_noted_as_ready_is_rebuilt_by_kuberays_word() -> None:
    """Statuses are written seconds late: RayClusterProvisioned says that all pods were ready once."""
    owner, once_ready = replica_set(), cluster(ready=False, first_ready_at=EARLY)
    first = planned(owner, once_ready, pods(ready=False))
    assert [each.phase for each in first.status.replica_states] == [BROKEN]
    late = planned(replace(owner, status=first.status), once_ready, pods(ready=False), later(NOW, 60))
    assert given_up(late) == ["0 a NotReady"]


def test_one_that_broke_before_it_was_noted_has_the_time_that_its_loss_allows() -> None:
    """KubeRay says when all were ready first: what began later was not among them."""
    again, once_ready = pods(head=1, worker=1, since=NOW), cluster(ready=False, first_ready_at=later(NOW, -5))
    first = planned(replica_set(), once_ready, again)
    assert first.requeue_after == timedelta(seconds=600)
    late = planned(replace(replica_set(), status=first.status), once_ready, again, later(NOW, 600))
    assert given_up(late) == ["0 a AllLost"]


def test_containers_in_which_ray_does_not_stand_in_time_are_given_up() -> None:
    """Started, and wedged: a GCS that hangs, a worker that waits for it for ever."""
    stuck = pods(ready=False)
    for pod in stuck:
        pod["status"]["containerStatuses"][0]["ready"] = False
    early = planned(replica_set(), cluster(ready=False), stuck, later(EARLY, 599))
    assert (early.status.rebuilds, early.requeue_after) == ((), timedelta(seconds=1))
    late = planned(replica_set(), cluster(ready=False), stuck, later(EARLY, 600))
    assert given_up(late) == ["0 a FormingTimedOut"]


def test_an_engine_that_loads_for_long_is_not_stuck() -> None:
    """Ray stands in all containers: what the engine does then takes what it takes."""
    plan = planned(replica_set(), cluster(ready=False), pods(ready=False)[:1] + pods()[1:], later(EARLY, 9999))
    assert "FormingTimedOut" in " ".join(given_up(plan))
    loading = pods()
    loading[0]["status"]["conditions"][0]["status"] = "False"
    assert planned(replica_set(), cluster(ready=False), loading, later(EARLY, 9999)).status.rebuilds == ()


def test_a_pod_that_pulls_its_image_is_not_stuck() -> None:
    head, worker = pods(ready=False)
    worker["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
    assert planned(replica_set(), cluster(ready=False), (head, worker), later(NOW, 9999)).status.rebuilds == ()


def held_back(pause: str, *, ended: datetime = NOW, which: int = 0) -> tuple[Json, ...]:
    """Return the pods with the Ray container of one of them in a back-off, its life still the one that died."""
    both = list(pods(ready=False))
    pod = both[which] = ended_before(both[which], at=ended)
    waiting = {"reason": "CrashLoopBackOff", "message": f"back-off {pause} restarting failed container=ray pod=a_b(c)"}
    pod["status"]["containerStatuses"][0].update({"ready": False, "state": {"waiting": waiting}})
    return tuple(both)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("pause", "broken_for", "is_rebuilt"),
    [
        ("20s", 0, False),  # there is time for Ray and the engine after it
        ("40s", 0, True),  # more than half of the grace
        ("2m40s", 0, True),
        ("20s", 39, False),
        ("20s", 41, True),  # it ends after the grace
        ("soon", 0, False),  # no kubelet's words
        ("9999999999999999999h", 0, True),
    ],
)
def test_a_container_that_is_held_back_past_its_time_is_not_waited_for(
    pause: str, broken_for: float, is_rebuilt: bool, which: int
) -> None:
    owner = replica_set(replica_states=(state(BROKEN, later(NOW, -broken_for)),))
    plan = planned(owner, cluster(ready=False), held_back(pause, which=which))
    assert given_up(plan) == (["0 a CrashLoopBackOff"] if is_rebuilt else [])
    if is_rebuilt:
        name = ("a-head", "a-worker-0")[which]
        [rebuild] = plan.status.rebuilds
        died = f"pod {name} died first (exit code 137, signal 9, Error)"
        assert rebuild.message == f"a container is held back for too long: {died}"


def test_an_end_that_lies_ahead_holds_a_container_back_from_now_on() -> None:
    owner = replica_set(replica_states=(state(BROKEN, NOW),))
    ahead = held_back("20s", ended=later(NOW, 3000))
    assert planned(owner, cluster(ready=False), ahead).status.rebuilds == ()


def test_a_container_that_is_held_back_costs_the_budget_as_any_other() -> None:
    owner = replica_set(replica_states=(state(BROKEN, NOW),), rebuilds=rebuilt(10))
    plan = planned(owner, cluster(ready=False), held_back("40s"))
    assert (len(plan.status.rebuilds), plan.requeue_after) == (1, timedelta(seconds=20))
    spent = replica_set(Recovery(max_rebuilds=1), replica_states=(state(BROKEN, NOW),), rebuilds=rebuilt(900))
    [seen] = planned(spent, cluster(ready=False), held_back("40s")).status.replica_states
    assert (seen.phase, seen.reason) == (ReplicaPhase.FAILED, "CrashLoopBackOff")


def test_a_loss_that_nothing_is_waited_for_keeps_its_reason() -> None:
    head, worker = held_back("40s")
    other = {**head, "metadata": {**head["metadata"], "uid": "other"}}
    owner = replica_set(replica_states=(state(BROKEN, NOW),))
    assert given_up(planned(owner, cluster(ready=False), (other, worker))) == ["0 a HeadReplaced"]


def test_a_pod_that_goes_holds_nothing_back() -> None:
    head, worker = held_back("40s", which=1)
    owner = replica_set(replica_states=(state(BROKEN, NOW),))
    plan = planned(owner, cluster(ready=False), (head, leaving_pod(worker, at=NOW)))
    assert plan.status.rebuilds == ()


def test_a_rebuild_is_noted_first_and_deleted_by_the_next_pass() -> None:
    owner = replica_set(replica_states=(state(BROKEN, later(NOW, -60)),))
    noted = planned(owner, cluster(ready=False), pods(ready=False))
    assert (given_up(noted), deleted(noted), created(noted)) == (["0 a NotReady"], [], [])
    again = planned(replace(owner, status=noted.status), cluster(ready=False), pods(ready=False), later(NOW, 5))
    assert (deleted(again), created(again), given_up(again)) == (["a"], [], ["0 a NotReady"])


def test_who_died_first_and_how_is_told() -> None:
    head, worker = pods(head=1, worker=1, since=NOW)
    died = (ended_before(head, at=NOW, exit_code=1), ended_before(worker, at=later(NOW, -3)))
    broken = planned(
        replica_set(Recovery(forming_deadline_seconds=5), replica_states=(state(),)), cluster(ready=False), died
    )
    owner = replica_set(Recovery(forming_deadline_seconds=5), replica_states=broken.status.replica_states)
    plan = planned(owner, cluster(ready=False), died, later(NOW, 5))
    assert [rebuild.message for rebuild in plan.status.rebuilds] == [
        "all of it restarted: pod a-worker-0 died first (exit code 137, signal 9, Error)"
    ]


def rebuilt(*seconds_ago: float, index: int = 0) -> tuple[Rebuild, ...]:
    return tuple(
        Rebuild(index=index, name=f"old-{ago}", time=later(NOW, -ago), reason="NotReady") for ago in seconds_ago
    )


@pytest.mark.parametrize(
    ("earlier", "wait"),
    [(rebuilt(), 0), (rebuilt(29), 1), (rebuilt(30), 0), (rebuilt(500, 59), 1), (rebuilt(900, 800, 700), 0)],
)
def test_each_rebuild_of_a_place_waits_twice_as_long(earlier: tuple[Rebuild, ...], wait: int) -> None:
    owner = replica_set(replica_states=(state(BROKEN, EARLY),), rebuilds=earlier)
    plan = planned(owner, cluster(ready=False), pods())
    assert len(plan.status.rebuilds) - len(earlier) == (0 if wait else 1)
    assert plan.requeue_after == (timedelta(seconds=wait) if wait else None)


def test_the_back_off_ends_at_its_longest() -> None:
    recovery = Recovery(max_rebuilds=99, longest_backoff_seconds=45)
    owner = replica_set(recovery, replica_states=(state(BROKEN, EARLY),), rebuilds=rebuilt(300, 200, 100, 45))
    assert len(planned(owner, cluster(ready=False), pods()).status.rebuilds) == 5


def test_a_spent_budget_makes_it_failed_and_it_stays() -> None:
    owner = replica_set(Recovery(max_rebuilds=2), replica_states=(state(BROKEN, EARLY),), rebuilds=rebuilt(1500, 700))
    plan = planned(owner, cluster(ready=False), pods())
    [seen] = plan.status.replica_states
    assert (seen.phase, deleted(plan), plan.requeue_after) == (ReplicaPhase.FAILED, [], None)
    assert "2 rebuilds within 3600 s did not help" in seen.message
    assert [event.reason for event in plan.events] == ["RecoveryFailed"]
    much_later = planned(replace(owner, status=plan.status), cluster(ready=False), pods(), later(NOW, 99_999))
    assert (much_later.actions, much_later.events) == ((), ())


def test_rebuilds_of_other_places_and_before_the_window_do_not_count() -> None:
    earlier = (*rebuilt(4000, 3601), *rebuilt(50, 40, index=1))
    owner = replica_set(Recovery(max_rebuilds=2), replica_states=(state(BROKEN, EARLY),), rebuilds=earlier)
    plan = planned(owner, cluster(ready=False), pods())
    assert [rebuild.name for rebuild in plan.status.rebuilds] == ["old-50", "old-40", "a"]


def test_a_new_value_of_the_annotation_resumes_once() -> None:
    failed: dict[str, Any] = {"replica_states": (state(ReplicaPhase.FAILED, EARLY),), "rebuilds": rebuilt(99)}
    owner = replica_set(Recovery(max_rebuilds=1), resume="1", **failed)
    plan = planned(owner, cluster(ready=False), pods())
    assert (given_up(plan), plan.status.resumed) == (["0 a NotReady"], "1")
    kept = planned(
        replica_set(Recovery(max_rebuilds=1), resume="1", resumed="1", **failed), cluster(ready=False), pods()
    )
    assert [each.phase for each in kept.status.replica_states] == [ReplicaPhase.FAILED]


def test_a_failed_one_that_gets_ready_serves_again() -> None:
    owner = replica_set(replica_states=(state(ReplicaPhase.FAILED, EARLY),))
    plan = planned(owner, cluster(ready=True), pods())
    assert (plan.status.replica_states[0].phase, plan.status.available_replicas) == (ReplicaPhase.READY, 1)


def test_recovery_that_is_off_only_tells() -> None:
    owner = replica_set(Recovery(enabled=False), replica_states=(state(BROKEN, EARLY),))
    plan = planned(owner, cluster(ready=False), pods())
    assert (plan.status.replica_states[0].phase, plan.status.rebuilds, plan.requeue_after) == (BROKEN, (), None)


def test_create_first_makes_the_successor_before_the_broken_one_goes() -> None:
    note = Rebuild(index=0, name="a", time=NOW, reason="NotReady")
    owner = replica_set(Recovery(order=RecoveryOrder.CREATE_FIRST), replica_states=(state(BROKEN),), rebuilds=(note,))
    first = planned(owner, cluster(ready=False), pods(ready=False))
    assert (len(created(first)), deleted(first)) == (1, [])
    new = replace(cluster(ready=True), meta=replace(cluster(ready=True).meta, name="b", uid="uid-b"))
    both = ObservedReplicaSet(
        replica_set=owner, ray_clusters=(cluster(ready=False), new), pods={"uid-a": pods(ready=False)}
    )
    plan = plan_replica_set(both, NOW)
    assert (created(plan), deleted(plan)) == ([], ["a"])


def test_the_grace_goes_on_in_another_controller() -> None:
    """Since when it is broken stands in the status, not in a process."""
    owner = replica_set(replica_states=(state(BROKEN, later(NOW, -40)),))
    assert planned(owner, cluster(ready=False), pods()).requeue_after == timedelta(seconds=20)
