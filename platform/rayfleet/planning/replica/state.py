"""Where a replica stands: its phase by one table, and what blocks it, from its RayCluster and its pods. Pure.

KubeRay's sticky fields (``status.state``, ``RayClusterProvisioned``) are not read: ready is ``RayCluster.is_ready``. A
replica that was ready and is not is Broken until it is ready again or gone, whatever its pods do meanwhile; one that
never was is where its slowest pod is. That it is Failed is recovery's word (``planning.replica_set``), never this
module's.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.ray_cluster import RayCluster
from rayfleet.model.replica import FORMING_TIMED_OUT, ReplicaPhase, ReplicaState
from rayfleet.objects.labels import DRAINING_ANNOTATION
from rayfleet.objects.meta import annotation, decode_meta, is_terminating, name_of
from rayfleet.objects.pods import incarnation_text, is_finished, is_head, node_name
from rayfleet.planning.replica.obstacles import (
    PODS_UNREADABLE,
    RESTARTED,
    Calm,
    Obstacle,
    SidecarReason,
    Standing,
    ends_of,
    is_trouble,
    standing_of,
    trouble_of,
    wait_of,
)
from rayfleet.planning.replica.stages import stages_after

_P = ReplicaPhase
_WERE_READY = frozenset({_P.READY, _P.BROKEN, _P.FAILED})
_KEEPS_INCARNATION = frozenset({_P.READY, _P.DRAINING, _P.BROKEN, _P.TERMINATING, _P.FAILED})
_NOTICED_WITHIN = timedelta(minutes=2)  # a choice: how long before a replica was seen broken its cause may have ended
_STUCK_AFTER = timedelta(seconds=30)  # a choice: past a pod's grace period, until it is said to be stuck
_NAMED = 3  # pods in a message at most
_OF_SIDECARS = frozenset(SidecarReason)
_NOTHING = Obstacle(reason=Calm.NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What a phase is decided on. ``standings`` are those of ``alive`` pods, neither finished nor on their way out."""

    cluster: RayCluster
    pods: Sequence[ReadOnlyJson]
    before: ReplicaState | None
    now: datetime
    alive: Sequence[tuple[Standing, ReadOnlyJson]]
    absence: str

    @property
    def expected(self) -> int:
        """Return how many pods there should be."""
        return 1 + self.cluster.expected_workers

    def through(self, standing: Standing) -> int:
        """Return how many pods have come at least so far; of Ray's nodes a head counts that its workers have joined."""
        reached = sum(each >= standing for each, _ in self.alive)
        behind = [pod for each, pod in self.alive if each < standing]
        is_head_implied = standing is Standing.JOINED and len(behind) == 1 and is_head(behind[0])
        return reached + (is_head_implied and trouble_of(behind[0]) is None and _is_running(self.alive, behind[0]))


def replica_state(
    cluster: RayCluster, pods: Sequence[ReadOnlyJson], before: ReplicaState | None, now: datetime, absence: str = ""
) -> ReplicaState:
    """Return where a replica stands; ``before`` is what was said of it last, None at first.

    ``since`` and the stages go on from there; the incarnation of its pods is noted each time it becomes ready, and kept
    until it does so again. ``absence`` says why no pods can be read, empty when they can.
    """
    pods = sorted(pods, key=lambda pod: (not is_head(pod), name_of(pod)))
    alive = [(standing_of(pod), pod) for pod in pods if not is_terminating(pod) and not is_finished(pod)]
    seen = _Seen(cluster=cluster, pods=pods, before=before, now=now, alive=alive, absence=absence)
    phase, progress, explain = next(row for row in _phases(seen) if row is not None)
    obstacle = _kept_words(explain(), before)
    is_same = before is not None and before.phase is phase
    return ReplicaState(
        name=cluster.meta.name,
        uid=cluster.meta.uid,
        phase=phase,
        reason=str(obstacle.reason),
        message=obstacle.message,
        since=before.since if before is not None and is_same else now,
        progress=progress,
        pod=obstacle.pod,
        container=obstacle.container,
        incarnation=_incarnation(phase, pods, before),
        stages=stages_after(before, phase, now) if before is not None else {},
    )


_Row = tuple[ReplicaPhase, str, Callable[[], Obstacle]]


def _phases(seen: _Seen) -> Iterator[_Row | None]:
    """Yield the table of phases; the first that is not None holds: a phase, its progress and how to explain it."""
    cluster, n = seen.cluster, seen.expected
    was_ready = seen.cluster.was_ready or (seen.before is not None and _was_ready(seen.before))
    scheduled, started = seen.through(Standing.STARTING), seen.through(Standing.FORMING)
    joined, ready = seen.through(Standing.JOINED), seen.through(Standing.READY)

    def row(holds: bool, phase: ReplicaPhase, explain: Callable[[], Obstacle], progress: str = "") -> _Row | None:
        return (phase, progress, explain) if holds else None

    yield row(cluster.is_terminating, _P.TERMINATING, lambda: _leaving(seen))
    yield row(_is_draining(seen.pods) and cluster.is_ready, _P.DRAINING, lambda: Obstacle(reason=Calm.DRAINING))
    yield row(cluster.is_ready, _P.READY, lambda: _NOTHING)
    yield row(cluster.is_suspended, _P.PENDING, lambda: _SUSPENDED)
    yield row(was_ready, _P.BROKEN, lambda: _cause(seen))
    yield row(not seen.pods, _P.PENDING, lambda: _without_pods(seen))
    yield row(scheduled < n, _P.SCHEDULING, lambda: _blocker(seen), f"{scheduled}/{n}")
    yield row(started < n, _P.PULLING, lambda: _blocker(seen), f"{started}/{n}")
    yield row(joined < n, _P.RAY_FORMING, lambda: _forming(seen), f"{joined}/{n}")
    yield row(ready < n, _P.ENGINE_LOADING, lambda: _blocker(seen))
    yield row(True, _P.WARMING, lambda: _NOT_REPORTED)


def _was_ready(before: ReplicaState) -> bool:
    is_after_ready = before.phase in _WERE_READY and before.reason != FORMING_TIMED_OUT
    return bool(before.incarnation) or is_after_ready


_SUSPENDED = Obstacle(reason=Calm.SUSPENDED, message="spec.suspend of the RayCluster is true: it waits for admission")
_NOT_REPORTED = Obstacle(reason=Calm.NOT_REPORTED, message="all pods are ready; KubeRay has not said so yet")


def _without_pods(seen: _Seen) -> Obstacle:
    refusal = _refusal(seen.cluster)
    if seen.absence:
        return refusal or Obstacle(reason=PODS_UNREADABLE, message=seen.absence)
    hint = f"KubeRay made no pod yet; if that lasts, see: kubectl describe raycluster {seen.cluster.meta.name}"
    return refusal or Obstacle(reason=Calm.NO_PODS_YET, message=hint)


def _refusal(cluster: RayCluster) -> Obstacle | None:
    """Return what KubeRay says it could not make or delete."""
    if not cluster.failure:
        return None
    return Obstacle(reason=cluster.failure_reason or "ReplicaFailure", message=cluster.failure)


def _blocker(seen: _Seen) -> Obstacle:
    """Return the trouble of the pod that is behind most, else KubeRay's, else what that pod waits for."""
    behind = sorted(seen.alive, key=lambda each: each[0])
    standings = {name_of(pod): standing for standing, pod in behind}
    troubled = sorted(seen.pods, key=lambda pod: standings.get(name_of(pod), Standing.UNSCHEDULED))
    troubles = (trouble_of(pod) for pod in troubled if standings.get(name_of(pod)) is not Standing.READY)
    trouble = next((each for each in troubles if each is not None), None) or _refusal(seen.cluster)
    if trouble is not None:
        return trouble
    if len(seen.alive) < seen.expected:
        message = f"{len(seen.alive)} of {seen.expected} pods are there"
        return Obstacle(reason=Calm.PODS_MISSING, message=message)
    standing, pod = behind[0]
    return wait_of(pod, Standing.JOINED if seen.through(Standing.JOINED) >= seen.expected else standing)


def _forming(seen: _Seen) -> Obstacle:
    """Return what blocks; when it is only Ray, all pods that have not joined by their nodes."""
    obstacle = _blocker(seen)
    if obstacle.is_trouble:
        return obstacle
    absent = [f"{name_of(pod)} (node {node_name(pod)})" for standing, pod in seen.alive if standing < Standing.JOINED]
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    return replace(obstacle, message=f"not joined: {', '.join(absent[:_NAMED])}{more}")


def _cause(seen: _Seen) -> Obstacle:
    """Return why a replica is broken: what is wrong now, else who died first.

    What was said stays said while nothing else is wrong: a pod that ended is soon replaced, and forgotten with it.
    """
    before = seen.before
    present = _blocker(seen) if seen.pods else _refusal(seen.cluster) or _counted(seen.cluster)
    first = min(_deaths(seen), key=_ended_at, default=None)
    if first is not None and (not present.is_trouble or present.reason == RESTARTED):
        present = first
    if before is None or before.phase is not _P.BROKEN or present.is_trouble:
        return present
    if is_trouble(before.reason) and before.reason not in _OF_SIDECARS:
        return _said(before)
    return present


def _counted(cluster: RayCluster) -> Obstacle:
    """Return what KubeRay counts too little of."""
    if cluster.head_ready_since is None:
        return Obstacle(reason=Calm.HEAD_NOT_READY, message="the head pod is not ready")
    message = f"{cluster.ready_workers} of {cluster.expected_workers} workers are ready"
    return Obstacle(reason=Calm.WORKERS_NOT_READY, message=message)


def _deaths(seen: _Seen) -> Iterator[Obstacle]:
    """Yield the ends of containers since the replica was ready last."""
    before = seen.before
    if before is None:
        return
    earliest = before.since.replace(microsecond=0) - (timedelta() if before.phase is _P.READY else _NOTICED_WITHIN)
    for pod in seen.pods:
        for end in ends_of(pod):
            if end.ended_at is not None and end.ended_at >= earliest:
                yield end


def _ended_at(end: Obstacle) -> float:
    return end.ended_at.timestamp() if end.ended_at is not None else float("inf")


def _leaving(seen: _Seen) -> Obstacle:
    """Return the pod that does not go, though its time is over."""
    for pod in seen.pods:
        deleted_at = decode_meta(pod).deleted_at
        if deleted_at is not None and deleted_at + _STUCK_AFTER < seen.now:
            message = f"still there after its grace period (node {node_name(pod)})"
            return Obstacle(reason="PodStuck", message=message, pod=name_of(pod))
    return Obstacle(reason=Calm.DELETED)


def _kept_words(obstacle: Obstacle, before: ReplicaState | None) -> Obstacle:
    """Return what was said before when it is the same said shorter (a kubelet drops the cause while it backs off)."""
    if before is None or not obstacle.message:
        return obstacle
    is_same = (obstacle.reason, obstacle.pod, obstacle.container) == (before.reason, before.pod, before.container)
    return _said(before) if is_same and before.message.startswith(obstacle.message) else obstacle


def _said(before: ReplicaState) -> Obstacle:
    return Obstacle(reason=before.reason, message=before.message, pod=before.pod, container=before.container)


def _incarnation(phase: ReplicaPhase, pods: Sequence[ReadOnlyJson], before: ReplicaState | None) -> str:
    if phase is _P.READY and (before is None or before.phase is not _P.READY or not before.incarnation):
        return incarnation_text(pods)
    return before.incarnation if before is not None and phase in _KEEPS_INCARNATION else ""


def _is_draining(pods: Sequence[ReadOnlyJson]) -> bool:
    return any(is_head(pod) and bool(annotation(pod, DRAINING_ANNOTATION)) for pod in pods)


def _is_running(alive: Sequence[tuple[Standing, ReadOnlyJson]], pod: ReadOnlyJson) -> bool:
    return any(standing >= Standing.FORMING for standing, each in alive if each is pod)
