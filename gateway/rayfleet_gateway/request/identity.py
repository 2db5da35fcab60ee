"""The names of a request for logs and traces: its id, and its W3C trace context. Pure but for new names.

A client's own are kept when they are fit for a log line. A made ``traceparent`` says sampled: one that says otherwise
would switch the tracing of an engine off, whose default is to trace what has no parent.

Source: W3C Trace Context, level 1 (``traceparent`` version 00).
"""

import re
from secrets import token_hex

from rayfleet_gateway.model.values import RequestHead

_REQUEST_ID = re.compile(r"[!-~]{1,128}")
_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def id_of(head: RequestHead) -> str:
    """Return the client's request id, or a new one when it has none that is fit for a log line."""
    given = head.joined.get("x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) is not None else token_hex(16)


def given_trace_parent(head: RequestHead) -> str:
    """Return the client's ``traceparent``, empty when it has none or an invalid one."""
    given = head.joined.get("traceparent", "")
    return given if _TRACE_PARENT.fullmatch(given) is not None else ""


def new_trace_parent() -> str:
    """Return a ``traceparent`` of a new trace."""
    names = token_hex(24)
    return f"00-{names[:32]}-{names[32:]}-01"
