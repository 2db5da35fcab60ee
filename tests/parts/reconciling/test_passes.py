"""One pass: what it writes, what it tells, and what it never writes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rayfleet.kube.errors import Conflict, Forbidden
from rayfleet.model.absence import forbidden_kind
from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.planning.plan import Plan, StatelessPlan
from rayfleet.planning.writes import (
    NAME_MARK,
    Action,
    Create,
    Event,
    ObjectRef,
    WriteFailure,
    permission_of,
    status_replaced,
)
from rayfleet.reconciling.executor import Tell, WriteRefused, tell_nobody
from rayfleet.reconciling.passes import Passes, Steps, UndeclaredWrite
from rayfleet.reconciling.status_holds import StatusHolds

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEY = ObjectKey(namespace="n", name="a")
ABOUT: Json = {"metadata": {"name": "a", "namespace": "n", "uid": "u", "generation": 1}}
CREATE = Create(
    resource=REPLICA_SETS,
    manifest={"metadata": {"name": "made", "namespace": "n"}},
    event=Event(reason="Made", message=f"made {NAME_MARK}"),
)
STATUS = status_replaced(FLEETS, ObjectRef(key=KEY, uid="u"), {"phase": "x"})
EVERYTHING = frozenset({permission_of(CREATE), permission_of(STATUS)})


class Executed:
    """Notes what it is given; writes of ``refused`` are refused."""

    def __init__(self, *refused: Action) -> None:
        self.refused = refused
        self.actions: list[Action] = []
        self.is_seen = True

    def is_current(self, _key: ObjectKey) -> bool:
        return self.is_seen

    async def carry_out(
        self, key: ObjectKey, actions: tuple[Action, ...], tell: Tell = tell_nobody, *, is_ordered: bool = True
    ) -> None:
        assert key == KEY
        assert is_ordered
        for action in actions:
            if action in self.refused:
                raise WriteRefused(WriteFailure(action=action, message="quota"), Forbidden("quota", code=403))
            self.actions.append(action)
            if isinstance(action, Create) and action.event is not None:
                tell(action.event, ObjectKey(namespace="n", name="made"))


class Told:
    """An event recorder that remembers."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def record(self, about: Json, *, reason: str, message: str, type: object) -> None:  # noqa: A002 - its word
        assert about is not None
        assert type is not None
        self.words.append(f"{reason}: {message}")


def steps(plan: Callable[[bool], StatelessPlan], about: Json | None = ABOUT, **more: Any) -> Steps[bool]:
    """Return steps whose observation says only whether a write was refused."""
    settings: dict[str, Any] = {"writes": EVERYTHING, "with_failure": lambda _observed, _failure: True} | more
    return Steps(
        find=lambda _key: about, observe=lambda _raw: False, plan=lambda failed, _now: plan(failed), **settings
    )


def passes(given: Steps[bool], executed: Executed, told: Told, holds: StatusHolds | None = None) -> Passes[bool]:
    return Passes(given, executed, told, lambda: NOW, holds=holds)  # type: ignore[arg-type]  # both play their parts


async def test_writes_are_done_and_told_in_order() -> None:
    executed, told = Executed(), Told()
    plan = StatelessPlan(
        actions=(CREATE, STATUS),
        status=None,
        events=(Event(reason="All", message="done"),),
        requeue_after=timedelta(seconds=3),
    )
    assert await passes(steps(lambda _failed: plan), executed, told).reconcile(KEY) == timedelta(seconds=3)
    assert executed.actions == [CREATE, STATUS]
    assert told.words == ["Made: made made", "All: done"]


async def test_a_status_that_waits_is_told_when_it_is_written() -> None:
    executed, told = Executed(), Told()
    seconds = 0.0
    waiting = replace(STATUS, may_wait=True)
    plan = StatelessPlan(actions=(CREATE, waiting), status=None, events=(Event(reason="All", message="done"),))
    held = passes(steps(lambda _failed: plan), executed, told, StatusHolds(timedelta(seconds=2), lambda: seconds))
    assert await held.reconcile(KEY) == timedelta(seconds=2)
    assert executed.actions == [CREATE]
    assert told.words == ["Made: made made"]
    seconds = 2.0
    assert await held.reconcile(KEY) is None
    assert executed.actions == [CREATE, CREATE, waiting]
    assert told.words == ["Made: made made", "Made: made made", "All: done"]


async def test_a_plan_knows_the_status_that_waits_once_all_that_it_tells_of_is_done() -> None:
    """A name is in it that must not be given twice; and one whose create failed must be given again."""
    executed, known = Executed(CREATE), list[object]()
    waiting = replace(STATUS, may_wait=True)
    plan: Plan[Any] = Plan(actions=(CREATE, waiting), status="made one")

    def with_withheld(observed: bool, status: object) -> bool:
        known.append(status)
        return observed

    given = steps(lambda failed: replace(plan, actions=()) if failed else plan, with_withheld=with_withheld)
    seconds = 0.0
    held = passes(given, executed, Told(), StatusHolds(timedelta(seconds=2), lambda: seconds))
    with pytest.raises(WriteRefused):
        await held.reconcile(KEY)
    executed.refused = ()
    await held.reconcile(KEY)
    assert known == []  # the first one was not carried out
    await held.reconcile(KEY)
    assert known == ["made one"]
    seconds = 2.0
    await held.reconcile(KEY)
    assert known == ["made one", "made one"]
    assert executed.actions[-1] == waiting
    await held.reconcile(KEY)
    assert len(known) == 2  # it is written: what is stored says it


async def test_what_waits_is_known_of_this_very_object_until_it_is_written() -> None:
    executed, known = Executed(), list[object]()
    about = dict(ABOUT)
    waiting = replace(STATUS, may_wait=True)
    plans: list[Plan[Any]] = [
        Plan(actions=(CREATE, waiting), status="made one"),
        Plan(actions=(CREATE,), status="takes one"),  # and writes no status
        Plan(actions=(CREATE, waiting), status="made two"),
    ]

    def with_withheld(observed: bool, status: object) -> bool:
        known.append(status)
        return observed

    given = steps(lambda _failed: plans.pop(0), about=about, with_withheld=with_withheld)
    held = passes(given, executed, Told(), StatusHolds(timedelta(seconds=2), lambda: 0.0))
    await held.reconcile(KEY)
    await held.reconcile(KEY)
    about["metadata"] = {**ABOUT["metadata"], "uid": "successor"}
    await held.reconcile(KEY)
    assert known == ["made one"]
    about["metadata"] = ABOUT["metadata"]
    plans = [Plan(actions=(), status=None)] * 2
    await held.reconcile(KEY)
    assert known == ["made one"], "of another object"


async def test_what_is_done_by_an_older_spec_is_settled_once_it_is_seen() -> None:
    """A fleet counts what is there and what a size asks for; by a former size there may be more."""
    about, may_end = dict(ABOUT), asyncio.Event()

    class Hanging(Executed):
        async def carry_out(self, *_: Any, **__: Any) -> None:
            await may_end.wait()

    executed = Hanging()
    hanging = passes(steps(lambda _failed: StatelessPlan(status=None), about=about), executed, Told())
    assert hanging.is_settled(KEY), "nothing was ever done"
    at_work = asyncio.ensure_future(hanging.reconcile(KEY))
    await asyncio.sleep(0)
    assert hanging.is_settled(KEY), "it does what its size asks for"
    about["metadata"] = {**ABOUT["metadata"], "generation": 2}
    assert not hanging.is_settled(KEY)
    executed.is_seen = False
    may_end.set()
    await at_work
    assert not hanging.is_settled(KEY), "what it made is not seen yet"
    executed.is_seen = True
    assert hanging.is_settled(KEY)
    executed.is_seen = False
    await hanging.reconcile(KEY)
    assert hanging.is_settled(KEY), "it is of the spec of now"


async def test_a_status_waits_only_where_its_plan_says_so() -> None:
    """A route tells of itself in the statuses of fleets: what is stored of the object of the pass says nothing."""
    executed = Executed()
    plan = StatelessPlan(actions=(STATUS, STATUS), status=None)
    held = passes(steps(lambda _failed: plan), executed, Told(), StatusHolds(timedelta(seconds=2), lambda: 0.0))
    assert await held.reconcile(KEY) is None
    assert executed.actions == [STATUS, STATUS]


async def test_an_object_that_is_gone_needs_no_pass() -> None:
    executed = Executed()
    gone = steps(lambda _failed: StatelessPlan(actions=(CREATE,), status=None), about=None)
    assert await passes(gone, executed, Told()).reconcile(KEY) is None
    assert executed.actions == []


async def test_after_a_refusal_the_status_is_written_and_the_error_goes_on() -> None:
    executed, told = Executed(CREATE), Told()

    def plan(failed: bool) -> StatelessPlan:
        events = (Event(reason="Refused", message="quota"),) if failed else ()
        return StatelessPlan(actions=(STATUS,) if failed else (CREATE, STATUS), status=None, events=events)

    with pytest.raises(WriteRefused):
        await passes(steps(plan), executed, told).reconcile(KEY)
    assert executed.actions == [STATUS]
    assert told.words == ["Refused: quota"]


async def test_a_status_that_is_refused_is_told_by_an_event_once() -> None:
    """No condition can say it. A plan with the failure is tried all the same: its status may be another."""
    executed, told = Executed(STATUS), Told()
    refused = passes(steps(lambda _failed: StatelessPlan(actions=(STATUS,), status=None)), executed, told)
    for _ in range(2):
        with pytest.raises(WriteRefused):
            await refused.reconcile(KEY)
    assert told.words == ["StatusRefused: quota"]


async def test_a_plan_that_goes_on_after_a_refusal_is_a_fault() -> None:
    executed = Executed(CREATE)
    stubborn = steps(lambda _failed: StatelessPlan(actions=(CREATE, STATUS), status=None))
    with pytest.raises(UndeclaredWrite):
        await passes(stubborn, executed, Told()).reconcile(KEY)
    assert executed.actions == []


async def test_nothing_is_written_of_a_plan_with_a_write_that_is_not_declared() -> None:
    executed = Executed()
    narrow = steps(
        lambda _failed: StatelessPlan(actions=(STATUS, CREATE), status=None), writes=frozenset({permission_of(STATUS)})
    )
    with pytest.raises(UndeclaredWrite, match="create RayClusterReplicaSet/made"):
        await passes(narrow, executed, Told()).reconcile(KEY)
    assert executed.actions == []


async def test_what_is_said_once_is_said_again_only_of_another_generation() -> None:
    told = Told()
    abouts = [ABOUT, ABOUT, {"metadata": ABOUT["metadata"] | {"generation": 2}}]
    plan = StatelessPlan(status=None, events=(Event(reason="Odd", message="odd", is_said_once=True),))
    given = steps(lambda _failed: plan)
    subject = Steps(find=lambda _key: abouts.pop(0), observe=given.observe, plan=given.plan)
    once = passes(subject, Executed(), told)
    for _ in range(3):
        await once.reconcile(KEY)
    assert told.words == ["Odd: odd", "Odd: odd"]


async def test_a_plan_is_given_the_time_of_the_clock() -> None:
    times: list[datetime] = []

    def plan(_observed: bool, now: datetime) -> StatelessPlan:
        times.append(now)
        return StatelessPlan(status=None)

    given: Steps[bool] = Steps(find=lambda _key: ABOUT, observe=lambda _raw: False, plan=plan)
    await passes(given, Executed(), Told()).reconcile(KEY)
    assert times == [NOW]


async def test_an_observation_may_ask_the_server() -> None:
    async def observe(_raw: object) -> bool:
        raise Conflict("the server was asked", code=409)

    asking: Steps[bool] = Steps(
        find=lambda _key: ABOUT, observe=observe, plan=lambda _observed, _now: StatelessPlan(status=None)
    )
    with pytest.raises(Conflict, match="asked"):
        await passes(asking, Executed(), Told()).reconcile(KEY)


async def test_without_sight_of_a_kind_nothing_is_planned_and_it_is_said_once() -> None:
    executed, told = Executed(), Told()
    given = steps(lambda _failed: StatelessPlan(actions=(CREATE,), status=None))
    absence = forbidden_kind(REPLICA_SETS, "no Role")
    blind = Passes(given, executed, told, lambda: NOW, lambda: absence)  # type: ignore[arg-type]  # as in ``passes``
    assert await blind.reconcile(KEY) is None
    assert await blind.reconcile(KEY) is None
    assert executed.actions == []
    assert told.words == ["Forbidden: RayClusterReplicaSet may not be listed and watched: no Role"]
