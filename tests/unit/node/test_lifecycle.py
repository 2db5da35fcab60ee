"""A container's life, event by event and in every order (rayfleet.local.node.lifecycle): pure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.local.node.lifecycle import (
    BACK_OFF,
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
    Stage,
    Start,
    Started,
    Step,
    Stop,
    Wait,
    WaitOver,
    after,
    is_gone,
    is_over,
    next_run,
    next_step,
    stage_of,
)
from rayfleet.local.node.notices import notices
from rayfleet.local.node.pod_status import pod_status
from rayfleet.local.node.probes import ProbeKind
from rayfleet.local.node.restarts import is_restarted
from rayfleet.local.node.views import ContainerView, Ended, Ending, PodView, Running, Waiting

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
    assert (waiting.reason, waiting.message) == (BACK_OFF, "back-off 10 s restarting container a")


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


POLICIES = st.builds(
    ContainerPolicy,
    restart=st.sampled_from(["Always", "OnFailure", "Never"]),
    is_init=st.booleans(),
    probes=st.frozensets(st.sampled_from(ProbeKind)),
    has_pre_stop=st.booleans(),
    grace=st.sampled_from([timedelta(0), SECOND, 30 * SECOND]),
)
PASSED = st.sampled_from([0.0, 0.1, 1.0, 15.0, 400.0, 700.0])
CODES = st.sampled_from([0, 1, -9, None])
PROBED = st.builds(Probed, kind=st.sampled_from(ProbeKind), is_passing=st.booleans())


@dataclass(frozen=True, slots=True)
class AskEnd:
    """An end asked for, with these graces from then."""

    grace: timedelta
    least: timedelta


ASKED = st.builds(AskEnd, st.sampled_from([timedelta(0), SECOND, 30 * SECOND]), st.sampled_from([timedelta(0), SECOND]))
EVENTS = st.one_of(
    PROBED,
    ASKED,
    st.builds(Exited, code=CODES),
    st.sampled_from([START, NotStarted(message="m"), BLOCKED, WaitOver(), HookEnded(), Cleared()]),
)
EVERY_EVENT: tuple[Event, ...] = (
    *(START, NotStarted(message="m"), BLOCKED, WaitOver(), HookEnded(), Cleared(), FAIL, SUCCEED, END),
    *(Probed(kind=kind, is_passing=is_passing) for kind in ProbeKind for is_passing in (True, False)),
)
LIVES = st.lists(st.tuples(PASSED, EVENTS), max_size=25)


def carried_out(view: ContainerView, policy: ContainerPolicy, event: Event) -> bool:
    """Whether the edge could report an event now: as the outcome of the step, or because it comes from outside."""
    match next_step(view, policy), event:
        case (
            (Start(), Started() | NotStarted() | Blocked())
            | (Wait(), WaitOver())
            | (Attend() | PreStop() | Stop(), Exited() | Probed())
            | (PreStop(), HookEnded())
            | (Clear(), Cleared())
            | (_, EndAsked())
        ):
            return True
        case _:
            return False


def moments(
    policy: ContainerPolicy, life: list[tuple[float, Event | AskEnd]], view: ContainerView, *, is_any: bool = False
) -> Iterator[tuple[ContainerView, Event, ContainerView, datetime]]:
    """Yield each moment of a life; with ``is_any`` events come that the edge would not report, too."""
    now = T0
    for passed, what in life:
        now += timedelta(seconds=passed)
        event: Event = EndAsked(by=now + what.grace, least=what.least) if isinstance(what, AskEnd) else what
        is_start = isinstance(event, Started | NotStarted | Blocked)
        if carried_out(view, policy, event) or (is_any and not is_start):
            moved = after(view, event, policy, now)
            yield view, event, moved, now
            view = moved


def status_of(view: ContainerView, policy: ContainerPolicy) -> dict[str, Any]:
    pod = PodView(
        address="127.77.0.2",
        started_at=T0,
        init_containers=(view,) if policy.is_init else (),
        containers=() if policy.is_init else (view,),
        restart_policy=policy.restart,
    )
    status = pod_status(pod, (), T0)
    entry: dict[str, Any] = [*status["initContainerStatuses"], *status["containerStatuses"]][0]
    return entry


def check_status(entry: dict[str, Any], policy: ContainerPolicy) -> None:
    """Hold an entry to what Kubernetes says of a ContainerStatus (core/v1 types.go)."""
    ((state, detail),) = entry["state"].items()  # "Only one of its members may be specified"
    assert state in {"waiting", "running", "terminated"}
    assert entry["restartCount"] >= 0
    if state == "waiting":
        assert detail["reason"]
    if entry["ready"]:
        assert state == "running" or (policy.is_init and state == "terminated" and detail["exitCode"] == 0)
    if entry["started"]:
        assert state == "running"
    ends = [detail] if state == "terminated" else []
    ends += [entry["lastState"]["terminated"]] if entry["lastState"] else []
    for end in ends:
        assert end["reason"]
        assert 0 <= end["exitCode"] <= 255
        assert end["startedAt"] <= end["finishedAt"]
    if entry["restartCount"]:
        assert ends  # a restart had an end before it


def check_status_moved(before: dict[str, Any], now: dict[str, Any], policy: ContainerPolicy) -> None:
    """Hold a change to what the API server lets a kubelet write (ValidateContainerStateTransition)."""
    assert before["restartCount"] <= now["restartCount"] <= before["restartCount"] + 1
    ended = before["state"].get("terminated")
    if ended and "terminated" not in now["state"]:
        assert is_restarted(policy.restart, ended["exitCode"])


@given(POLICIES, LIVES, st.booleans(), st.booleans())
def test_every_life_is_legal_in_every_moment(
    policy: ContainerPolicy, life: list[tuple[float, Event | AskEnd]], is_recalled: bool, is_any: bool
) -> None:
    first = replace(NEW, is_clear=False, state=Running(since=T0)) if is_recalled else NEW
    for before, event, now, _ in moments(policy, life, first, is_any=is_any):
        edge = (stage_of(before), type(event))
        assert now == before if edge not in EDGES else stage_of(now) in EDGES[edge]
        check_status(status_of(now, policy), policy)
        check_status_moved(status_of(before, policy), status_of(now, policy), policy)
        assert now.is_leaving or not before.is_leaving
        assert not (now.is_clear and isinstance(now.state, Running))
        assert now.ends_in_a_row >= 0


@given(POLICIES, LIVES)
def test_a_start_needs_a_clear_container_that_is_not_to_end(
    policy: ContainerPolicy, life: list[tuple[float, Event | AskEnd]]
) -> None:
    for _, _, now, _ in moments(policy, life, replace(NEW, is_clear=False)):
        step = next_step(now, policy)
        if isinstance(step, Start | Wait):
            assert not now.is_leaving
            assert not is_over(now, policy.restart)
            assert now.is_clear
            assert not isinstance(now.state, Running)
        if isinstance(step, Start):
            assert step.run == next_run(now) in {now.restart_count, now.restart_count + 1}
        assert isinstance(step, Attend | PreStop | Stop) == isinstance(now.state, Running)
        assert not (isinstance(step, PreStop) and not policy.has_pre_stop)


@given(POLICIES, LIVES)
def test_an_end_comes_in_its_time_and_is_never_put_off(
    policy: ContainerPolicy, life: list[tuple[float, Event | AskEnd]]
) -> None:
    for before, event, moved, now in moments(policy, life, NEW):
        if not isinstance(before.state, Running) or not isinstance(moved.state, Running):
            continue
        was, ending = before.state.ending, moved.state.ending
        if was is not None:
            assert ending is not None
            assert ending.by <= was.by
            assert was.signalled_at is None or ending.kill_at <= max(was.kill_at, now + ending.least)
        if isinstance(event, EndAsked):
            assert ending is not None
            assert ending.by <= event.by


@given(POLICIES, LIVES, ASKED)
def test_whatever_happened_an_end_that_is_asked_for_is_a_few_steps_away(
    policy: ContainerPolicy, life: list[tuple[float, Event | AskEnd]], asked: AskEnd
) -> None:
    view, now = NEW, T0
    for _, _, view, now in moments(policy, life, NEW):  # noqa: B007 - the last ones count
        pass
    view = after(view, EndAsked(by=now + asked.grace, least=asked.least), policy, now)
    taken: list[Step] = []
    while not isinstance(step := next_step(view, policy), Rest):
        taken.append(step)
        outcome: dict[type[Step], Event] = {PreStop: HookEnded(), Stop: KILLED, Clear: Cleared()}
        view = after(view, outcome[type(step)], policy, now)
    assert len(taken) <= 2
    assert is_gone(view)


def test_every_edge_is_walked_to_each_of_its_ends() -> None:
    """The table has no edge that no life takes: the shortest lives reach all of them."""
    walked: dict[tuple[Stage, type[Event]], set[Stage]] = {}
    ended = Ended(exit_code=0, reason="Completed", started_at=T0, finished_at=T0)
    recalled = replace(NEW, is_clear=False)
    for policy in (ALWAYS, NEVER, HOOKED, ContainerPolicy(probes=frozenset(ProbeKind))):
        seen: set[ContainerView] = set()
        fresh = {NEW, recalled, replace(recalled, state=ended)}
        for _ in range(6):
            reached = set()
            for view, event in itertools.product(fresh, EVERY_EVENT):
                if carried_out(view, policy, event):
                    moved = after(view, event, policy, T0)
                    walked.setdefault((stage_of(view), type(event)), set()).add(stage_of(moved))
                    reached.add(moved)
            seen |= fresh
            fresh = reached - seen
    assert walked == {edge: set(ends) for edge, ends in EDGES.items()}


def test_an_end_sooner_than_a_probes_leaves_sigterm_where_it_was() -> None:
    state = lived(START, 5, Probed(kind=LIVENESS, is_passing=False), 6, HookEnded(), 7, END, policy=HOOKED).state
    assert isinstance(state, Running)
    assert state.ending == Ending(by=at(30), least=2 * SECOND, signalled_at=at(6))
