"""Which pods get onto this node: those that it lets in, while its extended resources (accelerators) last. Pure.

CPU and memory are not limits here: on one machine a person sees when it is too small, and quota arithmetic would only
be in the way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rayfleet.local.node.placement import placement_problem
from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.meta import is_terminating, name_of
from rayfleet.objects.parts import part
from rayfleet.objects.pods import is_finished, node_name
from rayfleet.objects.quantity import whole_amount
from rayfleet.objects.ray_spec import asked_resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Unschedulable:
    """A pod that does not fit now, and the message for its PodScheduled condition."""

    pod: ReadOnlyJson
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Pods to bind now, oldest first, and those that must wait."""

    bound: tuple[ReadOnlyJson, ...]
    waiting: tuple[Unschedulable, ...]


def extended_resources(pod: ReadOnlyJson) -> dict[str, int]:
    """Return the extended resources (with a domain, as ``nvidia.com/gpu``) that a pod asks for: containers added up."""
    total: dict[str, int] = {}
    for container in pod["spec"].get("containers") or ():
        for name, count in _asked(container).items():
            total[name] = total.get(name, 0) + count
    for container in pod["spec"].get("initContainers") or ():
        for name, count in _asked(container).items():
            total[name] = max(total.get(name, 0), count)  # init containers run before, and one after the other
    return {name: count for name, count in total.items() if count}


def planned_schedule(pods: Iterable[ReadOnlyJson], capacity: Mapping[str, int], node: ReadOnlyJson) -> Schedule:
    """Return which unbound pods ``node`` lets in, and fit beside those that hold resources (bound and not finished).

    A pod that does not fit does not stop younger ones that do.
    """
    unfinished = [pod for pod in pods if not is_finished(pod)]
    free = dict(capacity)
    for pod in unfinished:
        if node_name(pod):
            _take(free, extended_resources(pod))
    bound: list[ReadOnlyJson] = []
    waiting: list[Unschedulable] = []
    for pod in sorted((pod for pod in unfinished if _is_pending(pod)), key=_age):
        asked = extended_resources(pod)
        if problem := placement_problem(pod, node):
            waiting.append(Unschedulable(pod=pod, message=problem))
        elif all(free.get(name, 0) >= count for name, count in asked.items()):
            _take(free, asked)
            bound.append(pod)
        else:
            waiting.append(Unschedulable(pod=pod, message=_message(asked, free, capacity)))
    return Schedule(bound=tuple(bound), waiting=tuple(waiting))


def _asked(container: ReadOnlyJson) -> dict[str, int]:
    return {name: whole_amount(amount) for name, amount in asked_resources(container).items() if "/" in name}


def _is_pending(pod: ReadOnlyJson) -> bool:
    is_gated = bool(part(pod, "spec").get("schedulingGates"))  # a queue (Kueue) has not let it in yet
    return not node_name(pod) and not is_gated and not is_terminating(pod)


def _age(pod: ReadOnlyJson) -> tuple[str, str]:
    return str(part(pod, "metadata").get("creationTimestamp", "")), name_of(pod)


def _take(free: dict[str, int], asked: Mapping[str, int]) -> None:
    for name, count in asked.items():
        free[name] = free.get(name, 0) - count


def _message(asked: Mapping[str, int], free: Mapping[str, int], capacity: Mapping[str, int]) -> str:
    short: Sequence[str] = [
        f"asks for {count} {name}, the node has {capacity.get(name, 0)} and {max(0, free.get(name, 0))} of them "
        "are free"
        for name, count in sorted(asked.items())
        if free.get(name, 0) < count
    ]
    offers = " ".join(f"--accelerators {name}={count}" for name, count in sorted(asked.items()))
    return f"{'; '.join(short)}. Ask for less, free some, or start the cluster with more (`rayfleet up {offers} ...`)"
