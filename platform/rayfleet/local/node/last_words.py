"""What a container's termination message is: the end of its log, where its spec asks for that and it failed.

Source: Kubernetes, "Determine the Reason for Pod Failure" (``FallbackToLogsOnError``: 2048 bytes or 80 lines, the
smaller). A file ``/dev/termination-log`` of each container's own does not exist here: all of them share the machine's.
"""

from pathlib import Path

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.containers import leaves_log_as_message

_MOST_BYTES = 2048
_MOST_LINES = 80


def last_words(container: ReadOnlyJson, code: int | None, log: Path) -> str:
    """Return the message of a container that ended with ``code`` (None: unknown); empty when it asks for none."""
    if code == 0 or not leaves_log_as_message(container):
        return ""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _MOST_BYTES))
            tail = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "".join(tail.splitlines(keepends=True)[-_MOST_LINES:])
