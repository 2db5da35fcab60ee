"""The endpoints behind one backend, sorted by whether they may be asked. Pure."""

from collections.abc import Sequence

from rayfleet_gateway.pick.contracts import EndpointState


class Pool:
    """``endpoints`` never change; ``ready`` and ``ejected`` part them anew whenever one of them changed sides.

    All are tuples: who picks holds a snapshot.
    """

    __slots__ = ("ejected", "endpoints", "ready")

    def __init__(self, endpoints: Sequence[EndpointState]) -> None:
        self.endpoints = tuple(endpoints)
        self.ready: tuple[EndpointState, ...] = ()
        self.ejected: tuple[EndpointState, ...] = ()
        self.part()

    def part(self) -> None:
        """Part the endpoints into ready and ejected ones, each in their order."""
        self.ejected = tuple(state for state in self.endpoints if state.is_ejected)
        self.ready = (
            tuple(state for state in self.endpoints if not state.is_ejected) if self.ejected else self.endpoints
        )
