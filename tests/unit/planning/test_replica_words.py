"""A sidecar's words explain what its pods leave open, change only when they do, and decide nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from rayfleet.model.fleet import RayClusterTemplate, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus, Selector
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.policies import Recovery
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import FORMING_TIMED_OUT, NODE_LOST, ReplicaPhase, ReplicaState
from rayfleet.model.resources import REPLICA_SETS
from rayfleet.objects.labels import FLEET_LABEL
from rayfleet.planning.observed import ObservedReplicaSet, SidecarAnswers, SidecarWords
from rayfleet.planning.plan import ReplicaSetPlan
from rayfleet.planning.replica.obstacles import Calm, SidecarReason, is_trouble
from rayfleet.planning.replica.words import reason_and_message, with_words
from rayfleet.planning.replica_set.plan import plan_replica_set
from rayfleet.planning.writes import Action, Replace
from rayfleet.testing import kubelet
from rayfleet.testing.planner_world import START as NOW
from rayfleet.testing.ray_pods import leaving_pod
from rayfleet_sidecar.duty import Leave
from rayfleet_sidecar.readiness import STALLED, Reason

P = ReplicaPhase
RAY, SIDECAR = kubelet.SPEC_CONTAINERS
UP = kubelet.up(RAY, NOW, is_ready=True)
VAGUE = (str(Calm.CONTAINERS_NOT_READY), f"not ready: {SIDECAR}")
STALL = SidecarWords(pod="head", reason="EngineStalled", message="no step", said_at=NOW)
SILENT = SidecarWords(pod="head", reason="")
NOT_KNOWN = SidecarWords(pod="head", failed_looks=1)


def pods(head: Json, worker: Json | None = None, *, is_evicted: bool = False) -> tuple[Json, ...]:
    made = kubelet.RayPod(name="head", ray_cluster="a").showing(head)
    beside = kubelet.RayPod(name="worker", ray_cluster="a", group="workers", containers=(RAY,))
    other = beside.showing(worker if worker is not None else kubelet.ready(NOW, (RAY,)))
    return made, (leaving_pod(other, at=NOW) if is_evicted else other)


READY = pods(kubelet.ready(NOW))
LOADING = pods(kubelet.running(NOW, UP, kubelet.up(SIDECAR, NOW, is_ready=False)))


def cluster(*, ready: bool) -> RayCluster:
    since = NOW if ready else None
    meta = ObjectMeta(name="a", uid="uid-a", labels={"app": "x"}, created_at=NOW)
    return RayCluster(meta=meta, expected_workers=1, ready_workers=1, head_ready_since=since)


def replica_set(*states: ReplicaState) -> ReplicaSet:
    template: Json = {"headGroupSpec": {"template": {"metadata": {"labels": {FLEET_LABEL: "fleet"}}}}}
    return ReplicaSet(
        meta=ObjectMeta(name="set", uid="set"),
        spec=ReplicaSetSpec(
            selector=Selector(match_labels={"app": "x"}),
            template=RayClusterTemplate(labels={"app": "x"}, spec=template),
            replicas=1,
            recovery=Recovery(grace_seconds=60),
        ),
        status=ReplicaSetStatus(replica_states=states),
    )


def planned(
    owner: ReplicaSet, its_pods: Sequence[Json], words: SidecarWords | None, *, ready: bool = False, now: datetime = NOW
) -> ReplicaSetPlan:
    observed = ObservedReplicaSet(
        replica_set=owner,
        ray_clusters=(cluster(ready=ready),),
        pods={"uid-a": tuple(its_pods)},
        answers=SidecarAnswers(words={} if words is None else {"uid-a": words}),
    )
    return plan_replica_set(observed, now)


def seen(plan: ReplicaSetPlan) -> tuple[str, str]:
    [state] = plan.status.replica_states
    return state.reason, state.message


WAS_READY = planned(replica_set(), READY, None, ready=True).status.replica_states


@pytest.mark.parametrize(("before", "phase"), [((), P.ENGINE_LOADING), (WAS_READY, P.BROKEN)])
def test_words_say_why_a_container_is_not_ready(before: tuple[ReplicaState, ...], phase: ReplicaPhase) -> None:
    [state] = planned(replica_set(*before), LOADING, STALL).status.replica_states
    where = (state.phase, state.pod, state.container)
    assert where == (phase, "head", SIDECAR)
    assert (state.reason, state.message) == ("EngineStalled", "no step")


@pytest.mark.parametrize("words", [None, SILENT, NOT_KNOWN, replace(STALL, pod="another")])
def test_without_words_of_this_head_it_is_as_its_pods_say(words: SidecarWords | None) -> None:
    assert seen(planned(replica_set(*WAS_READY), LOADING, words)) == VAGUE


def test_a_trouble_that_pods_name_is_told_and_not_words() -> None:
    crashed = kubelet.waiting(SIDECAR, "CrashLoopBackOff", "back-off", kubelet.end(1, NOW), restarts=3)
    for before in ((), WAS_READY):
        plan = planned(replica_set(*before), pods(kubelet.running(NOW, UP, crashed)), STALL)
        assert seen(plan) == ("CrashLoopBackOff", "exit code 1")


def test_what_recovery_names_is_told_and_not_words() -> None:
    again = kubelet.ready(NOW, (RAY,), run=1)
    plan = planned(replica_set(*WAS_READY), pods(LOADING[0]["status"], again), STALL)
    assert seen(plan)[0] == "WorkerLost"


def test_words_end_when_they_are_taken_back_or_it_is_ready() -> None:
    stalled = planned(replica_set(*WAS_READY), LOADING, STALL).status.replica_states
    later = replace(STALL, reason="Warming", message="healthy")
    assert seen(planned(replica_set(*stalled), LOADING, later)) == ("Warming", "healthy")
    assert seen(planned(replica_set(*stalled), LOADING, SILENT)) == VAGUE
    assert seen(planned(replica_set(*stalled), READY, None, ready=True)) == ("", "")


@pytest.mark.parametrize("words", [None, NOT_KNOWN])
def test_what_another_controller_said_stays_until_its_sidecar_was_asked(words: SidecarWords | None) -> None:
    stalled = planned(replica_set(*WAS_READY), LOADING, STALL).status.replica_states
    plan = planned(replica_set(*stalled), LOADING, words)
    assert seen(plan) == ("EngineStalled", "no step")
    other = replace(stalled[0], pod="another")
    assert seen(planned(replica_set(other), LOADING, words)) == VAGUE


def test_the_same_words_write_nothing() -> None:
    stalled = planned(replica_set(*WAS_READY), LOADING, STALL)
    again = planned(replace(replica_set(), status=stalled.status), LOADING, STALL, now=NOW + timedelta(seconds=9))
    assert again.actions == ()


@pytest.mark.parametrize("phase", [P.READY, P.DRAINING, P.FAILED, P.TERMINATING, P.PULLING, P.RAY_FORMING])
def test_other_phases_have_no_words(phase: ReplicaPhase) -> None:
    state = ReplicaState(name="a", uid="u", phase=phase, since=NOW, reason=VAGUE[0], message=VAGUE[1], pod="head")
    assert with_words(state, STALL, None) == state


def test_every_reason_of_our_sidecar_is_known() -> None:
    of_sidecars = {reason.value for reason in Reason} - {Reason.READY.value} | {STALLED} | set(Leave)
    assert set(SidecarReason) == of_sidecars | {SidecarReason.NOT_READY}


def test_a_start_that_goes_well_is_no_trouble() -> None:
    trouble = {reason for reason in SidecarReason if is_trouble(reason)}
    assert trouble == {"EngineFailing", "EngineStalled", "GenerationFailed", "CanaryMissed"}


TIMELINE = (
    (0, LOADING, False),
    (30, LOADING, False),
    (60, READY, True),
    (90, LOADING, False),
    (120, pods(kubelet.running(NOW, UP, kubelet.up(SIDECAR, NOW, is_ready=False)), is_evicted=True), False),
    (149, LOADING, False),
    (150, LOADING, False),
    (151, LOADING, False),
)
"""It starts, is ready, breaks, and is rebuilt when its grace is over: seconds, pods, whether it is ready."""


def decisions(reasons: Iterator[str] | None) -> list[tuple[tuple[Action, ...], timedelta | None, tuple[str, ...]]]:
    """Return what is done by the timeline besides telling, when to look again, and what is noted as rebuilt."""
    owner, made = replica_set(), []
    for seconds, its_pods, ready in TIMELINE:
        words = None
        if reasons is not None:
            reason, message = reason_and_message(next(reasons), "a lie")
            words = SidecarWords(pod="head", reason=reason, message=message, said_at=NOW)
        plan = planned(owner, its_pods, words, ready=ready, now=NOW + timedelta(seconds=seconds))
        done = tuple(each for each in plan.actions if not (isinstance(each, Replace) and each.resource == REPLICA_SETS))
        made.append((done, plan.requeue_after, tuple(f"{each.name} {each.reason}" for each in plan.status.rebuilds)))
        owner = replace(owner, status=plan.status)
    return made


LIES = (*SidecarReason, *Calm, FORMING_TIMED_OUT, NODE_LOST, "WorkerLost", "NotReady", "Unschedulable", "Ready", "x\n")


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_of_a_sidecar_changes_what_is_done(lie: str) -> None:
    truth = decisions(None)
    assert [rebuilt for _, _, rebuilt in truth][-2:] == [("a NotReady",), ("a NotReady",)]
    assert any(done for done, _, _ in truth)

    def always() -> Iterator[str]:
        while True:
            yield lie

    def sometimes() -> Iterator[str]:
        while True:
            yield from (lie, str(SidecarReason.WARMING))

    assert decisions(always()) == truth
    assert decisions(sometimes()) == truth
