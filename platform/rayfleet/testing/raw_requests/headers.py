"""Header fields: names, values, line ends, Host, and what ends at a gateway. Pure."""

from rayfleet.testing.raw_requests.cases import (
    BODY,
    CRLF,
    HOST,
    TYPE,
    RawCase,
    Seen,
    answered,
    head,
    passed,
    refused,
    written,
)

_LENGTH = b"Content-Length: %d" % len(BODY)
_NOT_IN_NAMES = [0x00, 0x01, 0x08, 0x0B, 0x0C, 0x0E, 0x1B, 0x1F, 0x20, 0x7F, 0x80, 0xA0, 0xFF, *b'"(),/;<=>?@[\\]{}_']
_NOT_IN_VALUES = [0x00, 0x01, 0x07, 0x08, 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x1B, 0x1F, 0x7F]
_BAD_HOSTS = (
    b"",
    b" ",
    b"a b",
    b"a,b",
    b"a/b",
    b"a?b",
    b"a#b",
    b"u@a",
    b"[::1",
    b"::1",
    b"[::1]x",
    b"[g::1]",
    b"a:b",
    b"a:8000:1",
    b"a:123456",
    b"a:-1",
    b"http://a",
    b"a\\b",
    b'"a"',
    b"<a>",
    b"a\tb",
    b"gr\xc3\xb6\xc3\x9fe",
    b"a" * 300,
)
_GOOD_HOSTS = (b"gw.example", b"gw.example.", b"GW.Example:80", b"127.0.0.1:8000", b"[::1]:8000", b"gw:", b"a-b_c.d")
_HOP_BY_HOP = (
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic eDp5",
    b"TE: trailers",
    b"Trailer: X-T",
    b"Upgrade: foo",
)
_INTERNAL = (
    b"X-Gateway-Destination-Endpoint: 10.0.0.1:80",
    b"x-rayfleet-model: other",
    b"X-Rayfleet-Any: 1",
    b"x-envoy-original-path: /x",
    b"X-Envoy-Retry-On: 5xx",
)


def header_cases() -> list[RawCase]:
    """Return the cases."""
    return [*_names(), *_values(), *_line_ends(), *_hosts(), *_ended_here(), *_expectations()]


def _names() -> list[RawCase]:
    lengths = (b"Content_Length: 1", b"Transfer_Encoding: chunked", b"X_Forwarded_For: 1", b"Host_: x", b"_: 1")
    return [
        *(refused(f"byte {byte:#04x} in a name", written(b"X" + bytes([byte]) + b"Y: 1")) for byte in _NOT_IN_NAMES),
        *(refused(f"name {line!r}", written(line)) for line in lengths),
        *(
            refused(f"line {line!r}", written(line))
            for line in (b"X", b": 1", b" X: 1", b"\tX: 1", b"X : 1", b"X\t: 1", b"X\r: 1", b"=", b"X=1")
        ),
        refused("the first line is folded", head(b" " + HOST, TYPE, _LENGTH)),
        refused("a space before the length's colon", head(HOST, TYPE, b"Content-Length : %d" % len(BODY))),
        refused("a folded length", head(HOST, TYPE, b"Content-Length:\r\n %d" % len(BODY))),
        refused("a folded Host", head(b"Host:\r\n gw.example", TYPE, _LENGTH)),
        refused("a folded coding", written(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n", has_length=False)),
        refused("a value folded by a space", written(b"X-A: 1\r\n 2")),
        refused("a value folded by a tab", written(b"X-A: 1\r\n\t2")),
        refused("a fold at the end of the head", written(b"X-A: 1\r\n ")),
        refused("a hundred and one fields", written(*(b"X-%d: 1" % number for number in range(101))), 431),
        refused("a head of 70 KB", written(b"X-A: " + b"a" * 70_000), 431),
        refused(
            "many fields of 70 KB in all", written(*(b"X-%d: " % number + b"a" * 1000 for number in range(70))), 431
        ),
    ]


def _values() -> list[RawCase]:
    return [
        *(
            refused(f"byte {byte:#04x} in a value", written(b"X-A: 1" + bytes([byte]) + b"2"))
            for byte in _NOT_IN_VALUES
        ),
        passed("a tab in a value", written(b"X-A: 1\t2")),
        passed("high bytes in a value", written(b"X-A: \x80\xa0\xff")),
        passed("an empty value", written(b"X-A:")),
        passed("spaces around a value", written(b"X-A: \t 1 \t ")),
        passed("a name in strange letters", written(b"x-!#$%&'*+.^`|~: 1")),
        answered("a header model twice", written(b"model: m", b"model: n"), 400),
        answered("a header model of another", written(b"model: n"), 400),
        RawCase(name="a header model that agrees", sent=written(b"Model: m"), seen=(Seen(),)),
    ]


def _line_ends() -> list[RawCase]:
    good = written(b"X-A: 1")
    return [
        refused("line feeds alone", good.replace(CRLF, b"\n")),
        refused("carriage returns alone", good.replace(CRLF, b"\r") + CRLF * 2),
        refused("one line feed alone", good.replace(b"X-A: 1\r\n", b"X-A: 1\n")),
        refused("one carriage return alone", good.replace(b"X-A: 1\r\n", b"X-A: 1\r")),
        refused("two carriage returns", good.replace(b"X-A: 1\r\n", b"X-A: 1\r\r\n")),
        refused("feed before return", good.replace(b"X-A: 1\r\n", b"X-A: 1\n\r")),
        refused("a line feed for the empty line", good.replace(b"X-A: 1\r\n\r\n", b"X-A: 1\r\n\n") + CRLF * 2),
        refused("two line feeds end the head", good.replace(b"X-A: 1\r\n\r\n", b"X-A: 1\n\n") + CRLF * 2),
        refused("a length after a bare line feed", head(HOST, TYPE, b"X-A: 1\n" + _LENGTH)),
        refused("a coding after a bare return", written(b"X-A: 1\rTransfer-Encoding: chunked")),
    ]


def _hosts() -> list[RawCase]:
    return [
        refused("no Host", head(TYPE, _LENGTH)),
        refused("the same Host twice", head(HOST, HOST, TYPE, _LENGTH)),
        refused("two Hosts", head(HOST, b"Host: other", TYPE, _LENGTH)),
        refused("two Hosts in other letters", head(HOST, b"hOST: other", TYPE, _LENGTH)),
        refused("two Hosts apart", head(HOST, TYPE, _LENGTH, b"Host: gw.example")),
        *(refused(f"Host {host[:40]!r}", head(b"Host: " + host, TYPE, _LENGTH)) for host in _BAD_HOSTS),
        *(passed(f"Host {host!r}", head(b"Host: " + host, TYPE, _LENGTH)) for host in _GOOD_HOSTS),
    ]


def _ended_here() -> list[RawCase]:
    return [
        *(
            RawCase(
                name=f"{line!r} ends here",
                sent=written(line),
                seen=(Seen(),),
                absent=(line.partition(b":")[0],),
                is_last=line.startswith(b"Upgrade"),
            )
            for line in (*_HOP_BY_HOP, *_INTERNAL)
        ),
        *_nominated(),
        *(_upgrade(to) for to in (b"h2c", b"websocket", b"TLS/1.0", b"foo")),
        RawCase(name="closed by the client", sent=written(b"Connection: close"), seen=(Seen(),), is_last=True),
        RawCase(
            name="no second request after close",
            sent=written(b"Connection: close") + written(),
            seen=(Seen(),),
            is_last=True,
        ),
    ]


def _nominated() -> list[RawCase]:
    """What Connection names ends here, but for what makes the request what it is."""
    ended = (b"X-A", b"x-a", b"keep-alive, X-A", b"X-A,", b"X-B, X-A")
    kept = (b"Host", b"Content-Type", b"Content-Length", b"Content-Encoding", b"Authorization", b"Transfer-Encoding")
    key = b"Authorization: Bearer k"
    return [
        *(
            RawCase(
                name=f"nominated by {words!r}",
                sent=written(b"Connection: " + words, b"X-A: 1"),
                seen=(Seen(),),
                absent=(b"X-A",),
            )
            for words in ended
        ),
        *(
            RawCase(
                name=f"{name!r} may not be nominated",
                sent=written(b"Connection: " + name, key),
                seen=(Seen(),),
                present=(TYPE, HOST, key),
            )
            for name in kept
        ),
    ]


def _upgrade(to: bytes) -> RawCase:
    return RawCase(
        name=f"an upgrade to {to!r} with a body",
        sent=written(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + to, b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        seen=(Seen(),),
        absent=(b"Upgrade", b"HTTP2-Settings"),
        is_last=True,
    )


def _expectations() -> list[RawCase]:
    return [
        passed("a continue", written(b"Expect: 100-continue")),
        passed("a continue in other letters", written(b"Expect: 100-Continue")),
        *(
            refused(f"Expect {text!r}", written(b"Expect: " + text), 417)
            for text in (b"x", b"100-continue, x", b"200-ok", b"", b"100-continue;q=1")
        ),
        refused("two expectations", written(b"Expect: 100-continue", b"Expect: 100-continue"), 417),
    ]
