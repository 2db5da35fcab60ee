"""What warming nodes up does to one step of a rollout: the sizes that may be written, and the pods. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from rayfleet.planning.names import template_hash
from rayfleet.planning.replica.obstacles import Obstacle
from rayfleet.planning.writes import CreateTogether, Event

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpStep:
    """``sizes`` are what may be written of replica sets now: what serves on ``nodes`` that are cold stays.

    ``subject`` is what is brought, for people. ``pods`` names those that are needed until it is cut. ``is_under_way``:
    something is held back for them; ``refusal`` is an image that cannot be had, for as long as there is one. ``events``
    tell what was waited for in vain, once it is cut all the same.
    """

    sizes: Mapping[str, int]
    subject: str = ""
    actions: tuple[CreateTogether, ...] = ()
    pods: frozenset[str] = frozenset()
    nodes: tuple[str, ...] = ()
    refusal: Obstacle | None = None
    is_under_way: bool = False
    events: tuple[Event, ...] = ()
    look_again: timedelta | None = None

    @property
    def words(self) -> str:
        """What is waited for, for people."""
        named = ", ".join(self.nodes[:_MOST_NAMED])
        more = f" and {len(self.nodes) - _MOST_NAMED} more" if len(self.nodes) > _MOST_NAMED else ""
        return f"{self.subject} to {named}{more} before replicas there go."

    @property
    def refusal_words(self) -> str:
        """Which image cannot be had, for people; empty when there is none such."""
        return refusal_words(self.refusal) if self.refusal is not None else ""


def bringing(identity: str) -> str:
    """Return what is brought for the template of that identity; how long it takes counts anew for another one."""
    return f"Bringing images and weights of template {template_hash(identity, None)}"


def refusal_words(refusal: Obstacle) -> str:
    """Return which image cannot be had, and what that means."""
    return f"No replica is cut: pod {refusal.pod}, {refusal.reason}: {refusal.message}"
