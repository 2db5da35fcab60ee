"""What a plugin that filters, scores or picks endpoints implements. Pure.

All are called in the loop that every stream shares: they return at once, keep what they learn in themselves, and never
block. ``EndpointState`` is read-only to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rayfleet_gateway.model.values import Endpoint, InferenceRequest


@dataclass(slots=True, kw_only=True)
class EndpointState:
    """What the gateway knows of one endpoint. ``share`` in (0, 1]: how much of its part it takes (it was overloaded).

    ``in_flight`` counts requests of this gateway process there. ``is_ejected``: it failed too often just now.
    """

    endpoint: Endpoint
    in_flight: int = 0
    share: float = 1.0
    is_ejected: bool = False


class Filter(Protocol):
    """Says which endpoints may be asked."""

    def keep(self, request: InferenceRequest, endpoints: Sequence[EndpointState]) -> Sequence[EndpointState]:
        """Return those of ``endpoints`` that may be asked, in their order."""
        ...


class Scorer(Protocol):
    """Says how good each endpoint is for a request."""

    def score(self, request: InferenceRequest, endpoints: Sequence[EndpointState]) -> Sequence[float]:
        """Return a number in [0, 1] for each of ``endpoints``, in their order; 1 is best."""
        ...


class Picker(Protocol):
    """Chooses by the scores."""

    def pick(
        self, request: InferenceRequest, endpoints: Sequence[EndpointState], scores: Sequence[float], chance: float
    ) -> EndpointState | None:
        """Return one of ``endpoints``, None when there is none; ``chance`` in [0, 1) decides among equals."""
        ...
