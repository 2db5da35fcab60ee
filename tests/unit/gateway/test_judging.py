"""What an answer was when it ended (rayfleet_gateway.answer.judging, .events)."""

import gzip

import pytest

from rayfleet_gateway.answer.events import Usage
from rayfleet_gateway.answer.head import AnswerHead
from rayfleet_gateway.answer.judging import AnswerWatch, Ended, Verdict

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
TOKEN = b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
STOP = b'event: message_stop\ndata: {"type": "message_stop"}\n\n'
COMPLETED = b'event: response.completed\ndata: {"response": {"error": null}, "type": "response.completed"}\n\n'


def head(
    media: str = "text/event-stream", *, coding: str = "", length: int | None = None, is_chunked: bool = True
) -> AnswerHead:
    return AnswerHead(
        status=200, reason=b"OK", headers=(), media=media, coding=coding, length=length, is_chunked=is_chunked
    )


def verdict(answer: AnswerHead, path: str, ended: Ended, *chunks: bytes) -> Verdict:
    watch = AnswerWatch(answer, path)
    for chunk in chunks:
        watch.feed(chunk)
    return watch.verdict_at_end(ended)


@pytest.mark.parametrize(
    ("path", "stream", "expected"),
    [
        (CHAT, TOKEN + DONE, Verdict.WHOLE),
        (CHAT, TOKEN + b"data: [DONE]", Verdict.WHOLE),
        (CHAT, TOKEN + DONE + b": heartbeat\n\n", Verdict.WHOLE),
        (CHAT, TOKEN, Verdict.CUT),
        (CHAT, b"", Verdict.CUT),
        (CHAT, TOKEN + b"data: [DO", Verdict.CUT),
        (CHAT, TOKEN + b'data: {"text": "\\ndata: [DONE]\\n\\n"}\n\n', Verdict.CUT),
        (MESSAGES, TOKEN + STOP, Verdict.WHOLE),
        (MESSAGES, TOKEN + STOP + DONE, Verdict.WHOLE),
        (MESSAGES, TOKEN, Verdict.CUT),
        (MESSAGES, b'data: {"type": "content_block_delta", "text": "message_stop"}\n\n', Verdict.CUT),
        (MESSAGES, b"event: message_stop\n", Verdict.CUT),
        (RESPONSES, COMPLETED, Verdict.WHOLE),
        (RESPONSES, b'data: {"type": "response.incomplete"}\n\n', Verdict.WHOLE),
        (RESPONSES, b'data: {"type": "response.created"}\n\n', Verdict.CUT),
        (RESPONSES, b'data: {"type": "response.failed", "response": {}}\n\n', Verdict.ENGINE_ERROR),
        ("/v1/audio/speech", b"data: x\n\n", Verdict.WHOLE),
    ],
)
def test_each_api_has_its_own_end(path: str, stream: bytes, expected: Verdict) -> None:
    assert verdict(head(), path, Ended.FRAMED, stream) is expected
    assert verdict(head(), path, Ended.FRAMED, *(bytes([byte]) for byte in stream)) is expected


@pytest.mark.parametrize("path", [CHAT, MESSAGES, RESPONSES])
def test_what_breaks_behind_the_end_is_whole(path: str) -> None:
    assert verdict(head(), path, Ended.CUT, TOKEN, {CHAT: DONE, MESSAGES: STOP, RESPONSES: COMPLETED}[path]) is (
        Verdict.WHOLE
    )
    assert verdict(head(), path, Ended.CUT, TOKEN) is Verdict.CUT


ERRORS = [
    b'data: {"error": {"message": "x"}}',
    b'data:{"error":{"message":"x"}}',
    b'data:   { "error" : { "message" : "x" } }',
    b'data: {"error": "x"}',
    b'data: {"id": 1, "choices": [], "error": {"code": 500}}',
    b'data: {"object": "error", "message": "x"}',
    b'data: {"object":"error"}',
    b'data: {"message": "x", "object" : "error"}',
    b'data: {"type": "error", "error": {"type": "overloaded_error"}}',
    b"event: error\ndata: {}",
    b"event:error",
    b"event:  error ",
    b'error: {"code": 500}',
    b'data: {\ndata: "error": {"message": "x"}\ndata: }',
]
FINE = [
    b'data: {"choices": [{"text": "{\\"error\\": 1}"}]}',
    b'data: {"choices": [{"text": "\\ndata: {\\"error\\": 1}"}]}',
    b'data: {"choices": [], "error": null}',
    b'data: {"choices": [{"error": {"x": 1}}]}',
    b'data: {"type": "text", "text": "error"}',
    b"event: message\ndata: error",
    b": error",
    b"id: error",
    b'data: "error"',
]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize(("event", "is_error"), [(e, True) for e in ERRORS] + [(e, False) for e in FINE])
def test_an_error_is_seen_in_every_spelling_and_however_it_is_cut(
    event: bytes, is_error: bool, line_end: bytes
) -> None:
    stream = (TOKEN + event + b"\n\n" + DONE).replace(b"\n", line_end)
    expected = Verdict.ENGINE_ERROR if is_error else Verdict.WHOLE
    assert verdict(head(), CHAT, Ended.FRAMED, stream) is expected
    for at in range(1, len(stream)):
        assert verdict(head(), CHAT, Ended.FRAMED, stream[:at], stream[at:]) is expected
    assert verdict(head(), CHAT, Ended.FRAMED, *(bytes([byte]) for byte in stream)) is expected


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_the_clients_answer_ends_at_done(line_end: bytes) -> None:
    token, done = (event.replace(b"\n", line_end) for event in (TOKEN, DONE))
    for at in range(len(done) + 1):
        watch = AnswerWatch(head(), CHAT)
        watch.feed(token + done[:at])
        assert not watch.is_done or at >= len(b"data: [DONE]" + line_end * 2) - 1
        watch.feed(done[at:])
        assert watch.is_done
    watch = AnswerWatch(head(), CHAT)
    watch.feed(token + done + b": a comment")
    assert watch.is_done


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("rest", [b": a comment\n\n", TOKEN, b"nonsense", b"data: [DONE]\n\n"])
def test_what_follows_done_is_known_however_it_is_cut(line_end: bytes, rest: bytes) -> None:
    whole = (TOKEN + DONE).replace(b"\n", line_end)
    sent = whole + rest
    for at in range(len(sent)):
        watch, passed = AnswerWatch(head(), CHAT), b""
        for piece in (sent[:at], sent[at:]):
            watch.feed(piece)
            passed += piece[: len(piece) - watch.excess] if watch.is_done else piece
            if watch.is_done:
                break
        assert passed in {whole, whole[:-1]}, at  # a lone CR may be a line's end or half of one


def test_an_event_may_follow_only_between_events() -> None:
    watch = AnswerWatch(head(), CHAT)
    states = [watch.is_between_events]
    for chunk in (TOKEN[:-1], b"\n"):
        watch.feed(chunk)
        states.append(watch.is_between_events)
    assert states == [True, False, True]
    packed = AnswerWatch(head(coding="gzip"), CHAT)
    assert not packed.is_between_events  # plain text amid packed bytes is no event


def test_a_line_without_end_costs_no_more_than_its_bound() -> None:
    watch = AnswerWatch(head(), CHAT)
    for _ in range(100):
        watch.feed(b"data: " + b"x" * 100_000)
    assert watch.verdict_at_end(Ended.FRAMED) is Verdict.CUT
    watch.feed(b"\n\n" + DONE)
    assert watch.is_done


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_packed_stream_is_judged_by_what_is_in_it(is_chunked: bool) -> None:
    answer = head(coding="gzip", is_chunked=is_chunked)
    whole, cut = gzip.compress(TOKEN + DONE), gzip.compress(TOKEN)
    ended = Ended.FRAMED if is_chunked else Ended.CLOSED
    assert verdict(answer, CHAT, ended, whole[:9], whole[9:]) is Verdict.WHOLE
    assert verdict(answer, CHAT, ended, cut) is Verdict.CUT
    assert verdict(answer, CHAT, ended, whole[:-9]) is Verdict.CUT
    assert verdict(answer, CHAT, ended, whole[:12] + b"\xff" * 20) is Verdict.CUT
    assert verdict(answer, CHAT, ended, gzip.compress(ERRORS[0] + b"\n\n")) is Verdict.ENGINE_ERROR
    assert verdict(head(coding="br"), CHAT, Ended.FRAMED, b"any") is Verdict.WHOLE  # nobody here looks into it
    assert verdict(head(coding="br"), CHAT, Ended.CUT, b"any") is Verdict.CUT


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id": 1}', Verdict.WHOLE),
        (b'{"id": [1]}\n', Verdict.WHOLE),
        (b'{"id"', Verdict.CUT),
        (b'{"id": {}', Verdict.CUT),
        (b"", Verdict.CUT),
        (b'{"id": "' + b"x" * 100_000 + b'"}\n', Verdict.WHOLE),
        (b'{"id": "' + b"x" * 100_000, Verdict.CUT),
    ],
)
def test_json_that_only_the_connections_end_ended_must_be_json(body: bytes, expected: Verdict) -> None:
    open_end = head("application/json", is_chunked=False)
    assert verdict(open_end, CHAT, Ended.CLOSED, body[:5], body[5:]) is expected
    assert verdict(head("application/json"), CHAT, Ended.FRAMED, body) is Verdict.WHOLE
    assert verdict(open_end, CHAT, Ended.CUT, body) is Verdict.CUT
    assert verdict(head("audio/wav", is_chunked=False), CHAT, Ended.CLOSED, body) is Verdict.WHOLE


@pytest.mark.parametrize(
    ("answer", "chunks", "usage"),
    [
        (head("application/json"), [b"x" * 9000, b'"usage":{"prompt_tokens":7,"completion_', b'tokens":3}}'], (7, 3)),
        (head("application/json"), [b'{"usage": {"input_tokens": 7, "output_tokens": 3}}'], (7, 3)),
        (head("application/json"), [b'{"usage": null}'], (None, None)),
        (head("application/json"), [b'{"text": "\\"usage\\": {\\"prompt_tokens\\": 9}"}'], (None, None)),
        (head(), [TOKEN, b'data: {"usa', b'ge": {"prompt_tokens": 7, "completion_tokens": 3}}\n\n', DONE], (7, 3)),
        (head(), [b'data: {"usage":{"prompt_tokens":7,"completion_tokens":%d}}\n\n' % n for n in (1, 2, 3)], (7, 3)),
        (head(), [TOKEN, b'data: {"usage": null}\n\n'], (None, None)),
        (
            head(),
            [
                b'data: {"message": {"usage": {"input_tokens": 7, "output_tokens": 1}}}\n\n',
                b'data: {"usage": {"output_tokens": 3}}\n\n',
            ],
            (7, 3),
        ),
    ],
)
def test_the_tokens_are_the_last_that_were_told(
    answer: AnswerHead, chunks: list[bytes], usage: tuple[int | None, int | None]
) -> None:
    watch = AnswerWatch(answer, CHAT)
    for chunk in chunks:
        watch.feed(chunk)
    assert watch.usage == Usage(*usage)


@pytest.mark.parametrize("answer", [head(), head("text/html", coding="gzip"), head("application/json", length=0)])
def test_an_answer_without_a_body_is_judged_by_its_framing_alone(answer: AnswerHead) -> None:
    """To HEAD, or a 304, an engine says what the body would be packed in."""
    watch = AnswerWatch(answer, CHAT, has_body=False)
    assert watch.verdict_at_end(Ended.FRAMED) is Verdict.WHOLE
    assert watch.verdict_at_end(Ended.CUT) is Verdict.CUT


def test_nothing_is_packed_in_nothing() -> None:
    assert verdict(head("text/html", coding="gzip", length=0), "/docs", Ended.FRAMED) is Verdict.WHOLE


def test_a_packed_answer_may_have_several_members_and_ends_with_the_last() -> None:
    first, last = gzip.compress(TOKEN), gzip.compress(DONE)
    packed = head(coding="gzip")
    assert verdict(packed, CHAT, Ended.FRAMED, first, last) is Verdict.WHOLE
    assert verdict(packed, CHAT, Ended.FRAMED, first + last) is Verdict.WHOLE
    assert verdict(packed, CHAT, Ended.FRAMED, first, last[:-9]) is Verdict.CUT
    assert verdict(packed, CHAT, Ended.FRAMED, first) is Verdict.CUT
    plain = head("application/json", coding="gzip", length=99)
    assert verdict(plain, CHAT, Ended.FRAMED, gzip.compress(b"{}") + gzip.compress(b" ")[:-9]) is Verdict.CUT
    assert verdict(plain, CHAT, Ended.FRAMED, gzip.compress(b"{}") + b"\0\0\0") is Verdict.WHOLE


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/jsonl", "application/json-seq"])
def test_lines_of_json_are_no_json(media: str) -> None:
    """Each line is one: the whole of them, ended by the connection, was taken for a broken one."""
    assert verdict(head(media, is_chunked=False), "/logs", Ended.CLOSED, b'{"a": 1}\n', b'{"a": 2}\n') is Verdict.WHOLE
