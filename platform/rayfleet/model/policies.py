"""What a fleet promises beyond Deployment: recovery, drain, replacement, the way in for requests. Pure.

All of it is optional in a manifest; a value here is what holds when nothing is said.
"""

from dataclasses import dataclass
from enum import StrEnum


class ReplacementPolicy(StrEnum):
    """When a replica that is on its way out makes room for another (as a Job's ``podReplacementPolicy``, KEP-3939)."""

    TERMINATION_STARTED = "TerminationStarted"
    TERMINATION_COMPLETE = "TerminationComplete"


class RecoveryOrder(StrEnum):
    """Whether a broken replica goes before or after the one that takes its place is made."""

    DELETE_FIRST = "DeleteFirst"
    CREATE_FIRST = "CreateFirst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How a replica that was ready and is not comes back.

    It has ``grace_seconds`` to do so by itself; then it is rebuilt, after ``first_backoff_seconds`` doubled for each
    rebuild of its place within the window, up to ``longest_backoff_seconds``. After ``max_rebuilds`` within
    ``window_seconds`` it is Failed and kept. ``forming_deadline_seconds`` bounds the time from the start of its
    containers until Ray stands in all of them.
    """

    enabled: bool = True
    order: RecoveryOrder = RecoveryOrder.DELETE_FIRST
    grace_seconds: int = 60
    first_backoff_seconds: int = 30
    longest_backoff_seconds: int = 600
    max_rebuilds: int = 5
    window_seconds: int = 3600
    forming_deadline_seconds: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """How long a replica that is to go may finish its requests, in seconds; 0: not at all."""

    timeout_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """Whether images and weights are brought to its node before a serving replica is deleted for its successor.

    After ``timeout_seconds`` it is deleted all the same. ``command`` brings the weights, in the image and with the
    volumes of the Ray container; empty: as the engine knows.
    """

    enabled: bool = True
    timeout_seconds: int = 600
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentGateway:
    """The Gateway that a fleet's HTTPRoute is for; ``namespace`` empty: the fleet's own."""

    name: str
    namespace: str = ""
    section_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The way in for requests; what is None or empty is the controller's default.

    ``weight`` is this fleet's share among the fleets of its model (None: by available replicas; 0: no requests).
    """

    enabled: bool = True
    parent: ParentGateway | None = None
    hostnames: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    timeout_seconds: int | None = None
    weight: int | None = None


DEFAULT_GATEWAY = ParentGateway(name="rayfleet", namespace="rayfleet-system")
"""The Gateway that ``rayfleet up`` makes and that routes are for when nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDefaults:
    """What holds for a route where its fleets say nothing: the controller's flags."""

    parent: ParentGateway = DEFAULT_GATEWAY
    hostnames: tuple[str, ...] = ()
    paths: tuple[str, ...] = ("/v1/completions", "/v1/chat/completions")
    timeout_seconds: int = 120
