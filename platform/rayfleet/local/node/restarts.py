"""Whether and when an ended container starts again.

Pure. Source: Kubernetes, "Pod Lifecycle", container restart policy.
"""

from datetime import timedelta

from rayfleet.objects.backoff import Backoff

BACKOFF = Backoff(first=timedelta(seconds=10), longest=timedelta(seconds=300))  # the kubelet's
# A container that ran this long starts anew without back-off.
STEADY = timedelta(minutes=10)


def is_restarted(policy: str, exit_code: int) -> bool:
    """Whether a container with this exit code starts again under ``Always``, ``OnFailure`` or ``Never``."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def restart_backoff(ends_in_a_row: int) -> timedelta:
    """Return the pause before the next start: none after the first end, then 10 s, 20 s, 40 s ... at most 300 s."""
    return BACKOFF.delay(ends_in_a_row - 1)


def ends_in_a_row(before: int, ran: timedelta) -> int:
    """Return how often the container has ended in a row, after it ran for ``ran`` and ended once more."""
    return 1 if ran >= STEADY else before + 1
