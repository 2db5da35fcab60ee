"""What is known of endpoints, and what a plugin that filters, scores or picks them implements. Pure.

All are called in the loop that every stream shares: they return at once, keep what they learn in themselves, and never
block. ``EndpointState`` is read-only to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rayfleet_gateway.model.values import Endpoint, InferenceRequest


@dataclass(slots=True, kw_only=True, eq=False)
class EndpointState:
    """What the gateway knows of one endpoint; the same object as long as the endpoint is in the table.

    ``share`` in (0, 1]: how much of its part it takes (it was overloaded, or has just come back). ``in_flight`` counts
    requests of this gateway process there. ``is_ejected``: it failed too often just now.
    """

    endpoint: Endpoint
    name: str = field(init=False)
    in_flight: int = 0
    share: float = 1.0
    is_ejected: bool = False

    def __post_init__(self) -> None:
        self.name = str(self.endpoint)


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
        """Return one of ``endpoints``, None when there is none; ``chance`` in [0, 1) decides among equals.

        ``scores`` are empty when nothing scores.
        """
        ...
