"""Every raw request through the gateway's pure rooms: from its bytes to what an engine would be sent.

What stands between them here is the least that a data path must do; the suite of data planes plays them over sockets.
"""

from http import HTTPStatus

import pytest

from rayfleet.testing.raw_requests import CASES, PROBE, Played, RawCase, Recorded, answers_in, faults
from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.head import refused
from rayfleet_gateway.answer.refusals import Refusal
from rayfleet_gateway.model.errors import BodyTooLarge, HeadRefused, UnreadableBody
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.planes.python.bodies import BodyReader
from rayfleet_gateway.planes.python.heads import MOST_FIELDS, request_head
from rayfleet_gateway.request.bodies import plain_body
from rayfleet_gateway.request.headers import Onward, head_end, head_start
from rayfleet_gateway.request.model import asked
from rayfleet_gateway.request.paths import LISTED_METHOD

LIMIT = 64 << 20
ENDED = b"\r\n\r\n"


class Refused(Exception):
    """Ends a request; ``is_framed``: where the next begins is known."""

    def __init__(self, refusal: Refusal, *, is_framed: bool) -> None:
        self.refusal = refusal
        self.is_framed = is_framed


def read_head(raw: bytes) -> RequestHead:
    if len(raw) > 64 << 10:
        raise Refused(refusals.head_too_large(64 << 10, MOST_FIELDS), is_framed=False)
    try:
        head = request_head(raw)
    except HeadRefused as error:
        raise Refused(refusals.of_head(error), is_framed=False) from error
    if (head.length or 0) > LIMIT:
        raise Refused(refusals.too_large(LIMIT), is_framed=False)
    return head


def read_chunks(data: bytes) -> tuple[bytes, bytes]:
    """Return the body and what follows it."""
    body = BodyReader(None)
    body.feed(data)
    while body.is_behind and not body.error:
        body.feed(b"")
    if body.error:
        raise Refused(refusals.bad_request(body.error), is_framed=False)
    if not body.is_done:
        raise Refused(refusals.slow_request(), is_framed=False)
    return body.whole(), body.rest


def answer(head: RequestHead, body: bytes) -> bytes:
    """Return what goes upstream."""
    if head.path not in {"/v1/completions", "/v1/chat/completions"}:
        raise Refused(refusals.path_not_found(head.path), is_framed=True)
    if head.method != LISTED_METHOD:
        raise Refused(refusals.method_not_allowed(head.path, "POST"), is_framed=True)
    try:
        model = asked(head, plain_body(body, head.joined.get("content-encoding"), LIMIT))
    except (UnreadableBody, BodyTooLarge) as error:
        raise Refused(refusals.of_body(error, LIMIT), is_framed=True) from error
    if model != "m":
        raise Refused(refusals.model_not_found(model, ["m"]), is_framed=True)
    return head_start(head, Onward(client="192.0.2.1")) + head_end(head, len(body), "id", "t") + body


def through(sent: bytes) -> Played:
    """Serve what a client sent."""
    received, recorded, is_kept = b"", [], True
    while is_kept and sent:
        raw, _, sent = sent.lstrip(b"\r\n").partition(ENDED)
        head = None
        try:
            head = read_head(raw + ENDED)
            body, sent = read_chunks(sent) if head.length is None else (sent[: head.length], sent[head.length :])
            upstream = answer(head, body)
        except Refused as error:
            is_kept = error.is_framed and head is not None and head.is_keep_alive
            received += refused(error.refusal, request_id="id", is_keep_alive=is_kept)
            continue
        is_kept = head.is_keep_alive
        lines, _, content = upstream.partition(ENDED)
        recorded.append(Recorded(tuple(lines.split(b"\r\n")), content))
        received += b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    return Played(answers_in(received), tuple(recorded), is_closed=True)


def test_there_are_as_many_as_the_bar_says() -> None:
    assert len(CASES) == len({case.name for case in CASES}) >= 300


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_is_read_in_one_way_or_refused(case: RawCase) -> None:
    assert faults(case, through(case.sent + (b"" if case.is_last else PROBE))) == []


def test_a_lost_place_shows() -> None:
    """The corpus would notice a plane that takes what is in a body for a request."""
    case = next(case for case in CASES if case.name == "a request within a body")
    place = case.sent.index(b"GET /v1/smuggled")
    assert faults(case, through(case.sent[:place] + ENDED + case.sent[place:])) != []
    assert HTTPStatus.OK not in {answer.status for answer in through(b"GET / HTTP/1.1\r\n\r\n").answers}
