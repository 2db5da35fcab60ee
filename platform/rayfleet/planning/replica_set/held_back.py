"""Containers that their kubelets do not start again before a pause is over. Pure.

A kubelet starts a container that ended again in place, after pauses that double from 10 s to 5 minutes; it forgets them
only once the container has run for 10 minutes. Nothing shortens a pause but another pod, and that is what a rebuild
makes. So whoever waits for a replica asks here whether the wait can end well.

Source: Kubernetes 1.36, "Pod Lifecycle" (how Pods handle problems with containers), KEP-4603.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.containers import container_lives
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.planning.replica_set.lives import Death


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """A container's pause: how it ended, and for how long and until when it is not started again."""

    death: Death
    pause: timedelta
    until: datetime


def held_back_longest(pods: Sequence[ReadOnlyJson], now: datetime) -> HeldBack | None:
    """Return the pause that ends last in pods that stay, None when no container is held back.

    An end that lies ahead (another machine's clock) counts as one of now.
    """
    return max(_pauses(pods, now), key=lambda held: held.until, default=None)


def _pauses(pods: Sequence[ReadOnlyJson], now: datetime) -> Iterator[HeldBack]:
    for pod in pods:
        for container in () if is_terminating(pod) else container_lives(pod):
            pause, end = container.pause, container.last_end
            if pause is not None and end is not None:
                until = min(end.at or now, now) + pause
                yield HeldBack(death=Death(pod=name_of(pod), end=end), pause=pause, until=until)
