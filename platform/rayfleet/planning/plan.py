"""A plan: what to write now and what to tell, as values. Pure.

Actions are carried out in order, up to the first that fails; each one's own event is told when it went well, the plan's
events when all did. The plan of a state that is as it should be has no actions and no events: a second pass writes
nothing.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Generic, TypeVar

from rayfleet.model.fleet import FleetStatus, ReplicaSetStatus
from rayfleet.planning.writes import Action, Event

StatusT = TypeVar("StatusT")


# Without slots: Python 3.11 cannot make a frozen slotted instance through a subscripted generic (`FleetPlan(...)`).
@dataclass(frozen=True, kw_only=True)
class Plan(Generic[StatusT]):
    """What one pass for one object came to.

    ``status`` is what the object's status ought to be now (``actions`` end with its write if it is not); None for
    controllers that keep none. ``requeue_after`` is when time alone will change the plan; None: wait for a change.
    ``is_ordered`` False: the actions do not depend on one another, so one that fails stops no other.
    """

    actions: tuple[Action, ...] = ()
    status: StatusT
    events: tuple[Event, ...] = ()
    requeue_after: timedelta | None = None
    is_ordered: bool = True


FleetPlan = Plan[FleetStatus]
ReplicaSetPlan = Plan[ReplicaSetStatus]
StatelessPlan = Plan[None]
