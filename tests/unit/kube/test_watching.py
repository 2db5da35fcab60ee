"""Watch events from bytes, however they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.kube.errors import AlreadyExists, ApiError, Conflict, Gone, ServerError, TooManyRequests, decode_error
from rayfleet.kube.watching import LineSplitter, WatchEventType, decode_watch_line

EVENT = b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}'


@given(st.lists(st.binary(max_size=9).map(lambda text: text.replace(b"\n", b"x") + b"y")), st.data())
def test_lines_are_whole_however_the_bytes_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found: list[bytes] = []
    while whole:
        size = data.draw(st.integers(1, len(whole)))
        found += splitter.feed(whole[:size])
        whole = whole[size:]
    assert found == lines


def test_an_event_carries_its_version() -> None:
    event = decode_watch_line(EVENT)
    assert (event.type, event.resource_version) == (WatchEventType.ADDED, "7")


def test_an_error_event_that_says_410_is_gone() -> None:
    with pytest.raises(Gone):
        decode_watch_line(b'{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}')


@pytest.mark.parametrize("line", [b"nonsense", b"[]", b'{"type":"ODD","object":{}}', b'{"type":"ADDED"}'])
def test_what_is_no_event_is_the_servers_fault(line: bytes) -> None:
    with pytest.raises(ServerError):
        decode_watch_line(line)


@pytest.mark.parametrize(
    ("code", "status", "kind", "is_retryable"),
    [
        (409, {"reason": "AlreadyExists"}, AlreadyExists, False),
        (409, {"reason": "Conflict"}, Conflict, True),
        (410, {}, Gone, True),
        (503, {}, ServerError, True),
        (418, {}, ApiError, False),
    ],
)
def test_the_status_decides_the_class_and_the_class_decides_retrying(
    code: int, status: dict[str, str], kind: type[ApiError], is_retryable: bool
) -> None:
    error = decode_error(code, status)
    assert type(error) is kind
    assert error.is_retryable is is_retryable


def test_a_busy_server_says_when_to_come_back() -> None:
    error = decode_error(429, {"details": {"retryAfterSeconds": 7}})
    assert isinstance(error, TooManyRequests)
    assert error.retry_after.total_seconds() == 7
