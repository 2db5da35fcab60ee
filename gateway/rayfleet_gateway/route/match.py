"""What a request must look like to take a rule, and which of two rules comes first. Pure.

Source: Gateway API v1.6, HTTPRouteMatch, HTTPRouteRule.matches and HTTPRouteSpec.hostnames. A prefix matches whole path
segments: ``/v1/completions`` does not match ``/v1/completionsx``. Of equal names only the first of a match counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import parse_qsl

from rayfleet_gateway.route.patterns import Pattern

MODEL_HEADER = "model"
MOST_PARAMETERS = 200  # of a query: reading the 30,000 that a head has room for would hold up every stream


class PathKind(IntEnum):
    """How a path is compared; the smaller comes first (where patterns stand is an implementation's to say)."""

    EXACT = 0
    PATTERN = 1
    PREFIX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a request must look like. Header names are lower-case; ``method`` empty means any.

    ``hostname`` is in lower case; empty means any, ``*.example.org`` every name below it. ``query`` and
    ``query_patterns`` are by name of the parameter. ``pattern`` is ``path`` compiled where the kind is PATTERN.
    """

    path: str = "/"
    kind: PathKind = PathKind.PREFIX
    hostname: str = ""
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    header_patterns: Mapping[str, Pattern] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    query_patterns: Mapping[str, Pattern] = field(default_factory=dict)
    prefix: str = field(init=False, compare=False, repr=False)
    pattern: Pattern | None = field(init=False, compare=False, repr=False)
    is_plain: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Derive what is compared for every request. Raises ValueError for a pattern that is none."""
        object.__setattr__(self, "prefix", self.path.rstrip("/"))
        object.__setattr__(self, "pattern", Pattern(self.path) if self.kind is PathKind.PATTERN else None)
        asks_more = self.hostname or self.method or self.header_patterns or self.query or self.query_patterns
        object.__setattr__(self, "is_plain", not asks_more and not self.headers.keys() - {MODEL_HEADER})


@dataclass(slots=True)
class Asked:
    """A request as rules look at it: ``path`` decoded, ``host`` plain (see ``plain_host``), header names lower-case.

    ``model`` is what the header or the body names, empty when nothing does.
    """

    method: str
    host: str
    path: str
    query: str
    headers: Mapping[str, str]
    model: str
    _parameters: dict[str, str] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def parameters(self) -> Mapping[str, str]:
        """The first MOST_PARAMETERS of the query, read once for all rules; of one that is sent twice the first."""
        if self._parameters is None:
            pieces = self.query.split("&", MOST_PARAMETERS)[:MOST_PARAMETERS]
            pairs = parse_qsl("&".join(pieces), keep_blank_values=True)
            self._parameters = dict(reversed(pairs))
        return self._parameters


def matches_path(match: Match, path: str) -> bool:
    """Whether ``path`` (decoded, without query) is as the match says."""
    if match.kind is PathKind.PREFIX:
        prefix = match.prefix
        return path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/")
    if match.pattern is not None:
        return match.pattern.fits(path)
    return path == match.path


def matches_host(hostname: str, host: str) -> bool:
    """Whether a plain host is one that ``hostname`` stands for; a wildcard stands for one label or more."""
    if not hostname or host == hostname:
        return True
    return hostname.startswith("*.") and host.endswith(hostname[1:]) and len(host) >= len(hostname)


def matches_rest(match: Match, asked: Asked) -> bool:
    """Whether all but the path is as the match says; the exact header ``model`` was compared by the table's key."""
    if match.is_plain:
        return True
    if (match.method and match.method != asked.method) or not matches_host(match.hostname, asked.host):
        return False
    for name, value in match.headers.items():
        if asked.headers.get(name) != value and name != MODEL_HEADER:
            return False
    for name, pattern in match.header_patterns.items():
        sent = asked.model if name == MODEL_HEADER else asked.headers.get(name)
        if not sent or not pattern.fits(sent):
            return False
    return not (match.query or match.query_patterns) or _matches_query(match, asked.parameters)


def plain_host(host: str) -> str:
    """Return a Host without its port and last dot, in lower case; brackets of an address stay."""
    if ":" not in host:
        return host.removesuffix(".").lower()
    name, colon, port = host.rpartition(":")
    if colon and port.isascii() and (port.isdecimal() or not port):
        host = name
    return host.removesuffix(".").lower()


def rank_of(match: Match, *, created: str, route: str, order: int) -> tuple[int | str, ...]:
    """Return what sorts rules, the smallest first.

    Letters of a host name without wildcard, letters of any; exact path, pattern, prefix, the longest first; method;
    number of headers, of query parameters; age of the route (RFC 3339), its name, order in it.
    """
    is_wildcard = match.hostname.startswith("*")
    return (
        0 if is_wildcard else -len(match.hostname),
        -len(match.hostname),
        match.kind,
        -len(match.path if match.kind is PathKind.PATTERN else match.prefix),
        0 if match.method else 1,
        -len(match.headers) - len(match.header_patterns),
        -len(match.query) - len(match.query_patterns),
        created,
        route,
        order,
    )


def _matches_query(match: Match, sent: Mapping[str, str]) -> bool:
    return all(sent.get(name) == value for name, value in match.query.items()) and all(
        name in sent and pattern.fits(sent[name]) for name, pattern in match.query_patterns.items()
    )
