"""Why a container ended, in its own words. Edge: files.

Source: the kubelet's kuberuntime_container.go (v1.36): the end of what it wrote to its ``terminationMessagePath``;
where that is nothing and it failed, with the policy FallbackToLogsOnError, the end of its log.
"""

from pathlib import Path

from rayfleet.objects.volumes import MessagePlace

MESSAGE_FILE = "termination-log"  # in a container's folder
FILE_BYTES = 4096
LOG_BYTES = 2048
LOG_LINES = 80


def end_message(place: MessagePlace, message_file: Path, log: Path, exit_code: int | None) -> str:
    """Return the words; empty when there are none. Blocking."""
    message = _end_of(message_file, FILE_BYTES)
    if message or exit_code == 0 or not place.falls_back_to_log:
        return message
    return "".join(_end_of(log, LOG_BYTES).splitlines(keepends=True)[-LOG_LINES:])


def _end_of(path: Path, most_bytes: int) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most_bytes))
            return file.read(most_bytes).decode("utf-8", "replace")
    except OSError:
        return ""
