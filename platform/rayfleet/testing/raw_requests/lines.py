"""Request lines: methods, targets, versions, and what stands between them. Pure."""

from rayfleet.testing.raw_requests.cases import (
    BODY,
    CRLF,
    HOST,
    TARGET,
    RawCase,
    Seen,
    answered,
    either,
    head,
    passed,
    refused,
    written,
)

_METHODS = (b"post", b"Post", b"POST\x00", b"P\x00OST", b"PRI", b"FOO", b"POST:", b"P\xc3\x96ST", b"(POST)", b"")
_UNSERVED = (b"TRACE", b"PROPFIND", b"PURGE", b"LINK")
_VERSIONS = (
    b"",
    b" ",
    b" HTTP/0.9",
    b" HTTP/1.2",
    b" HTTP/1.10",
    b" HTTP/2.0",
    b" HTTP/3.0",
    b" HTTP/1",
    b" HTTP/11",
    b" HTTP/01.1",
    b" http/1.1",
    b" HTTP/1.1x",
    b" HTTP/1.1 ",
    b" HTTP/1,1",
    b" HTTPS/1.1",
    b" HTTP /1.1",
    b" HTTP/1.1\t",
    b" HTTP/-1.1",
    b" HTTP/1.1\x00",
)
_TARGETS = {
    "no slash": b"v1/completions",
    "empty": b"",
    "an asterisk": b"*",
    "an authority": b"gw.example:8000",
    "another scheme": b"ftp://gw.example:8000/v1/completions",
    "another host": b"http://other.example/v1/completions",
    "another port": b"http://gw.example:1/v1/completions",
    "user information": b"http://u:p@gw.example:8000/v1/completions",
    "a user like the host": b"http://gw.example:8000@other/v1/completions",
    "a backslash host": b"http://gw.example:8000\\@other/v1/completions",
    "no authority": b"http:/v1/completions",
    "a fragment": b"/v1/completions#x",
    "raw UTF-8": "/v1/größe".encode(),
    "a high byte": b"/v1/completions\xff",
    "a space": b"/v1/comp letions",
    "a tab": b"/v1/completions\tx",
    "NUL": b"/v1/completions\x00",
    "a control": b"/v1/completions\x01",
    "DEL": b"/v1/completions\x7f",
    "a carriage return": b"/v1/completions\rx",
    "a line feed": b"/v1/completions\nx",
    "a backslash": b"/v1\\completions",
    "a quote": b'/v1/completions?"',
    "an angle": b"/v1/completions?<",
    "half an escape": b"/v1/completions%",
    "an escape of one": b"/v1/completions%4",
    "an escape of no digits": b"/v1/completions%zz",
    "a double percent": b"/v1/completions%%20",
    "an escaped NUL": b"/v1/completions%00",
    "an escaped line end": b"/v1/completions%0d%0aHost:%20x",
    "an escaped control": b"/v1/completions%1b",
    "an escaped backslash": b"/v1%5Ccompletions",
    "an escape of no UTF-8": b"/v1/completions%ff",
    "an overlong escape": b"/v1/completions%c0%ae",
}
_CLIMBING = (
    b"/v1/completions/../../metrics",
    b"/v1/completions/..",
    b"/../v1/completions",
    b"/v1/./completions",
    b"/v1/completions/%2e%2e/x",
    b"/v1/completions/.%2E/x",
    b"/v1/completions%2f..%2fx",
    b"/.",
)
_UNKNOWN = (
    b"/",
    b"//v1/completions",
    b"/v1//completions",
    b"/V1/completions",
    b"/v1/completionsX",
    b"/v1/completions;x=1",
    b"/v1/completions%3Fx",
    b"/v1/completions%252e%252e",
    b"/invocations",
    b"/v1/load_lora_adapter",
    b"/collective_rpc",
    b"/v1/completions/render",
    b"/sleep",
)
_GOOD = (b"/v1/completions?", b"/v1/completions?a=%20b&c=/../x", b"/v1/%63ompletions", b"/v1/chat/completions")


def line_cases() -> list[RawCase]:
    """Return the cases."""
    return [*_methods(), *_versions(), *_targets(), *_spaces()]


def _methods() -> list[RawCase]:
    return [
        *(
            refused(f"method {method!r}", written(line=method + b" " + TARGET + b" HTTP/1.1"), 400, 501)
            for method in _METHODS
        ),
        *(
            refused(f"method {method!r}", written(line=method + b" " + TARGET + b" HTTP/1.1"), 400, 405, 501)
            for method in _UNSERVED
        ),
        refused("connect", head(HOST, line=b"CONNECT gw.example:8000 HTTP/1.1", body=b""), 400, 405, 501),
        refused("connect to a path", head(HOST, line=b"CONNECT /v1/completions HTTP/1.1", body=b""), 400, 405, 501),
        answered("get where post is", head(HOST, line=b"GET " + TARGET + b" HTTP/1.1", body=b""), 405),
        answered("get with a body", written(line=b"GET " + TARGET + b" HTTP/1.1"), 405),
        answered("delete where post is", head(HOST, line=b"DELETE " + TARGET + b" HTTP/1.1", body=b""), 405),
        refused("options of all", head(HOST, line=b"OPTIONS * HTTP/1.1", body=b""), 400, 405),
        refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 501, 505),
        refused("a handshake of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n"),
    ]


def _versions() -> list[RawCase]:
    plain = [
        refused(f"version {version!r}", written(line=b"POST " + TARGET + version), 400, 505) for version in _VERSIONS
    ]
    old = head(b"Content-Length: %d" % len(BODY), line=b"POST " + TARGET + b" HTTP/1.0")
    return [
        *plain,
        RawCase(name="HTTP/1.0 needs no Host", sent=old, seen=(Seen(),), is_last=True),
        RawCase(
            name="HTTP/1.0 closes", sent=written(line=b"POST " + TARGET + b" HTTP/1.0"), seen=(Seen(),), is_last=True
        ),
    ]


def _targets() -> list[RawCase]:
    absolute = written(line=b"POST http://gw.example:8000/v1/completions?a HTTP/1.1")
    return [
        *(
            refused(f"target with {name}", written(line=b"POST " + target + b" HTTP/1.1"))
            for name, target in _TARGETS.items()
        ),
        *(refused(f"target {target!r}", written(line=b"POST " + target + b" HTTP/1.1"), 404) for target in _CLIMBING),
        *(answered(f"target {target!r}", written(line=b"POST " + target + b" HTTP/1.1"), 404) for target in _UNKNOWN),
        *(
            passed(f"target {target!r}", written(line=b"POST " + target + b" HTTP/1.1"), Seen(target=target))
            for target in _GOOD
        ),
        passed("an absolute target at the Host", absolute, Seen(target=TARGET + b"?a")),
        passed(
            "a long target",
            written(line=b"POST " + TARGET + b"?" + b"a" * 8000 + b" HTTP/1.1"),
            Seen(target=TARGET + b"?" + b"a" * 8000),
        ),
        refused("a target without end", written(line=b"POST /" + b"a" * 70_000 + b" HTTP/1.1"), 414, 431),
    ]


def _spaces() -> list[RawCase]:
    good = written()
    return [
        refused("a tab after the method", good.replace(b"POST ", b"POST\t", 1)),
        refused("a tab before the version", good.replace(b" HTTP", b"\tHTTP", 1)),
        either("two spaces after the method", good.replace(b"POST ", b"POST  ", 1)),
        either("two spaces before the version", good.replace(b" HTTP", b"  HTTP", 1)),
        refused("a space before the method", b" " + good),
        refused("NUL before the method", b"\x00" + good),
        either("an empty line before", CRLF + good),
        either("three empty lines before", CRLF * 3 + good),
        either("a line feed before", b"\n" + good),
        either("a carriage return before", b"\r" + good),
        refused("a byte order mark before", b"\xef\xbb\xbf" + good),
        refused("a line feed ends the line", good.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\n", 1)),
        refused("a carriage return ends the line", good.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r", 1)),
        refused("two carriage returns end the line", good.replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\r\n", 1)),
        refused("no head at all", b"\x00\x01\x02\x03\r\n\r\n"),
        refused("a line of text", b"hello\r\n\r\n"),
        refused("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ]
