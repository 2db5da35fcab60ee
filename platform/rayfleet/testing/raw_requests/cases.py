"""What a raw request is, what must come of it, and how one is written. Pure."""

from dataclasses import dataclass

BODY = b'{"model":"m","prompt":"x"}'
HOST = b"Host: gw.example:8000"
TYPE = b"Content-Type: application/json"
CRLF = b"\r\n"
TARGET = b"/v1/completions"
SMUGGLED = b"GET /v1/smuggled HTTP/1.1\r\nHost: gw.example:8000\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as an engine must see it."""

    body: bytes = BODY
    target: bytes = TARGET
    method: bytes = b"POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """Bytes of a client, and what must come of them: answered requests, or a refusal behind them.

    ``seen`` are the requests that an engine sees, each answered with 200. ``refusals`` are the statuses that the next
    one may be refused with; empty: none is refused. ``must_close``: nothing that follows may be taken for a request.
    ``may_refuse``: a 400 in place of the last seen is as good. ``is_last``: the client itself closes after these.
    ``absent`` are header names that an engine must not see, ``present`` whole lines that it must.
    """

    name: str
    sent: bytes
    seen: tuple[Seen, ...] = ()
    refusals: tuple[int, ...] = ()
    must_close: bool = True
    may_refuse: bool = False
    is_last: bool = False
    absent: tuple[bytes, ...] = ()
    present: tuple[bytes, ...] = ()


def written(
    *lines: bytes, line: bytes = b"POST " + TARGET + b" HTTP/1.1", body: bytes = BODY, has_length: bool = True
) -> bytes:
    """Return a request with a Host and a type, the lines after them, and the body's length before them."""
    length = (b"Content-Length: %d" % len(body),) if has_length else ()
    return CRLF.join((line, HOST, TYPE, *length, *lines, b"", b"")) + body


def head(*lines: bytes, line: bytes = b"POST " + TARGET + b" HTTP/1.1", body: bytes = BODY) -> bytes:
    """Return a request of these lines alone."""
    return CRLF.join((line, *lines, b"", b"")) + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a request whose body is sent in these chunks, each as it stands."""
    return written(b"Transfer-Encoding: chunked", body=b"".join(chunks) + end, has_length=False)


def chunk(content: bytes) -> bytes:
    """Return one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def passed(name: str, sent: bytes, *seen: Seen) -> RawCase:
    """Return a case that is one good request, or those given."""
    return RawCase(name=name, sent=sent, seen=seen or (Seen(),))


def refused(name: str, sent: bytes, *statuses: int) -> RawCase:
    """Return a case that must be refused, with what follows left unread."""
    return RawCase(name=name, sent=sent, refusals=statuses or (400,))


def either(name: str, sent: bytes) -> RawCase:
    """Return a case in which RFC 9112 leaves the choice: one good request, or a refusal."""
    return RawCase(name=name, sent=sent, seen=(Seen(),), may_refuse=True)


def answered(name: str, sent: bytes, *statuses: int) -> RawCase:
    """Return a well-framed request that is refused for what it asks; the connection may go on."""
    return RawCase(name=name, sent=sent, refusals=statuses, must_close=False)
