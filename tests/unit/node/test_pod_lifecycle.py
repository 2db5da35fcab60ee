"""Whose turn it is in a pod, and when it is over (rayfleet.local.node.pod_lifecycle): pure."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.local.node.lifecycle import (
    Attend,
    Clear,
    Cleared,
    ContainerPolicy,
    Event,
    Exited,
    HookEnded,
    NotStarted,
    PreStop,
    Rest,
    Start,
    Started,
    Step,
    Stop,
    Wait,
    WaitOver,
    after,
    next_step,
)
from rayfleet.local.node.pod_lifecycle import (
    Leave,
    Live,
    PodStep,
    Remove,
    container_policy,
    deletion_grace,
    end_of_vanished,
    end_within,
    next_pod_step,
)
from rayfleet.local.node.probes import ProbeKind
from rayfleet.local.node.views import ContainerView, Ended, Fate, PodView, Running

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)


def container(name: str, state: Running | Ended | None = None, *, is_clear: bool = True) -> ContainerView:
    view = ContainerView(name=name, image="i", is_clear=is_clear)
    return view if state is None else replace(view, state=state)


def ended(code: int) -> Ended:
    return Ended(exit_code=code, reason="r", started_at=T0, finished_at=T0)


RUNS = Running(since=T0)


def pod(*containers: ContainerView, init: tuple[ContainerView, ...] = (), fate: Fate = Fate.LIVES) -> PodView:
    return PodView(
        address="a", started_at=T0, init_containers=init, containers=containers, restart_policy="Always", fate=fate
    )


A, B = container("a"), container("b")
DONE, BROKEN = container("i", ended(0)), container("i", ended(1))


@pytest.mark.parametrize(
    ("view", "step"),
    [
        (pod(A, B), Live(containers=("a", "b"))),
        (pod(A, init=(container("i"), container("j"))), Live(containers=("i",))),
        (pod(A, init=(container("i", RUNS), container("j"))), Live(containers=("i",))),
        (pod(A, init=(DONE, container("j"))), Live(containers=("j",))),
        (pod(A, init=(BROKEN, container("j"))), Live(containers=("i",))),
        (pod(A, init=(DONE,)), Live(containers=("a",))),
        (pod(A, B, init=(DONE, container("j")), fate=Fate.DELETED), Remove()),
        (pod(A, init=(container("i", RUNS),), fate=Fate.DELETED), Live(containers=("i", "a"))),  # all end at once
        (pod(container("a", RUNS), B, fate=Fate.LEAVES), Live(containers=("a", "b"))),
        (pod(container("a", is_clear=False), fate=Fate.DELETED), Live(containers=("a",))),  # it is cleared first
        (pod(container("a", ended(0)), fate=Fate.DELETED), Remove()),
        (pod(container("a", ended(0)), fate=Fate.LEAVES), Leave()),
        (pod(container("a", ended(0))), Live(containers=("a",))),  # a pod that has run to its end stays
    ],
)
def test_whose_turn_it_is(view: PodView, step: PodStep) -> None:
    assert next_pod_step(view) == step


@pytest.mark.parametrize(
    ("policy", "is_init", "restart"),
    [
        ("Always", True, "OnFailure"),  # an init container that succeeded does not run again
        ("OnFailure", True, "OnFailure"),
        ("Never", True, "Never"),
        ("Always", False, "Always"),
        ("Never", False, "Never"),
    ],
)
def test_the_restart_policy_of_an_init_container(policy: str, is_init: bool, restart: str) -> None:
    read = container_policy({"spec": {"restartPolicy": policy}}, {"name": "a"}, is_init=is_init)
    assert (read.restart, read.is_init) == (restart, is_init)


def test_what_a_spec_says_of_a_containers_life() -> None:
    raw = {"name": "a", "livenessProbe": {}, "startupProbe": {}, "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}
    assert container_policy({"spec": {"terminationGracePeriodSeconds": 7}}, raw, is_init=False) == ContainerPolicy(
        probes=frozenset({ProbeKind.LIVENESS, ProbeKind.STARTUP}), has_pre_stop=True, grace=timedelta(seconds=7)
    )
    plain = container_policy({"spec": {}}, {"name": "a", "lifecycle": {}}, is_init=False)
    assert plain == ContainerPolicy(grace=timedelta(seconds=30))


@pytest.mark.parametrize(
    ("meta", "spec", "seconds"),
    [
        ({"deletionGracePeriodSeconds": 3}, {"terminationGracePeriodSeconds": 9}, 3),
        ({"deletionGracePeriodSeconds": 0}, {"terminationGracePeriodSeconds": 9}, 0),
        ({}, {"terminationGracePeriodSeconds": 9}, 9),
        ({}, {}, 30),
    ],
)
def test_the_deletion_says_how_long_the_end_may_take(meta: dict[str, int], spec: dict[str, int], seconds: int) -> None:
    assert deletion_grace({"metadata": meta, "spec": spec}) == timedelta(seconds=seconds)


def test_a_grace_of_nothing_is_none_at_all_and_a_vanished_pod_has_a_second() -> None:
    assert (end_within(timedelta(0), T0).by, end_within(timedelta(0), T0).least) == (T0, timedelta(0))
    assert end_within(timedelta(seconds=1), T0).least == timedelta(seconds=2)
    assert end_of_vanished(T0).by == T0 + timedelta(seconds=1)
    assert end_of_vanished(T0).least == timedelta(0)


@dataclass(slots=True)
class PodWorld:
    """A pod whose containers' steps are carried out with the outcomes that a test chooses."""

    spec: dict[str, Any]
    view: PodView
    now: datetime = T0

    def policy(self, view: ContainerView) -> ContainerPolicy:
        is_init = view in self.view.init_containers
        return container_policy({"spec": self.spec}, {"name": view.name}, is_init=is_init)

    def take(self, view: ContainerView, event: Event) -> None:
        moved = after(view, event, self.policy(view), self.now)
        self.view = replace(
            self.view,
            init_containers=tuple(moved if each is view else each for each in self.view.init_containers),
            containers=tuple(moved if each is view else each for each in self.view.containers),
        )

    def end(self, fate: Fate, grace: timedelta) -> None:
        self.view = replace(self.view, fate=fate)
        for view in self.view.everything:
            self.take(view, end_within(grace, self.now))

    def carry_out(self, chosen: int) -> Step | None:
        """Carry out a step of one of the containers whose turn it is; None when nothing is to be done for it."""
        step = next_pod_step(self.view)
        if not isinstance(step, Live):
            return None
        turn = [view for view in self.view.everything if view.name in step.containers]
        view = turn[chosen % len(turn)]
        step_of_container = next_step(view, self.policy(view))
        outcome = _outcome(step_of_container, chosen)
        if outcome is not None:
            self.check_start(step_of_container, view)
            self.take(view, outcome)
        return step_of_container

    def check_start(self, step: Step, view: ContainerView) -> None:
        if not isinstance(step, Start):
            return
        assert self.view.fate is Fate.LIVES  # a pod that ends starts nothing
        before = self.view.everything[: self.view.everything.index(view)]
        earlier = before if view in self.view.init_containers else self.view.init_containers
        assert all(each.has_succeeded for each in earlier)
        if view in self.view.init_containers:
            assert not any(isinstance(each.state, Running) for each in self.view.everything)


def _outcome(step: Step, chosen: int) -> Event | None:
    match step:
        case Clear():
            return Cleared()
        case Start():
            return Started(container_id="c") if chosen % 5 else NotStarted(message="m")
        case Wait():
            return WaitOver()
        case PreStop():
            return HookEnded()
        case Attend() | Stop():
            return Exited(code=chosen % 3)
        case Rest():
            return None


WORLDS = st.builds(
    lambda init, main, restart, is_clear: PodWorld(
        spec={"restartPolicy": restart},
        view=replace(
            pod(
                *(container(f"m{number}", is_clear=is_clear) for number in range(main)),
                init=tuple(container(f"i{number}", is_clear=is_clear) for number in range(init)),
            ),
            restart_policy=restart,
        ),
    ),
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from(["Always", "OnFailure", "Never"]),
    st.booleans(),
)


@given(WORLDS, st.lists(st.integers(0, 1000), max_size=40), st.sampled_from([Fate.DELETED, Fate.LEAVES]))
def test_init_containers_come_first_one_by_one_and_an_end_ends_everything(
    world: PodWorld, choices: list[int], fate: Fate
) -> None:
    for chosen in choices:
        world.now += timedelta(seconds=chosen)
        world.carry_out(chosen)
        assert isinstance(next_pod_step(world.view), Live)  # only an end that was asked for is one
    world.end(fate, timedelta(seconds=5))
    steps = 0
    while isinstance(next_pod_step(world.view), Live):
        world.carry_out(steps)
        steps += 1
        assert steps < 50
    assert next_pod_step(world.view) == (Remove() if fate is Fate.DELETED else Leave())
    assert not any(isinstance(view.state, Running) or not view.is_clear for view in world.view.everything)


@given(WORLDS)
def test_a_pod_whose_containers_succeed_gets_all_of_them_to_run(world: PodWorld) -> None:
    for _ in range(40):
        step = next_pod_step(world.view)
        assert isinstance(step, Live)
        for view in [each for each in world.view.everything if each.name in step.containers]:
            match next_step(view, world.policy(view)):
                case Clear():
                    world.take(view, Cleared())
                case Start():
                    world.take(view, Started(container_id="c"))
                case Attend() if view in world.view.init_containers:
                    world.take(view, Exited(code=0))
                case _:
                    pass
    assert all(isinstance(view.state, Running) for view in world.view.containers)
