"""Which pods get onto this node: only extended resources (accelerators) are counted, as integers. Pure.

CPU and memory are not limits here: on one machine a person sees when it is too small, and quota arithmetic would only
be in the way.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rayfleet.local.node.quantities import whole_quantity

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unschedulable:
    """A pod that does not fit now, and the message for its PodScheduled condition."""

    pod: JsonObject
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Pods to bind now, oldest first, and those that must wait."""

    bound: tuple[JsonObject, ...]
    waiting: tuple[Unschedulable, ...]


def extended_resources(pod: JsonObject) -> dict[str, int]:
    """Return the extended resources (with a domain, as ``nvidia.com/gpu``) that a pod asks for: containers added up."""
    total: dict[str, int] = {}
    for container in pod["spec"].get("containers") or ():
        for name, count in _asked(container).items():
            total[name] = total.get(name, 0) + count
    for container in pod["spec"].get("initContainers") or ():
        for name, count in _asked(container).items():
            total[name] = max(total.get(name, 0), count)  # init containers run before, and one after the other
    return {name: count for name, count in total.items() if count}


def planned_schedule(pods: Iterable[JsonObject], capacity: Mapping[str, int]) -> Schedule:
    """Return which unbound pods fit beside those that hold resources (bound and not finished).

    A pod that does not fit does not stop younger ones that do.
    """
    everything = [pod for pod in pods if pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}]
    free = dict(capacity)
    for pod in everything:
        if pod["spec"].get("nodeName"):
            _take(free, extended_resources(pod))
    bound: list[JsonObject] = []
    waiting: list[Unschedulable] = []
    for pod in sorted((pod for pod in everything if _is_pending(pod)), key=_age):
        wanted = extended_resources(pod)
        if all(free.get(name, 0) >= count for name, count in wanted.items()):
            _take(free, wanted)
            bound.append(pod)
        else:
            waiting.append(Unschedulable(pod=pod, message=_message(wanted, free, capacity)))
    return Schedule(bound=tuple(bound), waiting=tuple(waiting))


def _asked(container: JsonObject) -> dict[str, int]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return {name: whole_quantity(quantity) for name, quantity in asked.items() if "/" in name}


def _is_pending(pod: JsonObject) -> bool:
    spec = pod["spec"]
    is_gated = bool(spec.get("schedulingGates"))  # a queue (Kueue) has not let it in yet
    return not spec.get("nodeName") and not is_gated and "deletionTimestamp" not in pod["metadata"]


def _age(pod: JsonObject) -> tuple[str, str]:
    return pod["metadata"].get("creationTimestamp", ""), pod["metadata"]["name"]


def _take(free: dict[str, int], wanted: Mapping[str, int]) -> None:
    for name, count in wanted.items():
        free[name] = free.get(name, 0) - count


def _message(wanted: Mapping[str, int], free: Mapping[str, int], capacity: Mapping[str, int]) -> str:
    short: Sequence[str] = [
        f"asks for {count} {name}, the node has {capacity.get(name, 0)} "
        f"and {max(0, free.get(name, 0))} of them are free"
        for name, count in sorted(wanted.items())
        if free.get(name, 0) < count
    ]
    offers = " ".join(f"--accelerators {name}={count}" for name, count in sorted(wanted.items()))
    return f"{'; '.join(short)}. Ask for less, free some, or start the cluster with more (`rayfleet up {offers} ...`)"
