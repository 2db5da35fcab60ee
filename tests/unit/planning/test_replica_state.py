"""Where a replica stands, by what its pods say: one row per way to stand, and per way to be stuck."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.objects.labels import DRAINING_ANNOTATION
from rayfleet.objects.times import encode_time
from rayfleet.planning.replica.obstacles import is_trouble
from rayfleet.planning.replica.state import replica_state
from rayfleet.testing import kubelet
from rayfleet.testing.planner_world import START as NOW

P = ReplicaPhase
RAY, SIDECAR = kubelet.SPEC_CONTAINERS
OOM = kubelet.end(137, NOW, "OOMKilled")
TRACE = "Traceback (most recent call last):\n  File x\nRuntimeError: no GPU\n"
GCS_UP = kubelet.up("wait-gcs-ready", NOW, is_ready=False)


def cluster(*, workers: int = 1, is_ready: bool = False, **facts: Any) -> RayCluster:
    meta = ObjectMeta(name="c", uid="uid-c", deleted_at=facts.pop("deleted_at", None))
    since = NOW if is_ready else None
    ready = workers if is_ready else 0
    return RayCluster(meta=meta, expected_workers=workers, ready_workers=ready, head_ready_since=since, **facts)


def head(status: ReadOnlyJson, **meta: Any) -> Json:
    return kubelet.RayPod(name="head", ray_cluster="c", meta=meta).showing(status)


def worker(status: ReadOnlyJson, name: str = "worker", **meta: Any) -> Json:
    pod = kubelet.RayPod(name=name, ray_cluster="c", group="workers", node="n2", containers=(RAY,), meta=meta)
    return pod.showing(status)


def standing(*pods: ReadOnlyJson, before: ReplicaState | None = None, **facts: Any) -> ReplicaState:
    return replica_state(cluster(**facts), pods, before, NOW)


def shown(state: ReplicaState) -> tuple[str, ...]:
    """Return what a user sees of it: phase and progress, reason, pod/container, message."""
    where = "/".join(each for each in (state.pod, state.container) if each)
    return f"{state.phase} {state.progress}".strip(), state.reason, where, state.message


UP = kubelet.up(RAY, NOW, is_ready=True)
STARTING_RAY = kubelet.up(RAY, NOW, is_ready=False)
READY_HEAD, READY_WORKER = head(kubelet.ready(NOW)), worker(kubelet.ready(NOW, (RAY,)))
LOADING_HEAD = head(kubelet.running(NOW, UP, kubelet.up(SIDECAR, NOW, is_ready=False)))
FORMING_HEAD = head(kubelet.running(NOW, STARTING_RAY, kubelet.up(SIDECAR, NOW, is_ready=False)))
GCS_WORKER = worker(kubelet.blocked(NOW, kubelet.waiting(RAY, "PodInitializing"), init=[GCS_UP]))


def pull(reason: str, message: str) -> Json:
    return kubelet.blocked(NOW, kubelet.waiting(RAY, reason, message), kubelet.waiting(SIDECAR, "ContainerCreating"))


def crashed(**end: Any) -> Json:
    last = kubelet.end(**{"code": 1, "now": NOW, **end})
    back_off = "back-off 20s restarting failed container=ray pod=head_default(uid)"
    return kubelet.running(
        NOW,
        kubelet.waiting(RAY, "CrashLoopBackOff", back_off, last, restarts=3),
        kubelet.up(SIDECAR, NOW, is_ready=False),
    )


BACK_OFF = f'Back-off pulling image "{kubelet.IMAGE}"'
ROWS: Sequence[tuple[str, Sequence[Json], tuple[str, ...]]] = (
    ("no pods", (), ("Pending", "NoPodsYet", "", "KubeRay made no pod yet")),
    (
        "head alone, unbound",
        (head(kubelet.unbound()),),
        ("Scheduling 0/2", "PodsMissing", "", "1 of 2 pods are there"),
    ),
    (
        "unbound",
        (READY_HEAD, worker(kubelet.unbound())),
        ("Scheduling 1/2", "NotScheduledYet", "worker", "no node is chosen yet"),
    ),
    (
        "no room",
        (READY_HEAD, worker(kubelet.unschedulable(NOW))),
        ("Scheduling 1/2", "Unschedulable", "worker", kubelet.SHORTAGE),
    ),
    (
        "no room for one, no image for the other",
        (head(pull("ErrImagePull", kubelet.PULL_ERROR)), worker(kubelet.unbound())),
        ("Scheduling 1/2", "ErrImagePull", "head/ray", f"{kubelet.IMAGE}: {kubelet.PULL_ERROR}"),
    ),
    (
        "volumes awaited",
        (head(kubelet.creating(NOW, has_sandbox=False)), READY_WORKER),
        ("Pulling 1/2", "ContainerCreating", "head", "its volumes or its network are not there yet"),
    ),
    (
        "image awaited",
        (head(kubelet.creating(NOW)), GCS_WORKER),
        ("Pulling 1/2", "ContainerCreating", "head/ray", f"waits for image {kubelet.IMAGE}"),
    ),
    (
        "image refused",
        (head(pull("ErrImagePull", kubelet.PULL_ERROR)), GCS_WORKER),
        ("Pulling 1/2", "ErrImagePull", "head/ray", f"{kubelet.IMAGE}: {kubelet.PULL_ERROR}"),
    ),
    (
        "image refused, backing off",
        (head(pull("ImagePullBackOff", f"{BACK_OFF}: ErrImagePull: {kubelet.PULL_ERROR}")), GCS_WORKER),
        ("Pulling 1/2", "ErrImagePull", "head/ray", f"{kubelet.IMAGE}: {kubelet.PULL_ERROR}"),
    ),
    (
        "image refused, backing off, older kubelet",
        (head(pull("ImagePullBackOff", BACK_OFF)), GCS_WORKER),
        ("Pulling 1/2", "ErrImagePull", "head/ray", kubelet.IMAGE),
    ),
    (
        "no such Secret",
        (head(pull("CreateContainerConfigError", 'secret "token" not found')), GCS_WORKER),
        ("Pulling 1/2", "CreateContainerConfigError", "head/ray", 'secret "token" not found'),
    ),
    (
        "the user's init container at work",
        (
            head(
                kubelet.blocked(
                    NOW, kubelet.waiting(RAY, "PodInitializing"), init=[kubelet.up("fetch", NOW, is_ready=False)]
                )
            ),
            GCS_WORKER,
        ),
        ("Pulling 1/2", "Initializing", "head/fetch", "init container fetch runs"),
    ),
    (
        "the user's init container fails",
        (
            head(
                kubelet.blocked(
                    NOW,
                    kubelet.waiting(RAY, "PodInitializing"),
                    init=[kubelet.waiting("fetch", "CrashLoopBackOff", "back-off", kubelet.end(2, NOW), 2)],
                )
            ),
            GCS_WORKER,
        ),
        ("Pulling 1/2", "CrashLoopBackOff", "head/fetch", "exit code 2"),
    ),
    (
        "Ray forms",
        (FORMING_HEAD, GCS_WORKER),
        ("RayForming 0/2", "RayNotJoined", "head", "not joined: head (node n1), worker (node n2)"),
    ),
    (
        "a worker is not there yet",
        (LOADING_HEAD, worker(kubelet.running(NOW, STARTING_RAY))),
        ("RayForming 1/2", "RayNotJoined", "worker", "not joined: worker (node n2)"),
    ),
    (
        "crash loop",
        (head(crashed(message=TRACE)), GCS_WORKER),
        ("RayForming 0/2", "CrashLoopBackOff", "head/ray", "exit code 1: RuntimeError: no GPU"),
    ),
    (
        "out of memory again and again",
        (head(crashed(code=137, reason="OOMKilled")), GCS_WORKER),
        ("RayForming 0/2", "CrashLoopBackOff", "head/ray", "OOMKilled, exit code 137 (SIGKILL)"),
    ),
    (
        "out of memory just now",
        (head(kubelet.running(NOW, kubelet.down(RAY, OOM))), GCS_WORKER),
        ("RayForming 0/2", "OOMKilled", "head/ray", "exit code 137 (SIGKILL)"),
    ),
    (
        "runs again after a failure",
        (head(kubelet.running(NOW, kubelet.up(RAY, NOW, is_ready=False, run=1, last=OOM))), GCS_WORKER),
        ("RayForming 0/2", "ContainerRestarted", "head/ray", "OOMKilled, exit code 137 (SIGKILL)"),
    ),
    (
        "a head with a probe that asks the engine",
        (FORMING_HEAD, READY_WORKER),
        ("EngineLoading", "ContainersNotReady", "head/ray", "not ready: ray, rayfleet-sidecar"),
    ),
    (
        "the engine loads",
        (LOADING_HEAD, READY_WORKER),
        ("EngineLoading", "ContainersNotReady", "head/rayfleet-sidecar", "not ready: rayfleet-sidecar"),
    ),
    (
        "the sidecar fails",
        (
            head(kubelet.running(NOW, UP, kubelet.waiting(SIDECAR, "CrashLoopBackOff", "x", kubelet.end(3, NOW), 1))),
            READY_WORKER,
        ),
        ("EngineLoading", "CrashLoopBackOff", "head/rayfleet-sidecar", "exit code 3"),
    ),
    (
        "KubeRay is behind",
        (READY_HEAD, READY_WORKER),
        ("Warming", "NotReportedYet", "", "all pods are ready; KubeRay has not said so yet"),
    ),
    (
        "evicted",
        (head(kubelet.evicted()), READY_WORKER),
        ("Scheduling 1/2", "Evicted", "head", "The node was low on resource: memory."),
    ),
    (
        "on its way out",
        (head(kubelet.ready(NOW), deletionTimestamp=encode_time(NOW)), READY_WORKER),
        ("Scheduling 1/2", "PodTerminating", "head", "the pod was deleted"),
    ),
)


@pytest.mark.parametrize(("pods", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_replica_that_was_never_ready_stands_where_its_slowest_pod_does(
    pods: Sequence[Json], expected: tuple[str, ...]
) -> None:
    *words, message = shown(standing(*pods))
    assert tuple(words) == expected[:-1]
    assert message.startswith(expected[-1])


@pytest.mark.parametrize("row", [row for row in ROWS if row[1]], ids=lambda row: row[0])
def test_the_order_of_pods_does_not_matter(row: tuple[str, Sequence[Json], tuple[str, ...]]) -> None:
    assert standing(*row[1]) == standing(*reversed(row[1]))


def test_a_head_alone_is_a_whole_ray_cluster() -> None:
    assert shown(standing(FORMING_HEAD, workers=0))[0] == "EngineLoading"
    assert shown(standing(head(crashed()), workers=0))[0] == "RayForming 0/1"


def test_a_refused_pod_is_kuberays_word() -> None:
    refused: dict[str, Any] = {"failure": "exceeded quota: pods", "failure_reason": "FailedCreateWorkerPod"}
    assert shown(standing(**refused))[:2] == ("Pending", "FailedCreateWorkerPod")
    assert shown(standing(LOADING_HEAD, **refused)) == (
        "Scheduling 1/2",
        "FailedCreateWorkerPod",
        "",
        "exceeded quota: pods",
    )


@pytest.mark.parametrize("node_lost", [True, False])
def test_what_took_a_pod_away_is_named(node_lost: bool) -> None:
    status = kubelet.running(NOW, UP)
    if node_lost:
        status |= {"reason": "NodeLost", "message": "Node n1 which was running pod head is unresponsive"}
    else:
        reason = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
        status["conditions"].append({**kubelet.condition("DisruptionTarget", NOW), **reason})
    state = standing(head(status), READY_WORKER)
    assert (state.reason, state.pod) == ("NodeLost" if node_lost else "EvictionByEvictionAPI", "head")


def test_pods_that_may_not_be_read_are_not_taken_for_none() -> None:
    state = replica_state(cluster(), (), None, NOW, "Pod may not be listed and watched: forbidden")
    assert shown(state) == ("Pending", "PodsUnreadable", "", "Pod may not be listed and watched: forbidden")


READY = standing(READY_HEAD, READY_WORKER, is_ready=True)


def test_ready_is_what_kuberay_counts_now() -> None:
    assert shown(READY) == ("Ready", "", "", "")
    assert shown(standing(is_ready=True)) == ("Ready", "", "", "")


def test_ready_notes_the_incarnation_once_and_again_after_a_loss() -> None:
    assert READY.incarnation
    restarted = head(kubelet.ready(NOW, run=1))
    still = standing(restarted, READY_WORKER, before=READY, is_ready=True)
    assert still.incarnation == READY.incarnation
    broken = standing(FORMING_HEAD, READY_WORKER, before=READY)
    assert (broken.phase, broken.incarnation) == (P.BROKEN, READY.incarnation)
    back = standing(restarted, READY_WORKER, before=broken, is_ready=True)
    assert back.incarnation not in {"", READY.incarnation}
    assert back.incarnation.partition("/")[2] == READY.incarnation.partition("/")[2]  # the worker lived on


def test_a_replica_that_was_ready_is_broken_until_it_is_ready_again() -> None:
    state = READY
    for pods in ((LOADING_HEAD, READY_WORKER), (head(kubelet.unbound()), READY_WORKER), ()):
        state = standing(*pods, before=state)
        assert state.phase is P.BROKEN
    assert standing(READY_HEAD, READY_WORKER, before=state, is_ready=True).phase is P.READY


def test_a_broken_replica_names_who_died_first() -> None:
    later = NOW + timedelta(seconds=5)
    died = worker(kubelet.ready(NOW, (RAY,)))
    died["status"]["containerStatuses"][0] |= {"lastState": {"terminated": kubelet.end(139, NOW)}, "restartCount": 1}
    followed = head(kubelet.running(NOW, kubelet.up(RAY, later, is_ready=False, run=1, last=kubelet.end(1, later))))
    state = standing(followed, died, before=READY)
    assert shown(state) == ("Broken", "Error", "worker/ray", "exit code 139 (SIGSEGV)")
    replaced = worker(kubelet.creating(NOW, (RAY,)), name="worker-2")
    assert shown(standing(LOADING_HEAD, replaced, before=state)) == shown(state)


def test_an_end_before_it_was_ready_is_no_cause() -> None:
    old = kubelet.end(1, NOW - timedelta(minutes=10))
    pod = worker(kubelet.running(NOW, kubelet.up(RAY, NOW, is_ready=True, run=1, last=old), is_ready=True))
    assert standing(LOADING_HEAD, pod, before=READY).reason == "ContainersNotReady"


def test_what_is_wrong_now_comes_before_what_was() -> None:
    broken = standing(head(crashed()), READY_WORKER, before=READY)
    assert broken.reason == "CrashLoopBackOff"
    stuck = worker(kubelet.unschedulable(NOW), name="worker-2")
    assert standing(LOADING_HEAD, stuck, before=broken).reason == "Unschedulable"


def test_a_broken_replica_without_pods_says_what_kuberay_counts() -> None:
    assert shown(standing(before=READY)) == ("Broken", "HeadNotReady", "", "the head pod is not ready")
    headed = replace(cluster(workers=2), head_ready_since=NOW, ready_workers=1)
    state = replica_state(headed, (), READY, NOW)
    assert shown(state) == ("Broken", "WorkersNotReady", "", "1 of 2 workers are ready")


def test_suspended_is_pending_and_forgets_that_it_was_ready() -> None:
    state = standing(before=READY, is_suspended=True)
    assert (state.phase, state.reason, state.incarnation) == (P.PENDING, "Suspended", "")
    assert standing(head(kubelet.unbound()), before=state).phase is P.SCHEDULING
    assert not is_trouble(state.reason)


def test_draining_comes_before_ready() -> None:
    drained = head(kubelet.ready(NOW), annotations={DRAINING_ANNOTATION: encode_time(NOW)})
    state = standing(drained, READY_WORKER, before=READY, is_ready=True)
    assert (state.phase, state.incarnation) == (P.DRAINING, READY.incarnation)
    assert standing(READY_HEAD, READY_WORKER, before=state).phase is P.BROKEN


def test_a_terminating_replica_names_the_pod_that_does_not_go() -> None:
    def leaving(seconds_ago: int) -> ReplicaState:
        deleted_at = encode_time(NOW - timedelta(seconds=seconds_ago))
        pod = worker(kubelet.ready(NOW, (RAY,)), deletionTimestamp=deleted_at)
        return standing(pod, before=READY, deleted_at=NOW)

    assert shown(leaving(5)) == ("Terminating", "Deleted", "", "")
    assert shown(leaving(60)) == ("Terminating", "PodStuck", "worker", "still there after its grace period (node n2)")


def test_the_clock_of_stages_goes_on_from_phase_to_phase() -> None:
    def after(seconds: int, *pods: Json, before: ReplicaState | None, is_ready: bool = False) -> ReplicaState:
        return replica_state(cluster(is_ready=is_ready), pods, before, NOW + timedelta(seconds=seconds))

    state = after(0, before=None)
    assert state.since == NOW
    state = after(2, head(kubelet.unbound()), before=state)
    state = after(5, head(kubelet.creating(NOW)), GCS_WORKER, before=state)
    state = after(9, head(pull("ErrImagePull", "gone")), GCS_WORKER, before=state)
    assert (state.since, state.stages) == (NOW + timedelta(seconds=5), {"scheduling": 5.0})
    state = after(15, FORMING_HEAD, GCS_WORKER, before=state)
    state = after(18, LOADING_HEAD, READY_WORKER, before=state)
    state = after(60, READY_HEAD, READY_WORKER, before=state)
    state = after(61, READY_HEAD, READY_WORKER, before=state, is_ready=True)
    everything = {"scheduling": 5.0, "image": 10.0, "ray": 3.0, "weights": 42.0, "warmUp": 1.0}
    assert state.stages == everything
    assert after(99, LOADING_HEAD, READY_WORKER, before=state).stages == everything


def test_suspension_counts_for_no_stage() -> None:
    suspended = replica_state(cluster(is_suspended=True), (), None, NOW)
    state = replica_state(cluster(), (head(kubelet.unbound()),), suspended, NOW + timedelta(seconds=90))
    assert state.stages == {}


def test_a_cause_that_a_kubelet_leaves_out_later_stays_said() -> None:
    first = standing(head(pull("ErrImagePull", kubelet.PULL_ERROR)), GCS_WORKER)
    again = standing(head(pull("ImagePullBackOff", BACK_OFF)), GCS_WORKER, before=first)
    assert again == first
