"""Whatever bytes a client or an engine sends, the pure rooms give an answer or a refusal, and nothing else."""

from contextlib import suppress
from itertools import pairwise

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from rayfleet_gateway.answer.head import AnswerHead, read
from rayfleet_gateway.answer.judging import AnswerWatch, Ended
from rayfleet_gateway.model.errors import BrokenOff, HeadRefused, UnreadableBody
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.headers import Onward, head_end, head_start
from rayfleet_gateway.request.model import asked

BITS = st.sampled_from(
    [
        b"GET ",
        b"POST ",
        b"/v1/completions",
        b" HTTP/1.1\r\n",
        b"Host: a\r\n",
        b"Content-Length: 2\r\n",
        b"\r\n",
        b": ",
        b" ",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: x\r\n",
        b"%2e",
        b"http://a",
        b"\n",
        b"\x00",
        b"_",
        b"\xff",
        b"../",
    ]
)
TEXTS = [
    b"data: ",
    b"event: ",
    b"error",
    b"[DONE]",
    b"\r",
    b"\n",
    b"\n\n",
    b"{",
    b'"error"',
    b":",
    b"}",
    b'"usage": {',
    b" ",
    b"\xff",
]


class Reader:
    """Notes one head."""

    def __init__(self) -> None:
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_whole = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.is_whole = True


def framing_of(sent: bytes) -> Reader:
    """Return what llhttp reads from what goes upstream."""
    reader = Reader()
    httptools.HttpRequestParser(reader).feed_data(sent)
    assert reader.is_whole
    return reader


_TOKENS = st.binary(max_size=12) | st.sampled_from([b"Host", b"host", b"Content-Length", b"Transfer-Encoding", b"X-A"])
_VALUES = st.binary(max_size=12) | st.sampled_from([b"a", b"2", b"chunked", b"a, b", b"100-continue", b"Host"])


@given(
    target=st.binary(max_size=30) | st.text(alphabet="/v1.%2eE?#&\\ ", max_size=30).map(str.encode),
    headers=st.lists(st.tuples(_TOKENS, _VALUES), max_size=5),
    method=st.sampled_from([b"GET", b"POST", b"", b"X", b"\xff"]),
    version=st.sampled_from(["1.1", "1.0", "0.9", ""]),
)
@example(target=b"http://a", headers=[(b"Connection", b"host")], method=b"GET", version="1.1")
def test_a_head_is_checked_or_refused_and_what_goes_on_has_one_meaning(
    target: bytes, headers: list[tuple[bytes, bytes]], method: bytes, version: str
) -> None:
    try:
        head = checked_head(method, target, [(b"Host", b"a"), *headers], version=version, is_keep_alive=True)
    except HeadRefused:
        return
    sent = framing_of(head_start(head, Onward(client="c")) + head_end(head, 0, "i", "t"))
    names = [name.lower() for name, _ in sent.headers]
    assert sent.target == head.target
    assert names.count(b"host") == 1
    assert names.count(b"content-length") <= 1
    assert b"transfer-encoding" not in names


@given(raw=st.lists(BITS | st.binary(max_size=5), max_size=20).map(b"".join))
def test_any_bytes_are_a_head_or_are_not(raw: bytes) -> None:
    reader = Reader()
    parser = httptools.HttpRequestParser(reader)
    with suppress(httptools.HttpParserError, httptools.HttpParserUpgrade):
        parser.feed_data(raw)
    if reader.is_whole:
        with suppress(HeadRefused):
            checked_head(
                parser.get_method(),
                reader.target,
                reader.headers,
                version=parser.get_http_version(),
                is_keep_alive=True,
            )


@given(
    body=st.binary(max_size=60)
    | st.lists(st.sampled_from([b"--x", b"\r\n", b"name=model", b"--"]), max_size=20).map(b"".join)
)
def test_any_form_names_a_model_or_is_refused(body: bytes) -> None:
    with suppress(UnreadableBody):
        asked(form_head(), body)


def form_head() -> RequestHead:
    headers = [(b"Host", b"a"), (b"Content-Type", b"multipart/form-data; boundary=x")]
    return checked_head(b"POST", b"/v1/audio/transcriptions", headers, version="1.1", is_keep_alive=True)


@given(
    parts=st.lists(st.sampled_from(TEXTS) | st.binary(max_size=4), max_size=24),
    path=st.sampled_from(["/v1/completions", "/v1/messages", "/v1/responses", "/x"]),
    cuts=st.lists(st.integers(0, 80), max_size=5),
)
def test_how_an_answer_is_cut_into_pieces_changes_nothing(parts: list[bytes], path: str, cuts: list[int]) -> None:
    stream = b"".join(parts)
    head = AnswerHead(
        status=200, reason=b"", headers=(), media="text/event-stream", coding="", length=None, is_chunked=True
    )
    at_once, in_pieces = AnswerWatch(head, path), AnswerWatch(head, path)
    at_once.feed(stream)
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(places):
        in_pieces.feed(stream[start:end])
    assert at_once.has_error == in_pieces.has_error
    assert at_once.verdict_at_end(Ended.FRAMED) is in_pieces.verdict_at_end(Ended.FRAMED)


@given(headers=st.lists(st.tuples(_TOKENS, _VALUES), max_size=5), status=st.integers(100, 599))
def test_any_answers_head_is_read_or_is_none(headers: list[tuple[bytes, bytes]], status: int) -> None:
    with suppress(BrokenOff):
        read(status, b"", headers, method="GET")
