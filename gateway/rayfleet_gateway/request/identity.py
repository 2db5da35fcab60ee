"""The names of a request for logs and traces: its id, and its W3C trace context. Pure but for new names.

A client's own are kept when they are fit for a log line. A made ``traceparent`` says sampled: one that says otherwise
would switch the tracing of an engine off, whose default is to trace what has no parent.

Source: W3C Trace Context, level 1 (``traceparent`` version 00).
"""

import re
from secrets import token_hex

from rayfleet_gateway.model.values import RequestHead

_BLOCK_BYTES = 2048
_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Names:
    """New names, which nobody can guess: the system's random bytes, taken many at a time."""

    __slots__ = ("_at", "_digits")

    def __init__(self) -> None:
        self._digits = ""
        self._at = 0

    def request_id(self) -> str:
        """Return the id of a request that brings none: 32 hexadecimal digits."""
        return self._next(32)

    def span_id(self) -> str:
        """Return the id of a span: 16 hexadecimal digits."""
        return self._next(16)

    def trace_parent(self) -> str:
        """Return a ``traceparent`` of a new trace."""
        return f"00-{self._next(32)}-{self._next(16)}-01"

    def _next(self, count: int) -> str:
        at = self._at
        if at + count > len(self._digits):
            self._digits = token_hex(_BLOCK_BYTES)
            at = 0
        self._at = at + count
        return self._digits[at : at + count]


def given_id(head: RequestHead) -> str:
    """Return the client's request id, empty when it has none that is fit for a log line."""
    given = head.joined.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) is not None else ""


def given_trace_parent(head: RequestHead) -> str:
    """Return the client's ``traceparent``, empty when it has none or an invalid one."""
    given = head.joined.get("traceparent", "")
    return given if _TRACE_PARENT.fullmatch(given) is not None else ""
