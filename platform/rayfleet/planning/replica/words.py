"""What the sidecar of a head says of its engine, in the words of a status; never more than words. Pure.

A pod whose containers run says only that one is not ready; its sidecar knows why. Its reason is one of
``SidecarReason``, so nothing that a sidecar says can be taken for a reason that something is decided on. It explains a
state that is decided already: where pods or recovery name a trouble of their own, that stays.
"""

from dataclasses import replace

from rayfleet.model.replica import ReplicaPhase, ReplicaState
from rayfleet.planning.observed import SidecarWords
from rayfleet.planning.replica.obstacles import MOST_LETTERS, Calm, SidecarReason

_PHASES = frozenset({ReplicaPhase.ENGINE_LOADING, ReplicaPhase.WARMING, ReplicaPhase.BROKEN})
_OF_SIDECARS = frozenset(SidecarReason)


def reason_and_message(reason: str, message: str) -> tuple[str, str]:
    """Return what a sidecar says as printable text of bounded length; a reason that is none of ours is text too."""
    if reason not in _OF_SIDECARS:
        reason, message = SidecarReason.NOT_READY, f"{reason}: {message}" if message else reason
    printable = "".join(letter if letter.isprintable() else " " for letter in message)
    return str(reason), " ".join(printable.split())[:MOST_LETTERS]


def with_words(state: ReplicaState, words: SidecarWords | None, before: ReplicaState | None) -> ReplicaState:
    """Return the state with the words of its head's sidecar, where its pods say only that the head is not ready.

    Until that sidecar is known to have answered or to be silent, what was said before (by another controller) stays.
    """
    if state.phase not in _PHASES or state.reason != Calm.CONTAINERS_NOT_READY:
        return state
    if words is not None and words.reason is not None:
        is_told = words.reason in _OF_SIDECARS and words.pod == state.pod
        return replace(state, reason=words.reason, message=words.message) if is_told else state
    if before is None or (before.phase, before.pod) != (state.phase, state.pod) or before.reason not in _OF_SIDECARS:
        return state
    return replace(state, reason=before.reason, message=before.message)
