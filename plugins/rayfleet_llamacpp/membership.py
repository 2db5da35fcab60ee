"""Which nodes hold a working server, and whether that makes the engine healthy. Pure.

A *slot* is the place of one server; it has a node of its own for as long as its server loads and serves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType


class SlotState(StrEnum):
    """Where a slot stands."""

    EMPTY = "empty"
    LOADING = "loading"
    SERVING = "serving"
    LOST = "lost"


TRANSITIONS: Mapping[SlotState, frozenset[SlotState]] = MappingProxyType(
    {
        SlotState.EMPTY: frozenset({SlotState.LOADING}),  # enough nodes are there, and one of them is free
        SlotState.LOADING: frozenset({SlotState.SERVING, SlotState.LOST}),  # the server answers; it failed to start
        SlotState.SERVING: frozenset({SlotState.LOST}),  # actor dead, port closed, silent, or node dead
        SlotState.LOST: frozenset({SlotState.LOADING}),  # enough nodes are there again
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One server's place. ``node`` (address) is empty unless it loads or serves, ``url`` and ``pid`` unless it serves.

    ``cause`` says why the last server was lost; it stays until another one serves.
    """

    index: int
    state: SlotState = SlotState.EMPTY
    node: str = ""
    url: str = ""
    pid: int = 0
    cause: str = ""

    def moved(self, state: SlotState, *, node: str = "", url: str = "", pid: int = 0, cause: str = "") -> "Slot":
        """Return the slot in another state; ValueError for a step that the table lacks."""
        if state not in TRANSITIONS[self.state]:
            raise ValueError(f"slot {self.index} cannot go from {self.state} to {state}")
        kept = self.cause if state is SlotState.LOADING else cause
        return replace(self, state=state, node=node, url=url, pid=pid, cause=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class RayNode:
    """A node as Ray tells it."""

    identity: str
    address: str
    machine: str
    is_alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that the verdict depends on. ``ray_silence_seconds`` is the age of the last word from Ray's head service.

    ``unheard`` are the slots whose servers have answered no question that was asked since a server was last lost.
    """

    expected_nodes: int
    is_connected: bool
    ray_silence_seconds: float
    nodes: tuple[RayNode, ...]
    slots: tuple[Slot, ...]
    is_draining: bool
    unheard: tuple[int, ...] = ()


class Reason(StrEnum):
    """Why the engine is not healthy."""

    STARTING = "starting"
    WAITING_FOR_NODES = "waiting_for_nodes"
    LOADING = "loading"
    LOST = "lost"
    RAY_SILENT = "ray_silent"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``reason`` is ``None`` when the engine is healthy; ``message`` is for people."""

    reason: Reason | None
    message: str

    @property
    def is_healthy(self) -> bool:
        """Whether every expected node serves."""
        return self.reason is None


# A head service that is busy for a moment answers within this; the health must not flap.
SILENCE_LIMIT_SECONDS = 5.0


def judge(seen: Observation) -> Verdict:
    """Return whether the engine is healthy: every slot serves, on a node that is alive, and Ray is heard.

    One loss may come with others that show later, as a frozen node beside a killed server: an engine that was unwell is
    well again only when every server has answered since.
    """
    serving = sum(slot.state is SlotState.SERVING for slot in seen.slots)
    healthy = Verdict(reason=None, message=f"{serving} of {seen.expected_nodes} servers answer")
    return next(_troubles(seen, serving), healthy)


def _troubles(seen: Observation, serving: int) -> Iterator[Verdict]:
    """Yield what is wrong, the most telling first."""
    if seen.is_draining:
        yield Verdict(reason=Reason.DRAINING, message="finishing its requests before it ends")
    if not seen.is_connected:
        yield Verdict(reason=Reason.STARTING, message="connecting to Ray")
    if seen.ray_silence_seconds > SILENCE_LIMIT_SECONDS:
        message = f"Ray's head service is silent for {seen.ray_silence_seconds:.0f} s"
        yield Verdict(reason=Reason.RAY_SILENT, message=message)
    lost = [slot for slot in seen.slots if slot.cause]
    if lost:
        causes = "; ".join(f"server {slot.index}: {slot.cause}" for slot in lost)
        yield Verdict(reason=Reason.LOST, message=f"{len(lost)} of {seen.expected_nodes} servers lost ({causes})")
    if seen.unheard:
        names = ", ".join(map(str, seen.unheard))
        message = f"since a server was lost there is no word from: server {names}"
        yield Verdict(reason=Reason.LOST, message=message)
    alive = len(alive_addresses(seen.nodes))
    if alive < seen.expected_nodes:
        message = f"{alive} of {seen.expected_nodes} Ray nodes are alive"
        yield Verdict(reason=Reason.WAITING_FOR_NODES, message=message)
    if serving < seen.expected_nodes:
        message = f"{serving} of {seen.expected_nodes} servers have loaded the model"
        yield Verdict(reason=Reason.LOADING, message=message)


def alive_addresses(nodes: Sequence[RayNode]) -> tuple[str, ...]:
    """Return the addresses of live nodes, sorted, each once."""
    return tuple(sorted({node.address for node in nodes if node.is_alive}))


def dead_addresses(nodes: Sequence[RayNode]) -> tuple[str, ...]:
    """Return the addresses that were alive once and are not now, sorted."""
    return tuple(sorted({node.address for node in nodes} - set(alive_addresses(nodes))))


def free_node(nodes: Sequence[RayNode], slots: Sequence[Slot]) -> RayNode | None:
    """Return a live node that is no slot's, the first by address; ``None`` when there is none."""
    taken = {slot.node for slot in slots if slot.node}
    free = (node for node in nodes if node.is_alive and node.address not in taken)
    return min(free, key=lambda node: (node.address, node.identity), default=None)


def is_alive(nodes: Sequence[RayNode], identity: str) -> bool:
    """Whether that very node is alive: one that came after it at its address is another."""
    return any(node.identity == identity and node.is_alive for node in nodes)


def neighbours(nodes: Sequence[RayNode], address: str) -> int:
    """Return how many live nodes share the machine of that address, itself included; at least 1."""
    machines = [node.machine for node in nodes if node.is_alive and node.address == address]
    return max(1, sum(node.is_alive and node.machine in machines for node in nodes))
