"""A container's life, event by event and in every order (rayfleet.local.node.lifecycle): pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from rayfleet.local.node.lifecycle import (
    CONFIGURE_AGAIN,
    EDGES,
    Attend,
    Blocked,
    Clear,
    Cleared,
    ContainerPolicy,
    EndAsked,
    Event,
    Exited,
    HookEnded,
    NotStarted,
    PreStop,
    Probed,
    Rest,
    Start,
    Started,
    Step,
    Stop,
    Wait,
    WaitOver,
    after,
    is_gone,
    next_step,
    stage_of,
)
from rayfleet.local.node.notices import notices
from rayfleet.local.node.probes import ProbeKind
from rayfleet.local.node.views import ContainerView, Ended, Ending, Running, Waiting
from rayfleet.objects.containers import BACK_OFF

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ALWAYS = ContainerPolicy()
NEVER = ContainerPolicy(restart="Never")
HOOKED = ContainerPolicy(has_pre_stop=True)
LIVENESS, READINESS, STARTUP = ProbeKind.LIVENESS, ProbeKind.READINESS, ProbeKind.STARTUP
NEW = ContainerView(name="a", image="i", is_clear=True)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def lived(*events: Event | float, policy: ContainerPolicy = ALWAYS, view: ContainerView = NEW) -> ContainerView:
    """Return the container after events; a number is the second in which the next ones happen."""
    now = T0
    for event in events:
        if isinstance(event, int | float):
            now = at(event)
        else:
            view = after(view, event, policy, now)
    return view


START = Started(container_id="rayfleet://u/a/0")
FAIL, SUCCEED, KILLED = Exited(code=1), Exited(code=0), Exited(code=-9)
END = EndAsked(by=at(30), least=2 * SECOND)


@pytest.mark.parametrize(
    ("events", "policy", "step"),
    [
        ((), ALWAYS, Start(run=0)),
        ((Blocked(reason="WaitingForService", message="m"),), ALWAYS, Wait(until=T0 + CONFIGURE_AGAIN)),
        ((Blocked(reason="WaitingForService", message="m"), WaitOver()), ALWAYS, Start(run=0)),
        ((START,), ALWAYS, Attend()),
        ((START, 5, FAIL), ALWAYS, Start(run=1)),  # the first end is followed at once
        ((START, 5, FAIL, START, 9, FAIL), ALWAYS, Wait(until=at(19))),  # then 10 s, 20 s, ...
        ((START, 5, FAIL, START, 9, FAIL, 19, WaitOver()), ALWAYS, Start(run=2)),
        ((START, 5, FAIL, START, 9, FAIL, 19, WaitOver(), START, 20, FAIL), ALWAYS, Wait(until=at(40))),
        ((START, 5, FAIL, START, 605, FAIL), ALWAYS, Start(run=2)),  # ten steady minutes forget the back-off
        ((START, 5, FAIL), NEVER, Rest()),
        ((START, 5, SUCCEED), ContainerPolicy(restart="OnFailure"), Rest()),
        ((NotStarted(message="m"),), ALWAYS, Start(run=1)),  # counts as an end
        ((NotStarted(message="m"), NotStarted(message="m")), ALWAYS, Wait(until=at(10))),
        ((NotStarted(message="m"),), NEVER, Rest()),
        ((START, 5, Probed(kind=LIVENESS, is_passing=False)), ALWAYS, Stop(by=at(35))),
        ((START, 5, Probed(kind=STARTUP, is_passing=False)), ALWAYS, Stop(by=at(35))),
        ((START, 5, Probed(kind=READINESS, is_passing=False)), ALWAYS, Attend()),
        ((START, 5, Probed(kind=LIVENESS, is_passing=False), 6, KILLED), ALWAYS, Start(run=1)),
        ((START, 5, Probed(kind=LIVENESS, is_passing=False)), HOOKED, PreStop(by=at(35))),
    ],
)
def test_what_is_done_next(events: tuple[Event | float, ...], policy: ContainerPolicy, step: Step) -> None:
    assert next_step(lived(*events, policy=policy), policy) == step


@pytest.mark.parametrize(
    ("events", "policy", "step"),
    [
        ((END,), ALWAYS, Rest()),
        ((Blocked(reason="WaitingForService", message="m"), END), ALWAYS, Rest()),
        ((START, 5, FAIL, START, 9, FAIL, END), ALWAYS, Rest()),  # a back-off does not hold up the end
        ((START, END), ALWAYS, Stop(by=at(30))),
        ((START, 29.5, END), ALWAYS, Stop(by=at(31.5))),  # SIGTERM gets two seconds at least
        ((START, END, 5, SUCCEED), ALWAYS, Rest()),
        ((START, END), HOOKED, PreStop(by=at(30))),
        ((START, END, 4, HookEnded()), HOOKED, Stop(by=at(30))),
        ((START, END, 30, HookEnded()), HOOKED, Stop(by=at(32))),  # the hook used up the grace
        ((START, 5, EndAsked(by=at(5))), HOOKED, Stop(by=at(5))),  # no grace: no hook either
        ((START, END, 5, EndAsked(by=at(6))), ALWAYS, Stop(by=at(6))),  # sooner
        ((START, END, 5, EndAsked(by=at(6))), HOOKED, Stop(by=at(6))),  # sooner: the hook is cut
        ((START, END, 5, EndAsked(by=at(99))), ALWAYS, Stop(by=at(30))),  # not later
        ((START, END, 5, Probed(kind=LIVENESS, is_passing=False)), ALWAYS, Stop(by=at(30))),
        ((START, 1, Probed(kind=LIVENESS, is_passing=False), END, 5, FAIL), ALWAYS, Rest()),  # not started again
    ],
)
def test_an_end_that_was_asked_for(events: tuple[Event | float, ...], policy: ContainerPolicy, step: Step) -> None:
    assert next_step(lived(*events, policy=policy), policy) == step


def test_nothing_starts_before_what_was_left_is_cleared_and_an_end_is_cleared() -> None:
    recalled = replace(NEW, is_clear=False)
    assert next_step(recalled, ALWAYS) == Clear()
    assert next_step(lived(Cleared(), view=recalled), ALWAYS) == Start(run=0)
    assert next_step(lived(END, view=recalled), ALWAYS) == Clear()
    assert not is_gone(lived(END, view=recalled))
    assert is_gone(lived(END, Cleared(), view=recalled))
    assert not is_gone(lived(START))
    assert is_gone(lived(START, KILLED))


@pytest.mark.parametrize(
    ("probes", "events", "is_started", "is_ready"),
    [
        ((), (), True, True),
        ((LIVENESS,), (), True, True),
        ((READINESS,), (), True, False),
        ((READINESS,), (Probed(kind=READINESS, is_passing=True),), True, True),
        (
            (READINESS,),
            (Probed(kind=READINESS, is_passing=True), Probed(kind=READINESS, is_passing=False)),
            True,
            False,
        ),
        ((STARTUP,), (), False, False),
        ((STARTUP,), (Probed(kind=STARTUP, is_passing=True),), True, True),
        ((STARTUP, READINESS), (Probed(kind=STARTUP, is_passing=True),), True, False),
        ((READINESS,), (Probed(kind=READINESS, is_passing=True), END), True, True),  # the pod says Terminating
        ((), (FAIL,), False, False),
    ],
)
def test_probes_say_whether_it_is_started_and_ready(
    probes: tuple[ProbeKind, ...], events: tuple[Event, ...], is_started: bool, is_ready: bool
) -> None:
    policy = ContainerPolicy(probes=frozenset(probes))
    view = lived(START, *events, policy=policy)
    assert (view.is_started, view.is_ready) == (is_started, is_ready)


def test_an_init_container_that_has_succeeded_is_ready() -> None:
    init = ContainerPolicy(restart="OnFailure", is_init=True)
    assert lived(START, SUCCEED, policy=init).is_ready
    assert not lived(START, FAIL, policy=init).is_ready


@pytest.mark.parametrize(
    ("code", "exit_code", "reason"),
    [(0, 0, "Completed"), (3, 3, "Error"), (-9, 137, "Error"), (None, 137, "ContainerStatusUnknown")],
)
def test_how_it_ended_is_told_from_its_code(code: int | None, exit_code: int, reason: str) -> None:
    state = lived(START, 7, Exited(code=code), policy=NEVER).state
    assert isinstance(state, Ended)
    assert (state.exit_code, state.reason) == (exit_code, reason)
    assert (state.started_at, state.finished_at) == (T0, at(7))


def test_a_run_has_the_number_of_ends_before_it_and_shows_the_last() -> None:
    again = lived(START, 5, FAIL, 6, Started(container_id="rayfleet://u/a/1"))
    assert (again.restart_count, again.container_id) == (1, "rayfleet://u/a/1")
    assert again.last_ended is not None
    assert again.last_ended.exit_code == 1
    assert lived(START, 5, FAIL).restart_count == 0  # not before it runs
    assert lived(START, 5, FAIL, START, 9, FAIL).restart_count == 1  # nor while it waits


def test_a_back_off_says_so() -> None:
    waiting = lived(START, 5, FAIL, START, 9, FAIL).state
    assert isinstance(waiting, Waiting)
    assert (waiting.reason, waiting.message) == (BACK_OFF, "back-off 10s restarting failed container=a")


def test_an_end_that_was_asked_for_is_no_back_off() -> None:
    assert isinstance(lived(START, 5, FAIL, START, END, 9, FAIL).state, Ended)


@pytest.mark.parametrize("event", [START, NotStarted(message="m"), Blocked(reason="r", message="m")])
@pytest.mark.parametrize("view", [lived(START), lived(END), replace(NEW, is_clear=False), lived(START, END)])
def test_a_start_that_was_not_to_be_is_an_error_or_comes_too_late(view: ContainerView, event: Event) -> None:
    if (stage_of(view), type(event)) in EDGES:
        with pytest.raises(ValueError, match="was not to start"):
            after(view, event, ALWAYS, T0)
    else:
        assert after(view, event, ALWAYS, T0) == view


BLOCKED = Blocked(reason="ErrImagePull", message="no image x")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ((START,), ["Started"]),
        ((BLOCKED,), ["Failed"]),
        ((BLOCKED, WaitOver(), BLOCKED), ["Failed"]),  # said once
        ((BLOCKED, WaitOver(), replace(BLOCKED, message="no image y")), ["Failed", "Failed"]),
        ((Blocked(reason="WaitingForService", message="m"),), []),
        ((NotStarted(message="m"),), ["Failed"]),
        ((NotStarted(message="m"), NotStarted(message="m")), ["Failed", "Failed", "BackOff"]),
        ((START, FAIL), ["Started"]),
        ((START, FAIL, START, FAIL), ["Started", "Started", "BackOff"]),
        ((START, Probed(kind=READINESS, is_passing=False)), ["Started", "Unhealthy"]),
        ((START, Probed(kind=READINESS, is_passing=True)), ["Started"]),
        ((START, END), ["Started", "Killing"]),
        ((START, END, EndAsked(by=at(1))), ["Started", "Killing"]),
        ((START, Probed(kind=LIVENESS, is_passing=False), END), ["Started", "Unhealthy", "Killing"]),
        ((END,), []),  # nothing is killed
    ],
)
def test_what_a_person_reads(events: tuple[Event, ...], told: list[str]) -> None:
    view, reasons = NEW, []
    for event in events:
        moved = after(view, event, ALWAYS, T0)
        reasons += [notice.reason for notice in notices(view, event, moved)]
        view = moved
    assert reasons == told


def test_an_end_sooner_than_a_probes_leaves_sigterm_where_it_was() -> None:
    state = lived(START, 5, Probed(kind=LIVENESS, is_passing=False), 6, HookEnded(), 7, END, policy=HOOKED).state
    assert isinstance(state, Running)
    assert state.ending == Ending(by=at(30), least=2 * SECOND, signalled_at=at(6))
