"""Many replicas in few words: who needs a look first, and what they wait for. Pure.

Words carry a time of beginning and no duration, so they stay the same while nothing happens.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.objects.times import encode_time
from rayfleet.planning.replica.obstacles import Calm, is_trouble

MOST_LISTED = 20
"""States in a fleet's status at most."""
_IN_NEED = {phase: rank for rank, phase in enumerate((ReplicaPhase.FAILED, ReplicaPhase.BROKEN))}
_CONTENT = frozenset({ReplicaPhase.READY, ReplicaPhase.DRAINING, ReplicaPhase.TERMINATING})
_LOST = frozenset({ReplicaPhase.BROKEN, ReplicaPhase.FAILED})


def in_trouble(state: ReplicaState) -> bool:
    """Whether somebody has to look at a replica, or recovery to act."""
    return is_in_trouble(state.phase, state.reason)


def is_in_trouble(phase: str, reason: str) -> bool:
    """Return ``in_trouble`` of a state with that phase and reason, as a status has them."""
    return phase in _LOST or is_trouble(reason)


def in_order_of_need(states: Iterable[ReplicaState]) -> list[ReplicaState]:
    """Return them with those in front that need a look first: Failed, Broken, blocked, waiting, leaving, ready.

    Of equals those that stand so longest.
    """

    def rank(state: ReplicaState) -> tuple[int, datetime, str]:
        if state.phase in _IN_NEED:
            need = _IN_NEED[state.phase]
        elif in_trouble(state):
            need = 2
        else:
            need = 5 if state.phase is ReplicaPhase.READY else 4 if state.phase in _CONTENT else 3
        return need, state.since, state.name

    return sorted(states, key=rank)


def lost(states: Iterable[ReplicaState]) -> list[ReplicaState]:
    """Return those that were good and are not."""
    return [state for state in states if state.phase in _LOST]


def is_waiting(state: ReplicaState) -> bool:
    """Whether a replica is neither ready nor on its way out."""
    return state.phase not in _CONTENT


def is_noteworthy(state: ReplicaState) -> bool:
    """Whether a replica waits or is in trouble: a reason to write a status, which that one is well is not."""
    return is_waiting(state) or in_trouble(state)


def are_suspended(states: Iterable[ReplicaState]) -> bool:
    """Whether any waits for admission (Kueue): then nothing is late."""
    return any(state.phase is ReplicaPhase.PENDING and state.reason == Calm.SUSPENDED for state in states)


def waiting_words(states: Sequence[ReplicaState], total: int) -> str:
    """Return what replicas, out of so many, wait for: the first one's words; empty when none waits.

    ``2 of 3 replicas wait: Pulling 1/2 since 2026-01-02T03:04:05Z, pod x-head, container ray: ErrImagePull no/such:1``.
    """
    waits = [state for state in states if is_waiting(state)]
    if not waits:
        return ""
    return f"{len(waits)} of {total} {'replica waits' if total == 1 else 'replicas wait'}: {standing_words(waits[0])}"


def standing_words(state: ReplicaState) -> str:
    """Return where one replica stands, since when, and what blocks it."""
    words = " ".join(word for word in (state.phase.value, state.progress) if word)
    words += f" since {encode_time(state.since)}"
    words += f", pod {state.pod}" if state.pod else ""
    words += f", container {state.container}" if state.container else ""
    why = " ".join(word for word in (state.reason, state.message) if word)
    return f"{words}: {why}" if why else words
