"""What a rule changes of requests and answers: headers, path, host; or a redirect instead of an answer. Pure.

Source: Gateway API v1.6, HTTPHeaderFilter, HTTPURLRewriteFilter, HTTPRequestRedirectFilter. Nothing here may change how
a message is framed: the names of FRAMING are refused when a route is read (reading.py).
"""

from dataclasses import dataclass, field
from urllib.parse import quote

FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers, in lower case, that say how a message is framed or whose it is."""

NAMES = frozenset({"traceparent", "x-request-id"})
"""Headers, in lower case, by which the gateway names a request: in both directions, and in its log."""

_PATH_LETTERS = "/!$&'()*+,;=:@-._~"  # RFC 3986, pchar and the slash


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderEdit:
    """Which headers are set, added and removed, in this order; the names of ``remove`` and ``replaced`` are lower-case.

    ``replaced`` are the names of ``set``.
    """

    set: tuple[tuple[bytes, bytes], ...] = ()
    add: tuple[tuple[bytes, bytes], ...] = ()
    remove: frozenset[bytes] = frozenset()
    replaced: frozenset[bytes] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "replaced", frozenset(name.lower() for name, _ in self.set))


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChange:
    """Another path: ``full`` instead of all of it, or ``prefix`` instead of what the rule's prefix matched."""

    full: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What the endpoint sees instead of the client's host and path; empty or None: the client's."""

    hostname: str = ""
    path: PathChange | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect:
    """Where the client is sent; empty or None: as it asked. ``port`` 0: the scheme's own, or the one of the request."""

    scheme: str = ""
    hostname: str = ""
    path: PathChange | None = None
    port: int = 0
    status: int = 302


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """All that a rule changes. With ``redirect`` nothing goes upstream."""

    request_headers: HeaderEdit | None = None
    response_headers: HeaderEdit | None = None
    rewrite: Rewrite | None = None
    redirect: Redirect | None = None


NO_FILTERS = Filters()
"""What a rule without filters has: the very object, so that ``is`` tells."""


def rewritten_target(rewrite: Rewrite, prefix: str, target: bytes, path: str) -> bytes:
    """Return the request target that goes upstream.

    ``target`` is the client's in origin form, ``path`` its path decoded, ``prefix`` what the rule matched
    (``rule.match.prefix``).
    """
    if rewrite.path is None:
        return target
    _, mark, query = target.partition(b"?")
    return _changed_path(rewrite.path, prefix, path).encode() + mark + query


def redirect_location(redirect: Redirect, prefix: str, *, scheme: str, host: str, target: str, path: str) -> str:
    """Return the value of ``Location``: a path alone where nobody names a host (HTTP/1.0).

    ``scheme`` and ``host`` (with its port, as the client sent it) are the request's; ``target``, ``path`` and
    ``prefix`` as for ``rewritten_target``.
    """
    name, port = _split_host(host)
    new_scheme = redirect.scheme or scheme
    number = str(redirect.port) if redirect.port else ("" if redirect.scheme else port)
    if number == {"http": "80", "https": "443"}.get(new_scheme):
        number = ""
    raw, mark, query = target.partition("?")
    new_path = raw if redirect.path is None else _changed_path(redirect.path, prefix, path)
    new_name = redirect.hostname or name
    origin = f"{new_scheme}://{new_name}{':' if number else ''}{number}" if new_name else ""
    return f"{origin}{new_path}{mark}{query}"


def _changed_path(change: PathChange, prefix: str, path: str) -> str:
    """Return the new path, percent-encoded; a prefix is replaced by whole segments, and the path never gets empty.

    ``/foo`` for the prefix ``/v1``: ``/v1/x`` becomes ``/foo/x``, ``/v1`` becomes ``/foo``.
    """
    if change.full is not None:
        return quote(change.full, safe=_PATH_LETTERS + "%") or "/"
    rest = quote(path[len(prefix) :], safe=_PATH_LETTERS)
    start = quote((change.prefix or "").rstrip("/"), safe=_PATH_LETTERS + "%")
    return start + rest or "/"


def _split_host(host: str) -> tuple[str, str]:
    """Return the name and the port of a Host, the port empty without one."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isascii() and port.isdecimal() else (host, "")
