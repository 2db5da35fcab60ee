"""Which headers go on, and which end at the gateway (RFC 9110, 7.6.1: hop by hop). Pure but for a new request id.

What only the gateway says upstream is never a client's to say: ``x-gateway-destination-endpoint``, ``x-rayfleet-*``,
``x-envoy-*`` are dropped, and ``X-Forwarded-*`` follows a policy.
"""

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum

from multidict import CIMultiDict, CIMultiDictProxy

from rayfleet_gateway.model.values import RequestHead

REQUEST_ID = "X-Request-Id"

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# The client session writes its own; an expectation was answered here, when the body was read.
_NOT_FORWARDED = _HOP_BY_HOP | {"host", "content-length", "expect", REQUEST_ID.lower()}
_NOT_RETURNED = _HOP_BY_HOP | {REQUEST_ID.lower()}
_REQUEST_ID = re.compile(r"[!-~]{1,128}")

_DROPPED = frozenset(
    {
        b"accept-encoding",  # a packed stream of events would hide its end
        b"connection",
        b"content-length",
        b"expect",
        b"forwarded",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"traceparent",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-gateway-destination-endpoint",
        b"x-request-id",
    }
)
_DROPPED_PREFIXES = (b"x-rayfleet-", b"x-envoy-", b"x-gateway-")

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class ForwardedPolicy(StrEnum):
    """What becomes of a client's ``X-Forwarded-*``: ``append`` our peer, ``replace`` all, or ``keep`` them as sent."""

    APPEND = "append"
    REPLACE = "replace"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """What a route's filters change: header names in lower case; ``target`` and ``host`` empty: as they came."""

    put: tuple[tuple[bytes, bytes], ...] = ()
    add: tuple[tuple[bytes, bytes], ...] = ()
    drop: frozenset[bytes] = frozenset()
    target: bytes = b""
    host: bytes = b""


NO_EDITS = Edits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """What the gateway adds to a head. ``client`` is the peer's address; ``body_bytes`` the length of what follows."""

    request_id: str
    trace_parent: str
    client: str
    body_bytes: int
    policy: ForwardedPolicy = ForwardedPolicy.APPEND
    edits: Edits = NO_EDITS


def forwarded(head: RequestHead, onward: Onward) -> bytes:
    """Return the whole head to send upstream, its empty line included; the same for every endpoint."""
    edits = onward.edits
    lines = [b"%b %b HTTP/1.1\r\n" % (head.method.encode(), edits.target or head.target)]
    dropped = _dropped_of(head, edits)
    for name, value in head.headers:
        lower = name.lower()
        if lower not in dropped and not lower.startswith(_DROPPED_PREFIXES):
            lines.append(b"%b: %b\r\n" % (name, edits.host if edits.host and lower == b"host" else value))
    if not head.host:
        lines.append(b"Host: localhost\r\n")
    lines += [b"%b: %b\r\n" % pair for pair in (*edits.put, *edits.add)]
    lines.append(_forwarded_for(head, onward))
    if onward.body_bytes or head.length != 0 or head.method in {"POST", "PUT", "PATCH"}:
        lines.append(b"Content-Length: %d\r\n" % onward.body_bytes)
    lines.append(f"X-Request-Id: {onward.request_id}\r\ntraceparent: {onward.trace_parent}\r\n\r\n".encode())
    return b"".join(lines)


def request_id(headers: Headers) -> str:
    """Return the client's request id, or a new one when it has none that is fit for a log line."""
    given = headers.get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def forwarded_headers(headers: Headers, identity: str) -> CIMultiDict[str]:
    """Return what goes upstream: all but hop-by-hop headers, Host and length."""
    kept = _without(headers, _NOT_FORWARDED)
    kept[REQUEST_ID] = identity
    return kept


def returned_headers(headers: Headers, identity: str) -> CIMultiDict[str]:
    """Return what goes back to the client: all but hop-by-hop headers."""
    kept = _without(headers, _NOT_RETURNED)
    kept[REQUEST_ID] = identity
    return kept


def joined_headers(headers: Headers) -> dict[str, str]:
    """Return each header once, name in lower case; several of a name become one, as RFC 9110, 5.3 joins them."""
    joined: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined


def _without(headers: Headers, dropped: frozenset[str]) -> CIMultiDict[str]:
    if "Connection" in headers:
        words = ",".join(headers.getall("Connection")).split(",")
        dropped |= {word.strip().lower() for word in words}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _dropped_of(head: RequestHead, edits: Edits) -> frozenset[bytes]:
    dropped = _DROPPED
    nominated = head.joined.get("connection", "")
    if nominated and nominated.lower() not in {"keep-alive", "close"}:
        dropped |= {word.strip().lower().encode("latin-1") for word in nominated.split(",")} - {b"host"}
    if edits is not NO_EDITS:
        dropped |= edits.drop | {name for name, _ in edits.put}
    return dropped


def _forwarded_for(head: RequestHead, onward: Onward) -> bytes:
    return f"X-Forwarded-For: {onward.client}\r\nX-Forwarded-Host: {head.joined.get('host', '')}\r\n".encode("latin-1")
