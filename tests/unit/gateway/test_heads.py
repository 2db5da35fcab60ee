"""Which heads are refused, and what is known of the others (rayfleet_gateway.request.head)."""

from http import HTTPStatus

import pytest

from rayfleet_gateway.answer import head as answers
from rayfleet_gateway.answer.refusals import of_head
from rayfleet_gateway.model.errors import HeadRefused
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.headers import Onward, head_end, head_start

HOST = (b"Host", b"gw:8000")


def head(
    *headers: tuple[bytes, bytes], method: bytes = b"POST", target: bytes = b"/v1/completions", version: str = "1.1"
) -> RequestHead:
    return checked_head(method, target, list(headers), version=version, is_keep_alive=True)


def test_a_head_says_what_it_asks_for() -> None:
    checked = head(HOST, (b"Model", b"m"), (b"Content-Length", b"12"), target=b"/v1/a%20b?x=%20&y")
    assert (checked.method, checked.path, checked.query, checked.host) == ("POST", "/v1/a b", "x=%20&y", "gw")
    assert (checked.length, checked.joined["model"], checked.target) == (12, "m", b"/v1/a%20b?x=%20&y")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [HOST, HOST],
        [HOST, (b"host", b"other")],
        [(b"Host", b"a b")],
        [(b"Host", b"[::1")],
        [(b"Host", b"")],
        [HOST, (b"Content-Length", b"1"), (b"Content-Length", b"1")],
        [HOST, (b"Content-Length", b"+1")],
        [HOST, (b"Content-Length", b"1" * 30)],
        [HOST, (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
        [HOST, (b"Transfer-Encoding", b"gzip, chunked")],
        [HOST, (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")],
        [HOST, (b"Content_Length", b"1")],
        [HOST, (b"X-A", b"a\nb")],
        [HOST, (b"X-A", b"a\x00b")],
    ],
)
def test_a_head_with_two_meanings_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(HeadRefused) as refused:
        head(*headers)
    assert refused.value.status == HTTPStatus.BAD_REQUEST


def test_a_refused_head_is_an_answer_in_openais_shape_that_closes() -> None:
    with pytest.raises(HeadRefused) as refused:
        head(HOST, (b"Expect", b"x"))
    sent = answers.refused(of_head(refused.value), request_id="id", is_keep_alive=True)
    assert sent.startswith(b"HTTP/1.1 417 Expectation Failed\r\n")
    assert b"\r\nConnection: close\r\n" in sent
    assert b'"code":"expectation_failed"' in sent


def test_what_goes_upstream_has_one_framing() -> None:
    checked = head(HOST, (b"Transfer-Encoding", b"chunked"), (b"Connection", b"X-A"), (b"X-A", b"1"), (b"X-B", b"2"))
    sent = head_start(checked, Onward(client="10.0.0.9")) + head_end(checked, 3, "id", "t")
    lines = sent.decode().split("\r\n")
    assert lines[0] == "POST /v1/completions HTTP/1.1"
    assert "Content-Length: 3" in lines
    assert "X-B: 2" in lines
    assert not {"X-A: 1", "Transfer-Encoding: chunked", "Connection: X-A"} & set(lines)
    assert lines[-2:] == ["", ""]
