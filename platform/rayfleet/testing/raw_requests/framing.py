"""Where a body ends: lengths, codings, chunks, trailers, and what is smuggled behind. Pure."""

from rayfleet.testing.raw_requests.cases import (
    BODY,
    HOST,
    SMUGGLED,
    TYPE,
    RawCase,
    Seen,
    answered,
    chunk,
    chunked,
    either,
    head,
    passed,
    refused,
    written,
)

_COUNT = len(BODY)
_LENGTHS = (
    b"+%d" % _COUNT,
    b"-%d" % _COUNT,
    b"-1",
    b"%d %d" % (_COUNT, _COUNT),
    b"%d, %d" % (_COUNT, _COUNT),
    b"%d,%d" % (_COUNT, _COUNT),
    b"%d, 0" % _COUNT,
    b"0x1a",
    b"1a",
    b"26.0",
    b"2e1",
    b"2_6",
    b"26;",
    b"'26'",
    b'"26"',
    b"26\x0b",
    b"\x0c26",
    b"\xd9\xa2\xd9\xa6",
    b"\xb2\xb6",
    b"",
    b" ",
    b",",
    b"NaN",
    b"9" * 30,
    b"18446744073709551642",
    b"18446744073709551615",
    b"99999999999999999999",
)
_CODINGS = (
    b"",
    b"identity",
    b"gzip",
    b"gzip, chunked",
    b"identity, chunked",
    b"chunked, identity",
    b"chunked, gzip",
    b"chunked, chunked",
    b"chunked,",
    b",chunked",
    b", chunked",
    b"chunked;q=1",
    b"chunked; foo",
    b'"chunked"',
    b"'chunked'",
    b"xchunked",
    b"chunkedx",
    b"chunk",
    b"chun ked",
    b"chunked chunked",
    b"\x0bchunked",
    b"chunked\x0b",
    b"chunked\x00",
    b"\x00chunked",
    b"chunked\xa0",
    b"\xc2\xa0chunked",
    b"chunKed\xe2\x84\xaa",
    b"chun\xe2\x84\xaaed",
    b"trailers, chunked",
    b"deflate",
    b"br, chunked",
)
_TWO_CODINGS = (
    (b"chunked", b"chunked"),
    (b"chunked", b"identity"),
    (b"identity", b"chunked"),
    (b"gzip", b"chunked"),
    (b"chunked", b"x"),
    (b"", b"chunked"),
)
_CODING_LINES = (
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding\t: chunked",
    b" Transfer-Encoding: chunked",
    b"Transfer-Encoding\x0b: chunked",
    b"Transfer_Encoding: chunked",
    b"X: x\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\n , identity",
    b"Transfer-Encoding\r\n: chunked",
)
_SIZES = (
    b"",
    b" ",
    b" 1a",
    b"+1a",
    b"-1a",
    b"0x1a",
    b"1a\t",
    b"1g",
    b"g",
    b"1a h",
    b"\x001a",
    b"1a\x00",
    b"1a;\x00",
    b"1a;a\nb",
    b'1a;a="\r\nb"',
    b"1a\n",
    b"1a\r",
    b"1_a",
    b"1a,",
    b"10000000000000001a",
    b"ffffffffffffffffff",
    b"-ffffffffffffffe6",
    b"\xb2",
    b"\n1a",
)
_TRAILERS = (b"X-T", b": 1", b" X-T: 1", b"X-T: 1\r\n 2", b"X-T : 1", b"X-T: \x00", b"X-T: 1\n", b"X\x01: 1")


def framing_cases() -> list[RawCase]:
    """Return the cases."""
    return [*_lengths(), *_codings(), *_both(), *_chunks(), *_bad_chunks(), *_sequences(), *_bodies()]


def _lengths() -> list[RawCase]:
    plain = b"Content-Length: %d" % _COUNT
    return [
        *(
            refused(f"length {length!r}", head(HOST, TYPE, b"Content-Length: " + length) + SMUGGLED, 400, 413)
            for length in _LENGTHS
        ),
        refused("one length twice", head(HOST, TYPE, plain, plain)),
        refused("two lengths", head(HOST, TYPE, plain, b"Content-Length: 0") + SMUGGLED),
        refused("two lengths, the first nothing", head(HOST, TYPE, b"Content-Length: 0", plain)),
        refused("two lengths in other letters", head(HOST, TYPE, plain, b"content-length: 0")),
        refused("a length of 2 to 62", head(HOST, TYPE, b"Content-Length: 4611686018427387904"), 400, 413),
        refused("a length over the limit", head(HOST, TYPE, b"Content-Length: 999999999"), 413),
        either("a length with zeros before", head(HOST, TYPE, b"Content-Length: 000%d" % _COUNT)),
        either("a length with spaces around", head(HOST, TYPE, b"Content-Length: \t%d\t " % _COUNT)),
        passed("a length in other letters", head(HOST, TYPE, b"cONTENT-lENGTH: %d" % _COUNT)),
    ]


def _coded(*lines: bytes) -> bytes:
    return written(*lines, body=chunk(BODY) + b"0\r\n\r\n", has_length=False)


def _codings() -> list[RawCase]:
    name = b"Transfer-Encoding: "
    return [
        *(refused(f"coding {coding!r}", _coded(name + coding) + SMUGGLED, 400, 501) for coding in _CODINGS),
        *(
            refused(f"codings {one!r} and {two!r}", _coded(name + one, name + two), 400, 501)
            for one, two in _TWO_CODINGS
        ),
        *(refused(f"line {line!r}", _coded(line) + SMUGGLED) for line in _CODING_LINES),
        *(
            passed(f"coding {coding!r}", _coded(name + coding))
            for coding in (b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"\tchunked")
        ),
        either("a coding with spaces behind", _coded(b"Transfer-Encoding: chunked \t")),
        refused("chunks in HTTP/1.0", _coded(name + b"chunked").replace(b"HTTP/1.1", b"HTTP/1.0", 1)),
    ]


def _both() -> list[RawCase]:
    """CL.TE, TE.CL and their kin: a coding beside a length, whatever its value."""
    values = (
        b"chunked",
        b"Chunked",
        b"identity",
        b"xchunked",
        b"gzip, chunked",
        b"chunked, identity",
        b"\tchunked",
        b"",
    )
    smuggling = b"0\r\n\r\n" + SMUGGLED
    return [
        *(
            refused(f"length, then coding {value!r}", written(b"Transfer-Encoding: " + value, body=smuggling), 400, 501)
            for value in values
        ),
        *(
            refused(
                f"coding {value!r}, then length",
                written(
                    b"Transfer-Encoding: " + value, b"Content-Length: 4", body=b"5c\r\n" + smuggling, has_length=False
                ),
                400,
                501,
            )
            for value in values
        ),
        refused(
            "a length of nothing and chunks",
            written(b"Transfer-Encoding: chunked", b"Content-Length: 0", body=smuggling, has_length=False),
        ),
        refused(
            "a nominated coding beside a length",
            written(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked", body=smuggling),
        ),
    ]


def _chunks() -> list[RawCase]:
    bytewise = [chunk(bytes([byte])) for byte in BODY]
    size = b"%x" % _COUNT
    return [
        passed("one chunk", chunked(chunk(BODY))),
        passed("two chunks", chunked(chunk(BODY[:9]), chunk(BODY[9:]))),
        passed("a chunk a byte", chunked(*bytewise)),
        passed("capital digits", chunked(b"%X\r\n%b\r\n" % (_COUNT, BODY))),
        passed("zeros before a size", chunked(b"000%b\r\n%b\r\n" % (size, BODY))),
        passed("an extension", chunked(b"%b;a\r\n%b\r\n" % (size, BODY))),
        passed("an extension with a value", chunked(b"%b;a=b;c=d\r\n%b\r\n" % (size, BODY))),
        passed("a quoted extension", chunked(b'%b;a="b c"\r\n%b\r\n' % (size, BODY))),
        passed("an extension of the last chunk", chunked(chunk(BODY), end=b"0;a=b\r\n\r\n")),
        passed("zeros for the last chunk", chunked(chunk(BODY), end=b"000\r\n\r\n")),
        either("a space before an extension", chunked(b"%b ;a=b\r\n%b\r\n" % (size, BODY))),
        either("a long extension", chunked(b"%b;%b\r\n%b\r\n" % (size, b"a" * 10_000, BODY))),
        passed("a trailer", chunked(chunk(BODY), end=b"0\r\nX-T: 1\r\n\r\n")),
        RawCase(
            name="a trailer that would frame",
            sent=chunked(chunk(BODY), end=b"0\r\nContent-Length: 5\r\nHost: other\r\nmodel: n\r\n\r\n"),
            seen=(Seen(),),
            may_refuse=True,
            absent=(b"model",),
        ),
        either("twenty trailers", chunked(chunk(BODY), end=b"0\r\n" + b"X-T: 1\r\n" * 20 + b"\r\n")),
        refused("trailers without end", chunked(chunk(BODY), end=b"0\r\n" + b"X-T: 1\r\n" * 20_000), 400, 431),
    ]


def _bad_chunks() -> list[RawCase]:
    size = b"%x" % _COUNT
    return [
        *(refused(f"size {text!r}", chunked(b"%b\r\n%b\r\n" % (text, BODY)) + SMUGGLED) for text in _SIZES),
        *(
            refused(f"trailer {line!r}", chunked(chunk(BODY), end=b"0\r\n" + line + b"\r\n\r\n") + SMUGGLED)
            for line in _TRAILERS
        ),
        refused("a size ended by a line feed", chunked(size + b"\n" + BODY + b"\r\n")),
        refused("a size ended by a return", chunked(size + b"\r" + BODY + b"\r\n")),
        refused("content ended by a line feed", chunked(size + b"\r\n" + BODY + b"\n")),
        refused("content without an end", chunked(size + b"\r\n" + BODY)),
        refused("content longer than its size", chunked(b"5\r\n" + BODY + b"\r\n")),
        refused("content shorter than its size", chunked(b"5\r\nab\r\n") + SMUGGLED),
        refused("the last chunk ended by line feeds", chunked(chunk(BODY), end=b"0\n\n") + SMUGGLED),
        refused("the last chunk with content", chunked(chunk(BODY), end=b"0\r\nx\r\n\r\n")),
        refused("the last chunk and half an end", chunked(chunk(BODY), end=b"0\r\n\rx")),
    ]


def _sequences() -> list[RawCase]:
    good = written()
    two = Seen(target=b"/v1/chat/completions")
    other = written(line=b"POST /v1/chat/completions HTTP/1.1")
    return [
        passed("two requests at once", good + other, Seen(), two),
        passed("ten requests at once", good * 10, *([Seen()] * 10)),
        passed("chunks, then a length", chunked(chunk(BODY)) + other, Seen(), two),
        passed("a length, then chunks", other + chunked(chunk(BODY)), two, Seen()),
        passed("a request within a body", _prompt(SMUGGLED), Seen(body=_prompted(SMUGGLED))),
        passed("a request within a chunk", chunked(chunk(_prompted(SMUGGLED))), Seen(body=_prompted(SMUGGLED))),
        RawCase(name="a good one, then a bad head", sent=good + b"X\r\n\r\n", seen=(Seen(),), refusals=(400,)),
        RawCase(name="a good one, then two Hosts", sent=good + head(HOST, HOST), seen=(Seen(),), refusals=(400,)),
        RawCase(
            name="a good one, then both framings",
            sent=good + written(b"Transfer-Encoding: chunked"),
            seen=(Seen(),),
            refusals=(400,),
        ),
        RawCase(
            name="a length that leaves a request behind",
            sent=written() + SMUGGLED,
            seen=(Seen(),),
            refusals=(404,),
            must_close=False,
        ),
        answered("a length of nothing before a body", head(HOST, TYPE, b"Content-Length: 0", body=b""), 400),
        answered("no length and no body", head(HOST, TYPE, body=b""), 400),
    ]


def _prompted(text: bytes) -> bytes:
    return b'{"model":"m","prompt":"%b"}' % text.replace(b"\r\n", b"\\r\\n")


def _prompt(text: bytes) -> bytes:
    return written(body=_prompted(text))


def _bodies() -> list[RawCase]:
    bodies = (
        b"{",
        b"[]",
        b"null",
        b"xx",
        b"\xff\xfe",
        b'{"model":"m"}x',
        b'{"model":"m"}{"model":"m"}',
        b'{"model":"m","model":"m"}',
        b'{"model":"m","\\u006dodel":"n"}',
        b'{"model":1}',
        b'{"prompt":"x"}',
        b"\xef\xbb\xbf" + BODY,
        b"'" + BODY,
    )
    return [
        *(answered(f"body {body!r}", written(body=body), 400) for body in bodies),
        answered("a body of another model", written(body=b'{"model":"n"}'), 404),
        answered("a body packed as nobody unpacks it", written(b"Content-Encoding: br"), 400, 415),
        answered("a body that is not packed as it says", written(b"Content-Encoding: gzip"), 400),
    ]
