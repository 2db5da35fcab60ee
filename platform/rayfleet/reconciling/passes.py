"""One pass: one observation, one pure plan, its writes (the status last), then its events.

The same for every kind; what differs is given as ``Steps``. A write that is refused for good (quota, webhook) makes the
pass plan again with that failure; a status may still be written then, so that the user sees why nothing happens, and
nothing else; that a status itself is refused, an event says. No plan writes more than its planner declared.
"""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Generic, TypeVar

from rayfleet.kube.events import EventRecorder
from rayfleet.model.absence import Absence
from rayfleet.model.errors import ManifestError
from rayfleet.model.events import EventType
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.objects.meta import generation_of, uid_of
from rayfleet.planning.plan import Plan
from rayfleet.planning.writes import (
    KEY_MARK,
    NAME_MARK,
    Action,
    Event,
    Permission,
    WriteFailure,
    described,
    permission_of,
    writes_status,
)
from rayfleet.reconciling.executor import Executor, WriteRefused
from rayfleet.reconciling.status_holds import StatusHolds

Observed = TypeVar("Observed")
Clock = Callable[[], datetime]
INVALID = "InvalidSpec"
STATUS_REFUSED = "StatusRefused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Generic[Observed]):
    """What one controller does in a pass.

    ``find`` returns the object of a key, None when it is gone: then there is no pass. ``observe`` is given the object
    and reads everything that the plan needs, from the stores (and, where a store may not be trusted, from the server:
    then it is a coroutine). ``with_failure`` gives a refused write to the observation; None for a kind without a status
    to tell of it. ``with_withheld`` gives the observation a status that an earlier pass decided on and that waited to
    be written; None for a kind whose plans need not know. ``writes`` is all that the plan may ask for; None for a
    controller of every kind (garbage).
    """

    find: Callable[[ObjectKey], ReadOnlyJson | None]
    observe: Callable[[ReadOnlyJson], Observed | Awaitable[Observed]]
    plan: Callable[[Observed, datetime], Plan[Any]]
    with_failure: Callable[[Observed, WriteFailure], Observed] | None = None
    with_withheld: Callable[[Observed, Any], Observed] | None = None
    writes: frozenset[Permission] | None = None


class UndeclaredWrite(Exception):
    """A plan asks for what its planner did not declare, or for more than a status after a refusal: a fault of ours."""


class Passes(Generic[Observed]):
    """Runs passes; a Reconciler of ``runtime``."""

    def __init__(
        self,
        steps: Steps[Observed],
        executor: Executor,
        recorder: EventRecorder,
        clock: Clock,
        unreadable: Callable[[], Absence | None] = lambda: None,
        holds: StatusHolds | None = None,
    ) -> None:
        self._steps = steps
        self._executor = executor
        self._recorder = recorder
        self._clock = clock
        self._unreadable = unreadable
        self._holds = holds or StatusHolds(timedelta(0), monotonic)
        self._said: dict[ObjectKey, str] = {}
        self._withheld: dict[ObjectKey, tuple[str, Any]] = {}  # with the UID of its object
        self._generations: dict[ObjectKey, int] = {}  # that the last pass of each began with
        self._at_work: set[ObjectKey] = set()

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show all that earlier passes for ``key`` wrote."""
        return self._executor.is_current(key)

    def is_settled(self, key: ObjectKey) -> bool:
        """Whether the stores show all that passes for ``key`` do by an older spec than the one that they show.

        What they do by that one takes no more places than it asks for. (Not known is a create whose answer was lost, or
        that another process began: until a watch shows it.)
        """
        about, began = self._steps.find(key), self._generations.get(key)
        if about is None or began is None or began == generation_of(about):
            return True
        return key not in self._at_work and self.is_current(key)

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Bring one object a step nearer its spec; return when to look again. Raises RayfleetError."""
        about = self._steps.find(key)
        if about is None:  # deleted while it was queued
            self._said.pop(key, None)
            self._holds.forget(key)
            self._withheld.pop(key, None)
            self._generations.pop(key, None)
            return None
        self._generations[key] = generation_of(about)
        self._at_work.add(key)
        try:
            return await self._pass(key, about)
        finally:
            self._at_work.discard(key)

    async def _pass(self, key: ObjectKey, about: ReadOnlyJson) -> timedelta | None:
        unreadable = self._unreadable()
        if unreadable is not None:  # its end wakes all keys
            words = Event(type=EventType.WARNING, reason=unreadable.reason, message=unreadable.message)
            if about:
                self._tell_once(key, about, words)
            return None
        try:
            observation = self._steps.observe(about)
            observed = await observation if inspect.isawaitable(observation) else observation
        except ManifestError as error:  # of a kind without a status to say it in; the next change brings the key back
            message = "; ".join(str(each) for each in error.errors)
            self._tell(about, Event(type=EventType.WARNING, reason=INVALID, message=message))
            return None
        return await self._act(key, about, observed)

    async def _act(self, key: ObjectKey, about: ReadOnlyJson, observed: Observed) -> timedelta | None:
        now = self._clock()
        uid, status = self._withheld.get(key, ("", None))
        if self._steps.with_withheld is not None and uid == uid_of(about):
            observed = self._steps.with_withheld(observed, status)
        plan = self._steps.plan(observed, now)
        actions, look_again = self._holds.split(key, plan.actions)
        news = plan.events if look_again is None else ()  # what a status tells is told when it is written
        try:
            self._check(plan, self._may_write)
            await self._carry_out(key, about, replace(plan, actions=actions, events=news))
        except WriteRefused as refused:
            if about and writes_status(refused.failure.action):  # a condition cannot say it
                words = Event(type=EventType.WARNING, reason=STATUS_REFUSED, message=refused.message)
                self._tell_once(key, about, words)
            if self._steps.with_failure is not None:
                failed = self._steps.plan(self._steps.with_failure(observed, refused.failure), now)
                self._check(failed, writes_status)
                await self._carry_out(key, about, failed)
            raise
        if look_again is not None and self._steps.with_withheld is not None:  # all that it tells of is done
            self._withheld[key] = (uid_of(about), plan.status)
        elif actions and writes_status(actions[-1]):
            self._withheld.pop(key, None)
        return min((wait for wait in (plan.requeue_after, look_again) if wait is not None), default=None)

    def _may_write(self, action: Action) -> bool:
        return self._steps.writes is None or permission_of(action) in self._steps.writes

    def _check(self, plan: Plan[Any], may_write: Callable[[Action], bool]) -> None:
        """Hold a plan to what may be written: before anything is. Raises UndeclaredWrite."""
        for action in plan.actions:
            if not may_write(action):
                raise UndeclaredWrite(described(action))

    async def _carry_out(self, key: ObjectKey, about: ReadOnlyJson, plan: Plan[Any]) -> None:
        def tell(event: Event, written: ObjectKey) -> None:
            message = event.message.replace(NAME_MARK, written.name).replace(KEY_MARK, str(written))
            self._tell(about, replace(event, message=message))

        await self._executor.carry_out(key, plan.actions, tell, is_ordered=plan.is_ordered)
        for event in plan.events:
            if event.is_said_once:
                self._tell_once(key, about, event)
            else:
                self._tell(about, event)

    def _tell_once(self, key: ObjectKey, about: ReadOnlyJson, event: Event) -> None:
        if self._is_new(key, about, event):
            self._tell(about, event)

    def _is_new(self, key: ObjectKey, about: ReadOnlyJson, event: Event) -> bool:
        """Whether these words were not yet said about this generation of the object; from now on they were."""
        words = f"{uid_of(about)}/{generation_of(about)}/{event.message}"
        is_new = self._said.get(key) != words
        self._said[key] = words
        return is_new

    def _tell(self, about: ReadOnlyJson, event: Event) -> None:
        self._recorder.record(about, reason=event.reason, message=event.message, type=event.type)
