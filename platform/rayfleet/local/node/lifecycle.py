"""A container's life: what happens to it, and what the node does next. Pure.

``after`` takes a container through an event, ``next_step`` says what is to be done now. Time enters with the events
alone, so a life can be told again. ``EDGES`` lists which event may lead from which stage to which; an event that has no
edge came too late and changes nothing.

Source: Kubernetes 1.36, "Pod Lifecycle", and the kubelet's kuberuntime_manager.go (computePodActions, doBackOff) and
kuberuntime_container.go (startContainer: a run's number; killContainer: the hook, then SIGTERM with a moment at least).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import assert_never

from rayfleet.local.node.probes import ProbeKind
from rayfleet.local.node.restarts import ends_in_a_row, is_restarted, restart_backoff
from rayfleet.local.node.views import ContainerView, Ended, Ending, Running, Waiting
from rayfleet.objects.containers import BACK_OFF
from rayfleet.objects.durations import duration_words

# How often a container is looked at again whose configuration is not complete yet (a Secret, a Service's address).
CONFIGURE_AGAIN = timedelta(seconds=0.2)
UNKNOWN_EXIT_CODE = 137  # what the kubelet reports for a container whose end it did not see
_NOT_SEEN = "it ended under another node process than the one that started it"
START_ERROR_EXIT_CODE = 128  # what container runtimes report for a program that cannot be started


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPolicy:
    """What the pod's spec says of a container's life; ``grace`` is for ends that a probe brings about."""

    restart: str = "Always"
    is_init: bool = False
    probes: frozenset[ProbeKind] = frozenset()
    has_pre_stop: bool = False
    grace: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """It cannot be configured yet."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Its first process runs."""

    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """Its program cannot be started."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitOver:
    """The time that it waited for has come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What a probe says has flipped."""

    kind: ProbeKind
    is_passing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EndAsked:
    """It is to end for good, ``by`` then; SIGTERM gets ``least`` at any rate."""

    by: datetime
    least: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookEnded:
    """Its preStop hook is over: done, failed or out of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """Its first process has ended, and so has all that it left.

    ``code`` is -N for signal N, None for a process of an earlier node. ``message`` is its own explanation.
    """

    code: int | None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """Nothing of an earlier run is left."""


Event = Blocked | Started | NotStarted | WaitOver | Probed | EndAsked | HookEnded | Exited | Cleared


@dataclass(frozen=True, slots=True, kw_only=True)
class Clear:
    """End what an earlier run, or an earlier node, may have left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Configure and start run number ``run``, counted from 0."""

    run: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do until then."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attend:
    """It runs: wait for its end, or for anything else to happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreStop:
    """Run the preStop hook, until ``by`` at most."""

    by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Send SIGTERM, and SIGKILL at ``by``."""

    by: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """It is over: nothing runs and nothing will."""


Step = Clear | Start | Wait | Attend | PreStop | Stop | Rest


class Stage(StrEnum):
    """Where a container stands."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDING = "ending"
    ENDED = "ended"


_W, _R, _G, _E = Stage.WAITING, Stage.RUNNING, Stage.ENDING, Stage.ENDED

EDGES: Mapping[tuple[Stage, type[Event]], frozenset[Stage]] = MappingProxyType(
    {
        (_W, Cleared): frozenset({_W}),  # it may start now
        (_W, Blocked): frozenset({_W}),  # a Secret, an image, a Service's address is not there: looked at again
        (_W, WaitOver): frozenset({_W}),  # the back-off is over, or it is time to look again
        (_W, Started): frozenset({_R}),  # the first run, or the one after a back-off
        (_W, NotStarted): frozenset({_E, _W}),  # counts as an end: for good or at once again, or with back-off
        (_W, EndAsked): frozenset({_W}),  # it will not start any more
        (_R, Probed): frozenset({_R, _G}),  # readiness, the end of starting up; or a failure that ends it
        (_R, EndAsked): frozenset({_G}),  # the pod is deleted, or the node ends
        (_R, Exited): frozenset({_E, _W}),  # by itself or killed: for good or at once again, or with back-off
        (_G, Probed): frozenset({_G}),  # readiness goes on; a failure ends nothing that ends already
        (_G, EndAsked): frozenset({_G}),  # for good now, and perhaps sooner
        (_G, HookEnded): frozenset({_G}),  # SIGTERM is next
        (_G, Exited): frozenset({_E, _W}),  # as asked; one that a probe ended starts again as its policy says
        (_E, Cleared): frozenset({_E}),  # what an earlier node left of it is gone
        (_E, Blocked): frozenset({_W}),  # the next run lacks something
        (_E, Started): frozenset({_R}),  # again at once, after its first end in a row
        (_E, NotStarted): frozenset({_E, _W}),  # the next run cannot be started
        (_E, EndAsked): frozenset({_E}),  # it will not start again
    }
)


def stage_of(view: ContainerView) -> Stage:
    """Return where the container stands."""
    match view.state:
        case Waiting():
            return Stage.WAITING
        case Running(ending=None):
            return Stage.RUNNING
        case Running():
            return Stage.ENDING
        case Ended():
            return Stage.ENDED
        case _:
            assert_never(view.state)


def is_over(view: ContainerView, restart: str) -> bool:
    """Whether it has ended and its restart policy lets it rest."""
    return isinstance(view.state, Ended) and not is_restarted(restart, view.state.exit_code)


def is_gone(view: ContainerView) -> bool:
    """Whether nothing of it can be on this machine now."""
    return view.is_clear and not isinstance(view.state, Running)


def next_step(view: ContainerView, policy: ContainerPolicy) -> Step:
    """Return what is to be done now. A container starts only where nothing is left of its earlier runs."""
    match view.state:
        case Running(ending=ending):
            return _step_of_running(ending)
        case _ if not view.is_clear:
            return Clear()
        case _ if view.is_leaving or is_over(view, policy.restart):
            return Rest()
        case Waiting(until=datetime() as until):
            return Wait(until=until)
        case _:
            return Start(run=next_run(view))


def next_run(view: ContainerView) -> int:
    """Return the number of the next run: one more than the newest, 0 for the first."""
    return view.restart_count if view.newest_end is None else view.restart_count + 1


def begun(
    view: ContainerView, run: int, container_id: str, probes: frozenset[ProbeKind], since: datetime
) -> ContainerView:
    """Return the container as a run of it begins: started and ready where no probe has a word in that."""
    return replace(
        view,
        state=Running(since=since),
        last_ended=view.newest_end,
        restart_count=run,
        container_id=container_id,
        is_started=ProbeKind.STARTUP not in probes,
        is_ready=not probes & {ProbeKind.READINESS, ProbeKind.STARTUP},
        is_clear=False,
    )


def after(view: ContainerView, event: Event, policy: ContainerPolicy, now: datetime) -> ContainerView:
    """Return the container after an event; the same when the event came too late.

    Raises ValueError for a start of a container that was not to start.
    """
    edge = (stage_of(view), type(event))
    if edge not in EDGES:
        return view
    is_start = isinstance(event, Blocked | Started | NotStarted)
    if is_start and not isinstance(next_step(view, policy), Start):
        raise ValueError(f"container {view.name} was not to start, it is {edge[0]}: {event}")
    moved = _moved(view, event, policy, now)
    assert stage_of(moved) in EDGES[edge], f"{edge} does not lead to {stage_of(moved)}"
    return moved


def _step_of_running(ending: Ending | None) -> Step:
    if ending is None:
        return Attend()
    return PreStop(by=ending.by) if ending.signalled_at is None else Stop(by=ending.kill_at)


def _moved(view: ContainerView, event: Event, policy: ContainerPolicy, now: datetime) -> ContainerView:
    match event:
        case Cleared():
            moved = replace(view, is_clear=True)
        case WaitOver():
            assert isinstance(view.state, Waiting)
            moved = replace(view, state=replace(view.state, until=None))
        case Blocked(reason=reason, message=message):
            state = Waiting(reason=reason, message=message, until=now + CONFIGURE_AGAIN)
            moved = replace(view, state=state, last_ended=view.newest_end, is_ready=False)
        case Started(container_id=container_id):
            moved = begun(view, next_run(view), container_id, policy.probes, now)
        case NotStarted(message=message):
            moved = _not_started(view, message, policy, now)
        case Probed():
            moved = _probed(view, event, policy, now)
        case EndAsked():
            moved = replace(_ending(view, event, policy, now), is_leaving=True)
        case HookEnded():
            assert isinstance(view.state, Running)
            moved = replace(view, state=replace(view.state, ending=_signalled(view.state.ending, now)))
        case Exited():
            moved = _exited(view, event, policy, now)
        case _:
            assert_never(event)
    return moved


def _not_started(view: ContainerView, message: str, policy: ContainerPolicy, now: datetime) -> ContainerView:
    ended = Ended(
        exit_code=START_ERROR_EXIT_CODE, reason="StartError", message=message, started_at=now, finished_at=now
    )
    begun = replace(
        view, restart_count=next_run(view), last_ended=view.newest_end, ends_in_a_row=view.ends_in_a_row + 1
    )
    return _rested(begun, ended, policy, now)


def _exited(view: ContainerView, exited: Exited, policy: ContainerPolicy, now: datetime) -> ContainerView:
    assert isinstance(view.state, Running)
    since, code = view.state.since, exited.code
    exit_code = UNKNOWN_EXIT_CODE if code is None else code if code >= 0 else 128 - code
    ended = Ended(
        exit_code=exit_code,
        reason="ContainerStatusUnknown" if code is None else "Completed" if exit_code == 0 else "Error",
        message=exited.message or (_NOT_SEEN if code is None else ""),
        started_at=since,
        finished_at=max(now, since),
    )
    return _rested(
        replace(view, ends_in_a_row=ends_in_a_row(view.ends_in_a_row, now - since), is_clear=True), ended, policy, now
    )


def _rested(view: ContainerView, ended: Ended, policy: ContainerPolicy, now: datetime) -> ContainerView:
    """Return the container after an end: ended, or waiting out its back-off. A completed init container is ready."""
    is_ready = policy.is_init and ended.exit_code == 0
    over = replace(view, state=ended, is_ready=is_ready, is_started=False)
    pause = restart_backoff(view.ends_in_a_row)
    if not pause or view.is_leaving or is_over(over, policy.restart):
        return over
    message = f"back-off {duration_words(pause)} restarting failed container={view.name}"
    return replace(over, state=Waiting(reason=BACK_OFF, message=message, until=now + pause), last_ended=ended)


def _probed(view: ContainerView, event: Probed, policy: ContainerPolicy, now: datetime) -> ContainerView:
    match event.kind, event.is_passing:
        case ProbeKind.READINESS, is_passing:
            return replace(view, is_ready=is_passing)
        case ProbeKind.STARTUP, True:
            return replace(view, is_started=True, is_ready=ProbeKind.READINESS not in policy.probes)
        case _, False:
            return _ending(view, EndAsked(by=now + policy.grace), policy, now)
        case _:
            return view  # a liveness probe that passes again


def _ending(view: ContainerView, asked: EndAsked, policy: ContainerPolicy, now: datetime) -> ContainerView:
    """Return a running container as it ends; one that ends already keeps its time, or has less of it.

    Then what is left of it is SIGTERM's, and the preStop hook is cut.
    """
    if not isinstance(view.state, Running):
        return view
    earlier = view.state.ending
    if earlier is not None and earlier.by <= asked.by:
        return view
    ending = Ending(by=asked.by, least=asked.least, signalled_at=earlier.signalled_at if earlier else None)
    if earlier is not None or not policy.has_pre_stop or asked.by <= now:
        ending = _signalled(ending, now)
    return replace(view, state=replace(view.state, ending=ending))


def _signalled(ending: Ending | None, now: datetime) -> Ending:
    assert ending is not None
    return ending if ending.signalled_at is not None else replace(ending, signalled_at=now)
