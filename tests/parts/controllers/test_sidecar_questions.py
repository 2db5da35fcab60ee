"""What sidecars answer, as counts and as words: what counts as an answer, and which words change a status."""

from collections.abc import Sequence
from datetime import timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet.controllers.sidecar_looks import Reply
from rayfleet.controllers.sidecar_questions import in_flight_after, in_flight_in, refusal_in, words_after
from rayfleet.planning.observed import InFlight, SidecarWords
from rayfleet.planning.replica.obstacles import SidecarReason
from rayfleet.testing.planner_world import START as NOW

NONE_YET = SidecarWords(pod="head")
STALLED = "requests are running, and the engine has taken no step"


@pytest.mark.parametrize(
    ("status", "body", "count"),
    [
        (200, b'{"in_flight": 0}', 0),
        (200, b'{"in_flight": 7, "more": 1}', 7),
        (404, b'{"in_flight": 0}', None),
        (200, b'{"in_flight": -1}', None),
        (200, b'{"in_flight": true}', None),
        (200, b'{"in_flight": "0"}', None),
        (200, b"[0]", None),
        (200, b"", None),
    ],
)
def test_only_a_count_is_an_answer(status: int, body: bytes, count: int | None) -> None:
    assert in_flight_in(Reply(status=status, body=body)) == count


def test_looks_count_in_a_row() -> None:
    idle = in_flight_after(in_flight_after(InFlight(), 0, is_settled=True), 0, is_settled=True)
    assert idle == InFlight(idle_looks=2)
    assert in_flight_after(idle, 1, is_settled=True) == InFlight(requests=1)
    assert in_flight_after(idle, None, is_settled=True) == InFlight(failed_looks=1)
    assert in_flight_after(InFlight(failed_looks=2), 4, is_settled=True) == InFlight(requests=4)


def test_an_idle_look_before_gateways_have_surely_seen_it_is_none() -> None:
    assert in_flight_after(InFlight(), 0, is_settled=False) == InFlight()


@pytest.mark.parametrize(
    ("status", "content", "refusal"),
    [
        (503, {"reason": "Warming", "message": "healthy"}, ("Warming", "healthy")),
        (503, {"reason": "Warming"}, ("Warming", "")),
        (503, {"reason": "Warming", "message": 7}, ("Warming", "")),
        (503, {"reason": "EngineStalled", "message": f"{STALLED} for 137 s"}, ("EngineStalled", STALLED)),
        (503, {"reason": "NodeLost", "message": "x"}, ("EngineNotReady", "NodeLost: x")),
        (503, {"reason": "WorkerLost"}, ("EngineNotReady", "WorkerLost")),
        (503, {"reason": ""}, None),
        (503, {"reason": 7, "message": "x"}, None),
        (503, {"status": "not ready"}, None),
        (404, "404: Not Found", None),
        (200, {"ready": True, "reason": "Ready"}, ("", "")),
        (200, "anything", ("", "")),
    ],
)
def test_a_refusal_is_a_reason_that_we_know_and_words(
    status: int, content: object, refusal: tuple[str, str] | None
) -> None:
    assert refusal_in(Reply(status=status, body=orjson.dumps(content))) == refusal


def test_no_answer_is_no_refusal() -> None:
    assert refusal_in(None) is None
    assert refusal_in(Reply(status=503, body=b"[" * 4096)) is None


def test_words_are_bounded_printable_and_nothing_but_text() -> None:
    said = "\x1b[31mred\r\n\u202eleft\u200b\u2028 {0} %s $(rm) " + "y" * 400
    refusal = refusal_in(Reply(status=503, body=orjson.dumps({"reason": "Warming", "message": said})))
    assert refusal is not None
    assert refusal[1].startswith("[31mred left {0} %s $(rm) yyy")
    assert len(refusal[1]) == 300


@given(status=st.integers(100, 599), body=st.binary(max_size=64) | st.text().map(str.encode))
def test_any_answer_is_none_or_fit_for_a_status(status: int, body: bytes) -> None:
    refusal_in(Reply(status=status, body=body))


@given(reason=st.text(), message=st.text())
def test_any_words_are_fit_for_a_status(reason: str, message: str) -> None:
    body = orjson.dumps({"reason": reason.encode("utf-8", "replace").decode(), "message": message})
    refusal = refusal_in(Reply(status=503, body=body))
    if refusal is not None:
        assert refusal[0] in frozenset(SidecarReason)
        assert refusal[1].isprintable()
        assert len(refusal[1]) <= 300


def told_after(looks: Sequence[tuple[str, str] | None], *, every: float = 3) -> list[tuple[str | None, str]]:
    """Return the words that hold after each look, without repetitions."""
    words, kept = NONE_YET, [(NONE_YET.reason, NONE_YET.message)]
    for number, refusal in enumerate(looks):
        words = words_after(words, refusal, NOW + number * timedelta(seconds=every))
        if (words.reason, words.message) != kept[-1]:
            kept.append((words.reason, words.message))
    return kept[1:]


def test_another_reason_is_told_at_once() -> None:
    looks = [("EngineStarting", "a"), ("EngineLoading", "b"), ("Warming", "c")]
    assert told_after(looks) == looks


def test_a_sentence_that_goes_on_changing_is_told_twice_a_minute() -> None:
    looks = [("EngineLoading", f"{percent} % of the weights") for percent in range(60)]  # three minutes
    assert [message for _, message in told_after(looks)] == [
        f"{percent} % of the weights" for percent in range(0, 60, 10)
    ]


def test_a_look_without_an_answer_takes_no_words_back_three_in_a_row_do() -> None:
    warming = ("Warming", "healthy")
    assert told_after([warming, None, None, warming, None, None, warming]) == [warming]
    assert told_after([warming, None, None, None, None, warming]) == [warming, ("", ""), warming]
    assert told_after([None, None]) == []
    assert told_after([warming, ("", "")]) == [warming, ("", "")]
