"""A container's life in every order of events, and what Kubernetes says of its status: pure."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rayfleet.local.node.lifecycle import (
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
from rayfleet.local.node.pod_status import pod_status
from rayfleet.local.node.probes import ProbeKind
from rayfleet.local.node.restarts import is_restarted
from rayfleet.local.node.views import ContainerView, Ended, PodView, Running

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NEW = ContainerView(name="a", image="i", is_clear=True)
ALWAYS, NEVER, HOOKED = ContainerPolicy(), ContainerPolicy(restart="Never"), ContainerPolicy(has_pre_stop=True)
START = Started(container_id="rayfleet://u/a/0")
FAIL, SUCCEED, KILLED = Exited(code=1), Exited(code=0), Exited(code=-9)
END = EndAsked(by=T0 + 30 * SECOND, least=2 * SECOND)
BLOCKED = Blocked(reason="ErrImagePull", message="no image x")

POLICIES = st.builds(
    ContainerPolicy,
    restart=st.sampled_from(["Always", "OnFailure", "Never"]),
    is_init=st.booleans(),
    probes=st.frozensets(st.sampled_from(ProbeKind)),
    has_pre_stop=st.booleans(),
    grace=st.sampled_from([timedelta(0), SECOND, 30 * SECOND]),
).filter(lambda policy: not (policy.is_init and policy.restart == "Always"))  # see container_policy
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
