"""Heads of answers that are much alike are read as each of them would be alone (planes.python.heads)."""

import itertools
from dataclasses import replace

import pytest

from rayfleet_gateway.answer.head import AnswerHead, Reply, returned
from rayfleet_gateway.model.errors import BrokenOff
from rayfleet_gateway.planes.python.heads import AnswerHeads, answer_head

LINES = (
    "Content-Length: 7",
    "content-length: 12",
    "Content-Length:7",
    "Content-Length: ",
    "Content-Length: +7",
    "Content-Length: 7\t",
    f"Content-Length: {'9' * 25}",
    f"Content-Length: 7\r\n{'x' * 9}: 1\r\n 8",
    "Transfer-Encoding: chunked",
    "Connection: close",
    "Content-Type: text/event-stream",
    "x: content-length: 3",
    "date: Sat, 28 Nov 2026 13:48:22 GMT",
    "Location: http://10.0.0.1/x",
)


def heads() -> list[bytes]:
    """Return heads with every one and two of these lines, and of several statuses."""
    chosen = [(), *itertools.combinations(LINES, 1), *itertools.permutations(LINES, 2)]
    statuses = ("200 OK", "200 Well", "204 No Content", "404 Not Found")
    return ["\r\n".join((f"HTTP/1.1 {status}", *lines, "", "")).encode() for lines in chosen for status in statuses]


def result(raw: bytes, method: str, reader: AnswerHeads | None) -> tuple[AnswerHead, bool, bytes] | str:
    """Return all that is used of a head: of its length only what ``length`` says."""
    try:
        head, is_kept = answer_head(raw, method=method) if reader is None else reader.read(raw, method=method)
    except BrokenOff as error:
        return str(error)
    reply = Reply(request_id="id", is_keep_alive=True, dropped=frozenset({b"x"}))
    return replace(head, headers=()), is_kept, returned(head, reply)


@pytest.mark.parametrize("other", ["7", "0", "00000123", "1" * 15])
def test_a_head_means_the_same_whatever_was_read_before(other: str) -> None:
    reader = AnswerHeads()
    for raw, method in itertools.product(heads(), ("POST", "HEAD")):
        for each in (raw, raw, raw.replace(b": 7", b": " + other.encode()), raw):
            assert result(each, method, reader) == result(each, method, None)


def test_what_is_kept_is_bounded() -> None:
    reader = AnswerHeads()
    for number in range(1000):
        reader.read(b"HTTP/1.1 200 OK\r\nx-number: %d\r\nContent-Length: 3\r\n\r\n" % number, method="POST")
    reader.read(b"HTTP/1.1 200 OK\r\nx-long: %s\r\n\r\n" % (b"x" * 5000), method="POST")
    kept = reader._known
    assert 0 < len(kept) <= 64
    assert max(map(len, kept)) < 1024
