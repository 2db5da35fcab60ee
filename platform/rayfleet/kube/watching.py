"""Watch events from bytes. Pure.

A line may be larger than any buffer (a RayCluster with its whole spec), so lines are joined from chunks here and
nothing is read by "one line with a limit".
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from rayfleet.kube.errors import ApiError, ServerError, decode_error
from rayfleet.model.json import Json


class WatchEventType(StrEnum):
    """What happened to the object; BOOKMARK carries a resourceVersion only."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    """One event of a watch; for DELETED the object is the last state."""

    type: WatchEventType
    object: Json

    @property
    def resource_version(self) -> str:
        """Where the watch stands after this event."""
        return str(self.object["metadata"]["resourceVersion"])


class LineSplitter:
    """Joins chunks and gives back whole lines without their newline; empty lines are dropped."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that ``chunk`` completes, in order. Linear in the bytes fed."""
        *whole, rest = chunk.split(b"\n")
        if not whole:
            if rest:
                self._parts.append(rest)
            return []
        self._parts.append(whole[0])
        whole[0] = b"".join(self._parts)
        self._parts = [rest] if rest else []
        return [line for line in whole if line.strip()]


def decode_watch_line(line: bytes) -> WatchEvent:
    """Return the event of one line.

    Raises Gone or another ApiError for an ERROR event, ServerError for what is no event.
    """
    try:
        event: Any = orjson.loads(line)
        kind, body = event["type"], event["object"]
        if kind != "ERROR":
            return WatchEvent(type=WatchEventType(kind), object=body)
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"the watch sent a line that is no event: {line[:120]!r}") from error
    raise _error_of(body)


def _error_of(status: Any) -> ApiError:
    fields = status if isinstance(status, dict) else {}
    code = fields.get("code")
    return decode_error(code if isinstance(code, int) else 500, fields)
