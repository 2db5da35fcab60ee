"""Which replicas are broken, and when one is rebuilt: one table, a back-off and a budget. Pure.

Only what was ready can break, and only what formed no Ray cluster in time is given up before that: one that has never
been ready belongs to its rollout, which has a deadline of its own. A suspended one (Kueue) is neither. Nobody waits for
what cannot come back in time: a container whose kubelet holds it back for too long is rebuilt at once.

A rebuild is noted in the replica set's status before anything is deleted, under the name of the Ray cluster that is
given up: whenever the controller dies, the next one goes on, and no rebuild is counted twice or not at all. The budget
is each place's own, so that one bad node does not use up the others'. Back-off from 30 to 600 s as RBG's restarts;
a budget with an end as LeaderWorkerSet's KEP-820.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from rayfleet.model.fleet import ReplicaSet
from rayfleet.model.policies import Recovery
from rayfleet.model.replica import FORMING_TIMED_OUT, Rebuild, ReplicaPhase
from rayfleet.objects.backoff import Backoff
from rayfleet.objects.containers import BACK_OFF
from rayfleet.objects.labels import RESUME_ANNOTATION
from rayfleet.objects.ray_spec import has_autoscaler
from rayfleet.objects.times import encode_time
from rayfleet.planning.replica_set.forming import stuck_since
from rayfleet.planning.replica_set.held_back import HeldBack, held_back_longest
from rayfleet.planning.replica_set.lives import (
    Death,
    Loss,
    first_death,
    is_proved,
    loss_after,
    loss_since,
    youngest_start,
)
from rayfleet.planning.replica_set.replicas import Replica

NOT_READY = "NotReady"
"""The reason of one that lost nothing; what is wrong with it, its pods tell."""


class Patience(Enum):
    """How long a broken replica has to come back by itself."""

    NONE = "none"
    GRACE = "graceSeconds"
    FORMING = "formingDeadlineSeconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a loss means: a reason, and how long it may last."""

    reason: str
    words: str
    patience: Patience


_RULES: Mapping[tuple[bool, Loss], Rule] = {
    # Ready, and nothing says that the head turned ready after the loss (``is_proved``): its word is an old one. With
    # Ray's own probes only, or while no request runs, an engine without its ranks looks well for hours.
    (True, Loss.WORKERS): Rule(reason="WorkerLost", words="a worker was lost", patience=Patience.GRACE),
    (True, Loss.HEAD_CONTAINER): Rule(reason="HeadRestarted", words="the head restarted", patience=Patience.GRACE),
    (True, Loss.HEAD_POD): Rule(reason="HeadReplaced", words="the head was replaced", patience=Patience.GRACE),
    (True, Loss.EVERYTHING): Rule(reason="AllLost", words="all of it restarted", patience=Patience.GRACE),
    # All its pods live on: the engine hangs, or a node is cut off. What is not back soon is not coming back.
    (False, Loss.NOTHING): Rule(reason=NOT_READY, words="it is not ready", patience=Patience.GRACE),
    # KubeRay or the kubelet brings the worker back, and some engines take it in again (llama.cpp).
    (False, Loss.WORKERS): Rule(reason="WorkerLost", words="a worker was lost", patience=Patience.GRACE),
    # The kubelet starts the head again where it stands; the workers' raylets lose their GCS, restart and join it.
    (False, Loss.HEAD_CONTAINER): Rule(reason="HeadRestarted", words="the head restarted", patience=Patience.GRACE),
    # Another head pod beside workers of the old one: KubeRay leaves those alone, they hold accelerators and belong to
    # a GCS that is gone (kuberay#1141). Nothing is there to wait for.
    (False, Loss.HEAD_POD): Rule(reason="HeadReplaced", words="the head was replaced", patience=Patience.NONE),
    # It starts over in new containers, which is all that a rebuild would do: it has as long as one that forms.
    (False, Loss.EVERYTHING): Rule(reason="AllLost", words="all of it restarted", patience=Patience.FORMING),
}
"""By whether it says that it is ready, and what is lost of the lives that were ready. (Ready without loss is well.)"""

_FIRST_SIGNAL = 128  # a runtime that names no signal adds it to this
_BROKEN = frozenset({ReplicaPhase.BROKEN, ReplicaPhase.FAILED})
_STUCK = Rule(reason=FORMING_TIMED_OUT, words="Ray does not stand in all of its containers", patience=Patience.FORMING)
_HELD_BACK = Rule(reason=BACK_OFF, words="a container is held back for too long", patience=Patience.NONE)
REASONS = tuple(dict.fromkeys(rule.reason for rule in (*_RULES.values(), _STUCK, _HELD_BACK)))
"""Every reason that a verdict may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """What broke a replica, and since when; ``death`` is what a container that is held back died of."""

    rule: Rule
    since: datetime
    death: Death | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be said of a replica that is not well, and done about it.

    ``phase`` is Broken or Failed. ``is_given_up``: it is to be rebuilt now; else ``look_again`` says when time alone
    may change that, None: never.
    """

    phase: ReplicaPhase
    reason: str
    message: str
    since: datetime
    is_given_up: bool = False
    look_again: timedelta | None = None


def verdicts(replica_set: ReplicaSet, replicas: Sequence[Replica], now: datetime) -> dict[str, Verdict]:
    """Return the verdict on each that is not well, by UID; terminating and suspended ones have none."""
    judged: dict[str, Verdict] = {}
    for replica in replicas:
        break_ = broken_by(replica, replica_set, now)
        if break_ is not None:
            judged[replica.uid] = _verdict(replica, replica_set, break_, now)
    return judged


def is_resumed(replica_set: ReplicaSet) -> bool:
    """Whether a new value of the annotation gives Failed ones another budget."""
    asked = replica_set.meta.annotations.get(RESUME_ANNOTATION, "")
    return bool(asked) and asked != replica_set.status.resumed


def counted_rebuilds(replica_set: ReplicaSet, now: datetime) -> tuple[Rebuild, ...]:
    """Return the rebuilds that count against budgets now, oldest first."""
    if is_resumed(replica_set):
        return ()
    window = timedelta(seconds=replica_set.spec.recovery.window_seconds)
    return tuple(rebuild for rebuild in replica_set.status.rebuilds if rebuild.time + window > now)


def broken_by(replica: Replica, replica_set: ReplicaSet, now: datetime) -> Break | None:
    """Return what broke a replica and since when, None for one that is well, suspended, or on its way out."""
    cluster, noted = replica.cluster, replica.noted_life
    if cluster.is_terminating or cluster.is_suspended:
        return None
    if not replica.was_ready:
        wait = forming_wait(replica, replica_set, now)
        since = stuck_since(replica)
        return Break(rule=_STUCK, since=since) if since is not None and wait == timedelta(0) else None
    loss = _loss(replica)
    if has_autoscaler(replica_set.spec.template.spec) and loss is Loss.WORKERS:
        loss = Loss.NOTHING  # Ray's autoscaler takes idle ones away
    rule = _RULES.get((cluster.is_ready, loss))
    if rule is None or (cluster.is_ready and is_proved(noted, replica.pods)):
        return None
    broken = Break(rule=rule, since=_broken_since(replica, rule, now))
    held = held_back_longest(replica.pods, now)
    if held is None or not _is_too_long(held, broken, replica_set.spec.recovery):
        return broken
    return replace(broken, rule=_HELD_BACK, death=held.death)


def _loss(replica: Replica) -> Loss:
    """Return what a replica that was ready has lost, as far as its pods tell."""
    cluster = replica.cluster
    if not replica.pods:
        return Loss.NOTHING
    if replica.noted_life:
        return loss_since(replica.noted_life, replica.pods)
    if cluster.is_ready or cluster.first_ready_at is None:
        return Loss.NOTHING
    return loss_after(cluster.first_ready_at, cluster.expected_workers, replica.pods)


def forming_wait(replica: Replica, replica_set: ReplicaSet, now: datetime) -> timedelta | None:
    """Return how long a replica may go on forming, 0 when no longer; None: nothing says that it is stuck."""
    cluster = replica.cluster
    if replica.was_ready or cluster.is_ready or cluster.is_suspended or cluster.is_terminating:
        return None
    since = stuck_since(replica)
    deadline = timedelta(seconds=replica_set.spec.recovery.forming_deadline_seconds)
    return max(timedelta(0), since + deadline - now) if since is not None else None


def _broken_since(replica: Replica, rule: Rule, now: datetime) -> datetime:
    """Return since when a replica has been broken: as noted; for one that says it is ready, since the loss.

    Where no container says when it started, the loss began when it was first told.
    """
    noted = replica.before
    if noted is not None and noted.phase in _BROKEN:
        return noted.since
    if not replica.cluster.is_ready:
        return now
    first_said = noted.since if noted is not None and noted.reason == rule.reason else now
    return youngest_start(replica.noted_life, replica.pods) or first_said


def _is_too_long(held: HeldBack, broken: Break, recovery: Recovery) -> bool:
    """Whether a container cannot be back within its time: the pause ends after it, or takes half of the grace.

    The other half (a choice) is for Ray and the engine to start. With a grace of 60 s, pauses of 10 s and 20 s are
    waited for, one of 40 s is not: it would be longer than the rebuild.
    """
    patience = broken.rule.patience
    is_past = held.until > broken.since + _duration(patience, recovery)
    return patience is not Patience.NONE and (is_past or held.pause > _duration(Patience.GRACE, recovery) / 2)


def _verdict(replica: Replica, replica_set: ReplicaSet, broken: Break, now: datetime) -> Verdict:
    """Return what becomes of a broken replica: it has time, waits for its turn, is given up, or has failed."""
    recovery, rule, words = replica_set.spec.recovery, broken.rule, _words(replica, broken)
    verdict = Verdict(phase=ReplicaPhase.BROKEN, reason=rule.reason, message=words, since=broken.since)
    if not recovery.enabled or any(rebuild.name == replica.name for rebuild in replica_set.status.rebuilds):
        return verdict  # of one that is given up already, nothing more is to be decided
    if replica.phase_before is ReplicaPhase.FAILED and not is_resumed(replica_set):
        return replace(verdict, phase=ReplicaPhase.FAILED, message=_kept(verdict.message, recovery))
    patience_ends = broken.since + _duration(rule.patience, recovery)
    if now < patience_ends:
        return replace(verdict, look_again=patience_ends - now)
    spent = [rebuild.time for rebuild in counted_rebuilds(replica_set, now) if rebuild.index == replica.place]
    if len(spent) >= recovery.max_rebuilds:
        return replace(verdict, phase=ReplicaPhase.FAILED, message=_kept(verdict.message, recovery))
    turn = max(spent) + _backoff(recovery).delay(len(spent)) if spent else now
    if now < turn:
        message = f"{verdict.message}; rebuild {len(spent) + 1} of {recovery.max_rebuilds} at {encode_time(turn)}"
        return replace(verdict, message=message, look_again=turn - now)
    return replace(verdict, is_given_up=True)


def _words(replica: Replica, broken: Break) -> str:
    """Return what broke it, with who died first and how, as far as its pods still tell."""
    death = broken.death or (first_death(replica.noted_life, replica.pods) if replica.noted_life else None)
    if death is None:
        return broken.rule.words
    end = death.end
    signal = end.signal or max(0, end.code - _FIRST_SIGNAL)
    how = f"exit code {end.code}" + (f", signal {signal}" if signal else "")
    return f"{broken.rule.words}: pod {death.pod} died first ({how}{f', {end.reason}' if end.reason else ''})"


def _kept(message: str, recovery: Recovery) -> str:
    spent = f"{recovery.max_rebuilds} rebuilds within {recovery.window_seconds} s"
    return f"{message}; {spent} did not help: kept as it is, a new value of {RESUME_ANNOTATION} tries again"


def _duration(patience: Patience, recovery: Recovery) -> timedelta:
    seconds = {
        Patience.NONE: 0,
        Patience.GRACE: recovery.grace_seconds,
        Patience.FORMING: recovery.forming_deadline_seconds,
    }
    return timedelta(seconds=seconds[patience])


def _backoff(recovery: Recovery) -> Backoff:
    return Backoff(
        first=timedelta(seconds=recovery.first_backoff_seconds),
        longest=timedelta(seconds=recovery.longest_backoff_seconds),
    )
