"""What a person reads about a container's life in ``kubectl describe pod``. Pure.

Reasons as the kubelet's (pkg/kubelet/events/event.go).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from rayfleet.local.node.lifecycle import Blocked, EndAsked, Event, Exited, NotStarted, Probed, Started
from rayfleet.local.node.views import ContainerView, Running, Waiting
from rayfleet.objects.containers import BACK_OFF

# Reasons to wait that are faults of the manifest; a Service without an address is none.
_FAULTS = frozenset({"ErrImagePull", "CreateContainerConfigError"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Reason and message of an event of the pod."""

    reason: str
    message: str
    is_normal: bool = False


def notices(before: ContainerView, event: Event, now: ContainerView) -> Iterator[Notice]:
    """Yield what is to be told of an event that took a container from ``before`` to ``now``."""
    name = before.name
    match event:
        case Started():
            yield Notice(reason="Started", message=f"Started container {name}", is_normal=True)
        case NotStarted(message=message):
            yield Notice(reason="Failed", message=f"Container {name} cannot be started: {message}")
        case EndAsked() if isinstance(before.state, Running) and not before.is_leaving:
            yield Notice(reason="Killing", message=f"Stopping container {name}", is_normal=True)
        case Probed(is_passing=False):
            yield Notice(reason="Unhealthy", message=f"{event.kind.value} probe of container {name} failed")
        case Blocked(reason=reason, message=message) if reason in _FAULTS and not _shows(before, reason, message):
            yield Notice(reason="Failed", message=f"Error: {reason}: {message}")
        case _:
            pass
    if isinstance(event, Exited | NotStarted) and isinstance(now.state, Waiting) and now.state.reason == BACK_OFF:
        yield Notice(reason="BackOff", message=now.state.message)


def _shows(view: ContainerView, reason: str, message: str) -> bool:
    return isinstance(view.state, Waiting) and (view.state.reason, view.state.message) == (reason, message)
