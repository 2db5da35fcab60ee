"""Whether and when an ended container starts again.

Pure. Source: Kubernetes, "Pod Lifecycle", container restart policy.
"""

from datetime import timedelta

FIRST_BACKOFF = timedelta(seconds=10)
LONGEST_BACKOFF = timedelta(seconds=300)
# A container that ran this long starts anew without back-off.
STEADY = timedelta(minutes=10)


def is_restarted(policy: str, exit_code: int) -> bool:
    """Whether a container with this exit code starts again under ``Always``, ``OnFailure`` or ``Never``."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restart_backoff(ends_in_a_row: int) -> timedelta:
    """Return the pause before the next start: none after the first end, then 10 s, 20 s, 40 s ... at most 300 s."""
    if ends_in_a_row <= 1:
        return timedelta(0)
    doublings = min(ends_in_a_row - 2, 10)
    return min(LONGEST_BACKOFF, FIRST_BACKOFF * int(2**doublings))


def ends_in_a_row(before: int, ran: timedelta) -> int:
    """Return how often the container has ended in a row, after it ran for ``ran`` and ended once more."""
    return 1 if ran >= STEADY else before + 1
