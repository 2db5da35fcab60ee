"""Which headers go on, and which end at the gateway (RFC 9110, 7.6.1: hop by hop). Pure but for a new request id."""

import re
import uuid

from multidict import CIMultiDict, CIMultiDictProxy

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

Headers = CIMultiDict[str] | CIMultiDictProxy[str]


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
