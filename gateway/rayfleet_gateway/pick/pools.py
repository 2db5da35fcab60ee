"""The endpoints behind one backend, sorted by whether they may be asked. Pure."""

from collections.abc import Sequence

from rayfleet_gateway.pick.endpoint_state import EndpointState
from rayfleet_gateway.pick.health import LAST_RESORT_SECONDS, may_be_tried
from rayfleet_gateway.pick.shares import recovered


class Pool:
    """``endpoints`` never change; the others part them anew whenever one of them changed sides.

    ``recovering`` are ready too, with a share below 1. All are tuples: who picks holds a snapshot.
    """

    __slots__ = ("ejected", "endpoints", "ready", "recovering")

    def __init__(self, endpoints: Sequence[EndpointState]) -> None:
        self.endpoints = tuple(endpoints)
        self.ready: tuple[EndpointState, ...] = ()
        self.ejected: tuple[EndpointState, ...] = ()
        self.recovering: tuple[EndpointState, ...] = ()
        self.part()

    def part(self) -> None:
        """Part the endpoints, each part in their order."""
        if all(state.share >= 1 and not state.is_ejected for state in self.endpoints):
            self.ready, self.ejected, self.recovering = self.endpoints, (), ()
            return
        self.ejected = tuple(state for state in self.endpoints if state.is_ejected)
        self.ready = tuple(state for state in self.endpoints if not state.is_ejected)
        self.recovering = tuple(state for state in self.ready if state.share < 1)

    def recover(self, now: float) -> tuple[EndpointState, ...]:
        """Bring the shares up to date; return those that have just become whole."""
        for state in self.recovering:
            state.share = recovered(state.share_before, now - state.share_since)
        return tuple(state for state in self.recovering if state.share >= 1)

    def due(self, now: float, *, is_last_resort: bool) -> EndpointState | None:
        """Return an ejected endpoint that may be tried now, the one that has waited longest; None when none may.

        One try at a time; where there is no other endpoint a new one begins each second, since the first token of a
        long prompt may be far away.
        """
        if not self.ejected:
            return None
        tried = [
            state
            for state in self.ejected
            if may_be_tried(state.health, now, is_last_resort=is_last_resort)
            and (state.tried_at is None or (is_last_resort and now >= state.tried_at + LAST_RESORT_SECONDS))
        ]
        return min(tried, key=lambda state: state.health.retry_at, default=None)
