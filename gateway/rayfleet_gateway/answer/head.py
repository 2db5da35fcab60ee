"""The head of an answer: an engine's as it is read and passed on, and the gateway's own. Pure.

An engine's answer has one framing or it is no answer. What goes back keeps the engine's headers but for hop-by-hop
ones, lengths, and places that only the cluster can reach: a ``Location`` or ``Content-Location`` at the engine's own
address, or another that is nobody's outside, becomes a path of ours. ``Alt-Svc`` would lead clients past the gateway.

Source: RFC 9112, 6.3; RFC 9110, 7.6.1 and 10.2.2.
"""

import re
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.errors import BrokenOff

_NOT_RETURNED = frozenset(
    {
        b"alt-svc",
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"x-request-id",
    }
)
_PLACES = frozenset({b"location", b"content-location"})
_PLACE = re.compile(r"(?:https?:)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_INNER_NAMES = (".local", ".internal", ".svc", ".localhost", ".localdomain")
BODYLESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.RESET_CONTENT, HTTPStatus.NOT_MODIFIED})
CRLF = "\r\n"
_REASONS = {int(status): status.phrase for status in HTTPStatus}


@dataclass(slots=True, kw_only=True)
class AnswerHead:
    """An engine's head. ``length`` None: by chunks or by the end of the connection (``is_chunked`` tells).

    ``headers`` are as sent, in order; what they say of the length is not to be read there.
    ``media`` is the content type without parameters, in lower case; ``coding`` the Content-Encoding, empty for none.
    ``start`` is what goes back of it where nobody changes anything, empty where that is not known.
    """

    status: int
    reason: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    media: str
    coding: str
    length: int | None
    is_chunked: bool
    start: bytes = b""

    def with_length(self, length: int) -> "AnswerHead":
        """Return the same head with another length."""
        return AnswerHead(
            status=self.status,
            reason=self.reason,
            headers=self.headers,
            media=self.media,
            coding=self.coding,
            length=length,
            is_chunked=self.is_chunked,
            start=self.start,
        )

    @property
    def is_event_stream(self) -> bool:
        """Whether events are told one by one."""
        return self.media == "text/event-stream"


@dataclass(slots=True, kw_only=True)
class Reply:
    """How an answer goes back. ``length`` None with ``is_chunked`` False: it ends with the connection, or has no body.

    ``host`` is the Host that the client sent. ``more`` are whole header lines to add, each with its CRLF (of a route's
    filters, of CORS); ``dropped`` are names in lower case that are not the engine's to say then, and so are all of
    ``dropped_prefix``.
    """

    request_id: str
    is_keep_alive: bool
    length: int | None = None
    is_chunked: bool = False
    host: str = ""
    more: bytes = b""
    dropped: frozenset[bytes] = frozenset()
    dropped_prefix: bytes = b""


def read(status: int, reason: bytes, headers: list[tuple[bytes, bytes]], *, method: str) -> AnswerHead:
    """Return the head that a parser read. Raises BrokenOff when its framing is ambiguous."""
    joined: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        joined[lower] = b"%b, %b" % (joined[lower], value) if lower in joined else value
    length, codings = joined.get(b"content-length"), joined.get(b"transfer-encoding")
    if codings is not None and (codings.lower() != b"chunked" or length is not None):
        raise BrokenOff("its answer has an ambiguous framing")
    if length is not None and not length.isdigit():
        raise BrokenOff("its answer has no single length")
    size = None if length is None else int(length)
    if method == "HEAD" or status in BODYLESS:
        size, codings = 0, None
    answer = AnswerHead(
        status=status,
        reason=reason,
        headers=tuple(headers),
        media=joined.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1"),
        coding=joined.get(b"content-encoding", b"").strip().lower().decode("latin-1"),
        length=size,
        is_chunked=codings is not None,
    )
    if _PLACES.isdisjoint(joined):
        answer.start = _start(answer, _NOT_RETURNED | _nominated(answer))
    return answer


def returned(answer: AnswerHead, reply: Reply) -> bytes:
    """Return the whole head to send to the client, its empty line included."""
    start = answer.start
    if not start or reply.dropped or reply.dropped_prefix:
        dropped = _NOT_RETURNED | reply.dropped | _nominated(answer)
        start = _start(answer, dropped, prefix=reply.dropped_prefix, host=reply.host)
    return start + _framing(reply)


def refused(
    refusal: Refusal,
    *,
    request_id: str,
    is_keep_alive: bool,
    path: str = "",
    is_head: bool = False,
    more: bytes = b"",
) -> bytes:
    """Return a whole answer of the gateway's own.

    ``path`` tells whose error shape the client reads; ``more`` are header lines to add (of CORS).
    """
    body = refusal.body(path)
    lines = [f"HTTP/1.1 {int(refusal.status)} {_REASONS.get(int(refusal.status), '')}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in refusal.headers.items() if name != "Connection"]
    is_kept = is_keep_alive and refusal.headers.get("Connection") != "close"
    lines.append(f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n")
    lines.append(f"X-Request-Id: {request_id}\r\n{'' if is_kept else 'Connection: close' + CRLF}")
    head = "".join(lines).encode("latin-1", "replace") + more + b"\r\n"
    return head if is_head else head + body


def _start(answer: AnswerHead, dropped: frozenset[bytes], *, prefix: bytes = b"", host: str = "") -> bytes:
    """Return the status line and the engine's own header lines but for what is dropped."""
    parts = [b"HTTP/1.1 %d %b\r\n" % (answer.status, answer.reason)]
    for name, value in answer.headers:
        lower = name.lower()
        if lower in dropped or (prefix and lower.startswith(prefix)):
            continue
        parts += (name, b": ", _outer_place(value, host) if lower in _PLACES else value, b"\r\n")
    return b"".join(parts)


def _nominated(answer: AnswerHead) -> frozenset[bytes]:
    """Return what the engine's Connection calls its own affair."""
    words = b",".join(value for name, value in answer.headers if name.lower() == b"connection").lower()
    if not words or words in {b"keep-alive", b"close"}:
        return frozenset()
    return frozenset(word.strip() for word in words.split(b",")) - {b"content-type", b"content-encoding"}


def _outer_place(value: bytes, host: str) -> bytes:
    """Return where a client may go: a place at an address of the cluster's becomes a path."""
    match = _PLACE.match(value.decode("latin-1"))
    if match is None or match[1].lower() == host.lower() or not _is_inner(match[1].rpartition("@")[2]):
        return value
    return (match[2] if match[2].startswith("/") else f"/{match[2]}").encode("latin-1")


def _is_inner(authority: str) -> bool:
    """Whether a name or an address is nobody's outside the cluster."""
    name = authority.partition("]")[0].strip("[") if authority.startswith("[") else authority.partition(":")[0]
    try:
        return not ip_address(name).is_global
    except ValueError:
        return "." not in name.strip(".") or name.lower().rstrip(".").endswith(_INNER_NAMES)


def whole_answer(
    content: bytes, *, request_id: str, is_keep_alive: bool, is_head: bool = False, more: bytes = b""
) -> bytes:
    """Return a whole answer of JSON, status 200."""
    closing = "" if is_keep_alive else "Connection: close\r\n"
    head = (
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\nX-Request-Id: {request_id}\r\n{closing}"
    )
    return f"HTTP/1.1 200 OK\r\n{head}".encode("latin-1") + more + b"\r\n" + (b"" if is_head else content)


def _framing(reply: Reply) -> bytes:
    length = "Transfer-Encoding: chunked\r\n" if reply.is_chunked else ""
    if reply.length is not None:
        length = f"Content-Length: {reply.length}\r\n"
    closing = "" if reply.is_keep_alive else "Connection: close\r\n"
    lines = f"{length}X-Request-Id: {reply.request_id}\r\n{closing}".encode()
    return lines + reply.more + b"\r\n" if reply.more else lines + b"\r\n"
