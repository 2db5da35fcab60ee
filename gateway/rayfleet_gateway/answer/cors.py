"""What lets a browser's page call the gateway from another origin. Pure.

Off unless a setting names origins. Then the gateway speaks for the engines too: what they say of it themselves is
dropped, since two answers of one header are none. Credentials are never allowed with ``*``; keys travel in
``Authorization``, which needs no credentials mode.

Source: Fetch, 3.2 (CORS protocol).
"""

from dataclasses import dataclass

from rayfleet_gateway.model.values import RequestHead

ALLOW = b"access-control-"
_EXPOSED = "X-Request-Id, Retry-After, retry-after-ms, x-should-retry"
_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
_MAX_AGE_SECONDS = 600
_FIT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-, !#$%&'*+.^_`|~")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """``origins`` as browsers write them (``https://chat.example``), or ``*``; empty: off."""

    origins: frozenset[str] = frozenset()

    def allows(self, origin: str | None) -> bool:
        """Whether a page of ``origin`` may read what is answered."""
        return origin is not None and ("*" in self.origins or origin in self.origins)


def is_preflight(head: RequestHead, cors: Cors) -> bool:
    """Whether a request only asks whether another one may be made, and is answered by the gateway itself."""
    asked = head.method == "OPTIONS" and "access-control-request-method" in head.joined
    return bool(cors.origins) and asked and "origin" in head.joined


def preflight(head: RequestHead, cors: Cors, *, request_id: str, is_keep_alive: bool) -> bytes:
    """Return the whole answer to a preflight: a 204, which for a foreign origin allows nothing."""
    lines = f"HTTP/1.1 204 No Content\r\nX-Request-Id: {request_id}\r\n"
    if cors.allows(head.joined.get("origin")):
        names = head.joined.get("access-control-request-headers", "")
        lines += f"Access-Control-Allow-Methods: {_METHODS}\r\nAccess-Control-Max-Age: {_MAX_AGE_SECONDS}\r\n"
        if names and _FIT.issuperset(names):
            lines += f"Access-Control-Allow-Headers: {names}\r\n"
    closing = "" if is_keep_alive else "Connection: close\r\n"
    return lines.encode() + opened(head, cors) + closing.encode() + b"\r\n"


def opened(head: RequestHead, cors: Cors) -> bytes:
    """Return the header lines that let the page read an answer; none for another origin, or when it is off."""
    origin = head.joined.get("origin")
    if not cors.origins:
        return b""
    if not cors.allows(origin):
        return b"Vary: Origin\r\n"
    allowed = "*" if "*" in cors.origins else f"{origin}\r\nVary: Origin"
    return f"Access-Control-Allow-Origin: {allowed}\r\nAccess-Control-Expose-Headers: {_EXPOSED}\r\n".encode("latin-1")
