"""One pass: one read from the stores, one pure plan, its writes (the status last), then its events.

The same for every kind; what differs is given as functions. A write that is refused for good (quota, webhook) makes the
pass plan again with that failure and write nothing but the status, so that the user sees why nothing happens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from rayfleet.kube.events import EventRecorder, EventType
from rayfleet.kube.store import Store
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.planning.observed import WriteFailure
from rayfleet.planning.plan import Event, FleetPlan, ReplicaSetPlan, UpdateStatus
from rayfleet.reconciling.executor import Executor, WriteRefused

Observed = TypeVar("Observed")
AnyPlan = FleetPlan | ReplicaSetPlan
Clock = Callable[[], datetime]
INVALID = "InvalidSpec"


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps(Generic[Observed]):
    """The read and the decision for one kind; ``store`` holds the objects themselves."""

    store: Store
    observe: Callable[[ReadOnlyJson], Observed]
    plan: Callable[[Observed, datetime], AnyPlan]
    with_failure: Callable[[Observed, WriteFailure], Observed]


class Passes(Generic[Observed]):
    """Runs passes; a Reconciler of ``runtime``."""

    def __init__(self, steps: Steps[Observed], executor: Executor, recorder: EventRecorder, clock: Clock) -> None:
        self._steps = steps
        self._executor = executor
        self._recorder = recorder
        self._clock = clock

    def is_current(self, key: ObjectKey) -> bool:
        """Whether the stores show all that earlier passes for ``key`` wrote."""
        return self._executor.is_current(key)

    async def reconcile(self, key: ObjectKey) -> timedelta | None:
        """Bring one object a step nearer its spec; return when to look again. Raises RayfleetError."""
        about = self._steps.store.get(key)
        if about is None:  # deleted while it was queued
            return None
        try:
            observed = self._steps.observe(about)
        except ManifestError as error:  # of a kind without a status to say it in; the next change brings the key back
            self._recorder.record(about, reason=INVALID, message=_in_one_line(error), type=EventType.WARNING)
            return None
        now = self._clock()
        plan = self._steps.plan(observed, now)
        try:
            await self._executor.carry_out(key, plan.actions)
        except WriteRefused as refused:
            failed = self._steps.plan(self._steps.with_failure(observed, refused.failure), now)
            status_only = [action for action in failed.actions if isinstance(action, UpdateStatus)]
            await self._executor.carry_out(key, status_only)
            self._record(about, failed.events)
            raise
        self._record(about, plan.events)
        return plan.requeue_after

    def _record(self, about: ReadOnlyJson, events: tuple[Event, ...]) -> None:
        for event in events:
            self._recorder.record(about, reason=event.reason, message=event.message, type=EventType(event.type.value))


def _in_one_line(error: ManifestError) -> str:
    return "; ".join(str(each) for each in error.errors)
