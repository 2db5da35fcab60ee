"""A head that was read, and what became of it: a client that asks again sends the same bytes, and they mean the same.

Only the length of the body differs from request to request, so the digits of it are looked at apart. Each connection
keeps its last head, unless it is long. What became of it holds for one table (``is`` tells which): a new table has
everything asked anew. Nothing of it outlives the connection, since there are keys in heads.
"""

from dataclasses import dataclass

from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.headers import NO_EDITS, Edits
from rayfleet_gateway.request.identity import given_id, given_trace_parent
from rayfleet_gateway.route.table import RouteTable, Rule

_LONGEST_KEPT = 4 << 10
_LENGTH = b"\r\ncontent-length: "
_MOST_DIGITS = 15


@dataclass(slots=True)
class Routed:
    """What a request takes, and what that changes of it; ``start`` is of the head to send, once it was made."""

    rule: Rule
    edits: Edits = NO_EDITS
    start: bytes = b""


class KnownHead:
    """What a connection's last head says; ``size`` counts its bytes, with its empty line.

    ``request_id`` and ``trace_parent`` are the client's, empty when it has none that is fit. ``allowed_in`` is the
    table in which requests with this head, and a body that is not too long, go on to their body. With ``routed_in`` and
    ``model`` they take ``routed``, and count under ``label``; ``heeds_length``: unless the length is another.
    """

    __slots__ = (
        "_after",
        "_before",
        "_digits",
        "allowed_in",
        "head",
        "heeds_length",
        "label",
        "model",
        "request_id",
        "routed",
        "routed_in",
        "size",
        "trace_parent",
    )

    def __init__(self, raw: bytes, head: RequestHead) -> None:
        """Take a head as it came and as it was read."""
        self._before, self._digits, self._after = _parted(raw, head)
        self.size = len(raw)
        self.head = head
        self.request_id = given_id(head)
        self.trace_parent = given_trace_parent(head)
        self.allowed_in: RouteTable | None = None
        self.routed_in: RouteTable | None = None
        self.routed: Routed | None = None
        self.heeds_length = False
        self.model = self.label = ""

    @property
    def is_kept(self) -> bool:
        """Whether the connection keeps it: what an idle client holds is bounded."""
        return self.size <= _LONGEST_KEPT

    def begins(self, rest: bytes) -> bool:
        """Whether ``rest`` begins with this head; where only the length differs, it is that head from now on."""
        if not rest.startswith(self._before):
            return False
        if self._digits:
            at = len(self._before)
            end = rest.find(b"\r", at, at + _MOST_DIGITS + 1)
            if end < 0 or not rest.startswith(self._after, end):
                return False
            digits = rest[at:end]
            if digits != self._digits:
                if not digits.isdigit():
                    return False
                self._take_length(digits)
        return True

    def _take_length(self, digits: bytes) -> None:
        head = self.head
        self.size += len(digits) - len(self._digits)
        self._digits = digits
        self.head = RequestHead(
            method=head.method,
            target=head.target,
            path=head.path,
            query=head.query,
            host=head.host,
            headers=head.headers,
            joined={**head.joined, "content-length": digits.decode()},
            length=int(digits),
            is_keep_alive=head.is_keep_alive,
            is_http_10=head.is_http_10,
            expects_continue=head.expects_continue,
        )
        if self.heeds_length:
            self.routed_in = None


def _parted(raw: bytes, head: RequestHead) -> tuple[bytes, bytes, bytes]:
    """Return what comes before the digits of the length, the digits, and the rest; the whole before no digits."""
    length = head.joined.get("content-length", "").encode("latin-1")
    at = raw.lower().find(_LENGTH) + len(_LENGTH)
    end = raw.find(b"\r", at)
    if at < len(_LENGTH) or not length or raw[at:end] != length or len(length) > _MOST_DIGITS:
        return raw, b"", b""
    return raw[:at], length, raw[end:]
