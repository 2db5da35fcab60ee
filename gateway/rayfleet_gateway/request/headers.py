"""Which headers go on, and which end at the gateway (RFC 9110, 7.6.1: hop by hop). Pure.

What only the gateway says upstream is never a client's to say: ``x-gateway-destination-endpoint``, ``x-rayfleet-*``,
``x-envoy-*`` are dropped, and ``X-Forwarded-*`` follows a policy.
"""

from dataclasses import dataclass
from enum import StrEnum

from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.identity import given_trace_parent

_DROPPED = frozenset(
    {
        b"accept-encoding",  # a packed stream of events would hide its end
        b"connection",
        b"content-length",
        b"expect",
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
        b"x-request-id",
    }
)
_INTERNAL = (b"x-rayfleet-", b"x-envoy-", b"x-gateway-")  # of which x-gateway-destination-endpoint is Gateway API's
# A client that could have these dropped would change what is asked, or of whom.
_NEVER_NOMINATED = frozenset({b"host", b"content-type", b"content-encoding", b"authorization", b"model"})
_OF_PROXIES = frozenset({b"forwarded", b"x-real-ip"})
_PROXIES = b"x-forwarded-"
_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


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


@dataclass(slots=True, kw_only=True)
class Onward:
    """What the gateway changes of a head. ``client`` is the peer's address."""

    client: str
    policy: ForwardedPolicy = ForwardedPolicy.APPEND
    edits: Edits = NO_EDITS


def head_start(head: RequestHead, onward: Onward) -> bytes:
    """Return the head to send upstream but for its last lines: the same for every request with this head."""
    edits = onward.edits
    parts = [head.method.encode(), b" ", edits.target or head.target, b" HTTP/1.1\r\n"]
    dropped = _dropped_of(head, onward)
    is_replaced = onward.policy is ForwardedPolicy.REPLACE
    for name, value in head.headers:
        lower = name.lower()
        if lower in dropped or (lower[:2] == b"x-" and lower.startswith(_INTERNAL)):
            continue
        if is_replaced and (lower in _OF_PROXIES or lower.startswith(_PROXIES)):
            continue
        parts += (name, b": ", value, b"\r\n")
    parts += _edited(head, edits)
    if onward.policy is not ForwardedPolicy.KEEP:
        parts.append(_of_the_peer(head, onward, is_replaced=is_replaced))
    return b"".join(parts)


def head_end(head: RequestHead, body_bytes: int, request_id: str, trace_parent: str) -> bytes:
    """Return the lines that follow ``head_start``, the empty one included; ``body_bytes`` is what comes after them."""
    length = f"Content-Length: {body_bytes}\r\n" if body_bytes or head.method in _BODY_METHODS else ""
    return f"{length}X-Request-Id: {request_id}\r\ntraceparent: {trace_parent}\r\n\r\n".encode()


def _dropped_of(head: RequestHead, onward: Onward) -> frozenset[bytes]:
    """Return what does not go upstream as it came: ends here, was nominated by Connection, or is written anew."""
    dropped = _DROPPED
    nominated = head.joined.get("connection")
    if nominated is not None and nominated.lower() not in {"keep-alive", "close"}:
        words = {word.strip().lower().encode("latin-1") for word in nominated.split(",")}
        dropped |= words - _NEVER_NOMINATED
    if "x-forwarded-for" in head.joined and onward.policy is ForwardedPolicy.APPEND:
        dropped |= {b"x-forwarded-for"}
    if "tracestate" in head.joined and not given_trace_parent(head):
        dropped |= {b"tracestate"}  # of no trace that goes on (W3C Trace Context, 3.3)
    edits = onward.edits
    if edits is not NO_EDITS:
        dropped |= edits.drop | {name.lower() for name, _ in edits.put} | ({b"host"} if edits.host else set())
    return dropped


def _edited(head: RequestHead, edits: Edits) -> list[bytes]:
    """Return the lines that a route adds, and the Host that HTTP/1.1 must have."""
    lines = [b"%b: %b\r\n" % pair for pair in (*edits.put, *edits.add)] if edits is not NO_EDITS else []
    if edits.host or not head.host:
        lines.append(b"Host: %b\r\n" % (edits.host or b"localhost"))
    return lines


def _of_the_peer(head: RequestHead, onward: Onward, *, is_replaced: bool) -> bytes:
    """Return who asked, for servers behind: our peer after those that were said before.

    What a route sets or removes of it is the route's to say.
    """
    said_before = {} if is_replaced else head.joined
    before = said_before.get("x-forwarded-for")
    lines = {
        b"x-forwarded-for": f"X-Forwarded-For: {onward.client if before is None else f'{before}, {onward.client}'}"
    }
    if "x-forwarded-proto" not in said_before:
        lines[b"x-forwarded-proto"] = "X-Forwarded-Proto: http"
    if "x-forwarded-host" not in said_before and head.host:
        lines[b"x-forwarded-host"] = f"X-Forwarded-Host: {head.joined['host']}"
    changed = onward.edits.drop.union(name.lower() for name, _ in onward.edits.put)
    return "".join(f"{line}\r\n" for name, line in lines.items() if name not in changed).encode("latin-1")
