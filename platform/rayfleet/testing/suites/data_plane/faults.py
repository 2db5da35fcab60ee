"""Engines that break, lie, hang or speak no HTTP: what their client is told, and that it is told so."""

import gzip

import pytest

from rayfleet.testing.suites.data_plane.client import body_of, request
from rayfleet.testing.suites.data_plane.engines import (
    DONE,
    END,
    EVENT,
    EVENTS_HEAD,
    Heard,
    Talk,
    answering,
    chunk,
    events,
    plain,
    reset,
    saying,
)
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane
from rayfleet.testing.suites.data_plane.world import Kind

_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_CHUNKED = _JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
_UNTIL_END = EVENTS_HEAD.replace(b"Transfer-Encoding: chunked\r\n", b"")
_PACKED = EVENTS_HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n"
_NO_ANSWER = {
    "closes": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a head and nothing of its length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "a head and no chunk": EVENTS_HEAD,
    "no HTTP": b"HELO you\r\n\r\n",
    "TLS": bytes.fromhex("15030100020228"),
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "two lengths": _JSON_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length that is none": _JSON_HEAD + b"Content-Length: two\r\n\r\n{}",
    "a length below zero": _JSON_HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a length and chunks": _JSON_HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"{}") + END,
    "a head that never ends": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    "a bad first chunk": _CHUNKED + b"ZZ\r\n{}\r\n",
    "an interim answer alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
}
_CUT_PLAIN = {
    "less than its length": _JSON_HEAD + b'Content-Length: 50\r\n\r\n{"id"',
    "no last chunk": _CHUNKED + chunk(b'{"id"'),
    "half a chunk": _CHUNKED + chunk(b'{"id"') + b"9\r\n: 1",
    "a bad chunk": _CHUNKED + chunk(b'{"id"') + b"ZZ\r\n",
    "a chunk without its end": _CHUNKED + chunk(b'{"id"') + b"2\r\n{}XX0\r\n\r\n",
    "a chunk too big": _CHUNKED + chunk(b'{"id"') + b"FFFFFFFFFFFFFFFFF\r\n",
    "a chunk of no size": _CHUNKED + chunk(b'{"id"') + b"\r\n\r\n",
    "until the end, half JSON": _JSON_HEAD + b'\r\n{"id"',
    "until the end, nothing": _JSON_HEAD + b"\r\n",
}
_CUT_STREAM = {
    "no last chunk": EVENTS_HEAD + chunk(EVENT),
    "a bad chunk": EVENTS_HEAD + chunk(EVENT) + b"ZZ\r\n",
    "a bad chunk's end": EVENTS_HEAD + b"2\r\n\n\nXX" + chunk(EVENT),
    "no end": events(EVENT),
    "no end, until the end": _UNTIL_END + EVENT,
    "an end in a text": events(EVENT, b'data: {"x": "data: [DONE]"}\n\n'),
    "an end in half": events(EVENT, b"data: [DO") + b"",
}
_ERROR_EVENTS = {
    "a field": b'data: {"error": {"message": "died", "code": 500}}\n\n',
    "without a space": b'data:{"error": {"message": "died"}}\n\n',
    "with lines of Windows": b'data: {"error": {"message": "died"}}\r\n\r\n',
    "with spaces": b'data: { "error" : {"message": "died"} }\n\n',
    "an event's name": b'event: error\ndata: {"message": "died"}\n\n',
    "a text": b'data: {"error": "died"}\n\n',
    "vLLM's": b'data: {"object": "error", "message": "died", "code": 500}\n\n',
}


def _resetting(*pieces: bytes) -> Talk:
    """Return an engine whose reset comes after what it said was taken."""

    async def talk(heard: Heard) -> None:
        await heard.request()
        await heard.write(*pieces, b"")
        reset(heard)

    return talk


class FaultChecks(TestedPlane):
    """Nothing that broke looks whole; one outcome each."""

    @pytest.mark.parametrize("name", _NO_ANSWER)
    async def test_an_engine_that_gives_no_answer_is_a_502(self, stage: Stage, name: str) -> None:
        """And a request on a new connection is not sent again to the same engine."""
        on = await stage.serve(saying(_NO_ANSWER[name]))
        answer = await stage.ask(on.model)
        assert (answer.status, answer.code) == (502, "upstream_error")
        assert len(on.requests) == 1
        await stage.expect(on.model, upstream_error=1)

    async def test_an_engine_that_resets_is_a_502(self, stage: Stage) -> None:
        """Before a byte of its answer."""
        on = await stage.serve(saying(is_reset=True))
        assert (await stage.ask(on.model)).status == 502
        await stage.expect(on.model, upstream_error=1)

    async def test_an_engine_that_takes_no_connection_is_a_502(self, stage: Stage) -> None:
        """Whose message tells no address."""
        on = await stage.serve()
        answer = await stage.ask(on.model)
        assert (answer.status, answer.code) == (502, "upstream_error")
        assert self.address.encode() not in answer.body
        await stage.expect(on.model, upstream_error=1)

    @pytest.mark.parametrize("name", _CUT_PLAIN)
    async def test_a_plain_answer_that_breaks_is_cut(self, stage: Stage, name: str) -> None:
        """Never ended as if it were whole."""
        self.need(Capability.TRUTH)
        on = await stage.serve(saying(_CUT_PLAIN[name]))
        assert not (await stage.ask(on.model)).is_whole
        await stage.expect(on.model, upstream_error=1)

    @pytest.mark.parametrize("head", [_JSON_HEAD + b"\r\n", _CHUNKED, _JSON_HEAD + b"Content-Length: 50\r\n\r\n"])
    async def test_a_plain_answer_that_is_reset_is_cut(self, stage: Stage, head: bytes) -> None:
        """Until the end of its connection too, whose end is told by a reset from now on."""
        self.need(Capability.TRUTH)
        body = chunk(b'{"id": 1}') if head is _CHUNKED else b'{"id": 1}'
        on = await stage.serve(_resetting(head + body))
        assert not (await stage.ask(on.model)).is_whole
        await stage.expect(on.model, upstream_error=1)

    @pytest.mark.parametrize("name", _CUT_STREAM)
    async def test_a_stream_that_breaks_ends_with_an_error_event(self, stage: Stage, name: str) -> None:
        """And without the end that a good one has; one that breaks within an event is cut."""
        self.need(Capability.TRUTH)
        on = await stage.serve(saying(_CUT_STREAM[name]))
        answer = await stage.ask(on.model)
        assert not answer.body.endswith(DONE)
        assert not answer.is_whole or answer.last_error == "upstream_error"
        await stage.expect(on.model, upstream_error=1)

    async def test_a_stream_that_is_reset_ends_with_an_error_event(self, stage: Stage) -> None:
        """After the events that came."""
        self.need(Capability.TRUTH)
        on = await stage.serve(_resetting(EVENTS_HEAD + chunk(EVENT)))
        answer = await stage.ask(on.model)
        assert answer.body.startswith(EVENT)
        assert (answer.last_error, answer.is_whole) == ("upstream_error", True)
        await stage.expect(on.model, upstream_error=1)

    @pytest.mark.parametrize("began", [b'data: {"n', b'data: {"n": 1}\n', b"event: x\n", b"data: [DONE]\n"])
    async def test_a_stream_that_breaks_within_an_event_is_cut(self, stage: Stage, began: bytes) -> None:
        """Since an error event would become a part of it."""
        self.need(Capability.TRUTH)
        on = await stage.serve(saying(events(EVENT + began)[: -len(END)]))
        answer = await stage.ask(on.model)
        assert not answer.is_whole
        await stage.expect(on.model, upstream_error=1)

    async def test_a_packed_stream_that_breaks_is_cut(self, stage: Stage) -> None:
        """Though each chunk of it is whole."""
        self.need(Capability.TRUTH)
        packed = gzip.compress(EVENT + DONE)
        on = await stage.serve(saying(_PACKED + chunk(packed[:-9]) + END))
        assert not (await stage.ask(on.model)).is_whole
        await stage.expect(on.model, upstream_error=1)

    async def test_a_packed_stream_passes(self, stage: Stage) -> None:
        """Whole, as the engine packed it."""
        packed = gzip.compress(EVENT + DONE)
        on = await stage.serve(saying(_PACKED + chunk(packed) + END))
        answer = await stage.ask(on.model)
        assert (answer.body, answer.is_whole) == (packed, True)
        await stage.expect(on.model, ok=1)

    @pytest.mark.parametrize("name", _ERROR_EVENTS)
    async def test_an_error_event_passes_and_is_counted(self, stage: Stage, name: str) -> None:
        """In every spelling that engines have."""
        stream = EVENT + _ERROR_EVENTS[name] + DONE
        on = await stage.serve(saying(events(stream)))
        answer = await stage.ask(on.model)
        assert (answer.body, answer.is_whole) == (stream, True)
        await stage.expect(on.model, engine_error=1)

    @pytest.mark.parametrize("text", [b'data: {"text": "\\"error\\": 1"}\n\n', b'data: {"a": {"error": null}}\n\n'])
    async def test_a_text_about_errors_is_none(self, stage: Stage, text: bytes) -> None:
        """Within a string, or null."""
        on = await stage.serve(saying(events(text, DONE)))
        assert (await stage.ask(on.model)).body == text + DONE
        await stage.expect(on.model, ok=1)

    @pytest.mark.parametrize("path", ["/classify", "/v1/embeddings", "/v1/audio/speech"])
    async def test_streams_of_other_paths_have_ends_of_their_own(self, stage: Stage, path: str) -> None:
        """Their framing."""
        on = await stage.serve(saying(events(b"event: x\n\n")))
        answer = await stage.ask(on.model, path=path)
        assert (answer.body, answer.is_whole) == (b"event: x\n\n", True)
        await stage.expect(on.model, ok=1)

    async def test_an_engine_that_says_nothing_in_time_is_a_504(self, stage: Stage) -> None:
        """By the route's time-out; clients are told not to try again."""
        on = await stage.serve(saying(is_kept=True), kind=Kind.HASTY)
        answer = await stage.ask(on.model)
        assert (answer.status, answer.code, answer.header("x-should-retry")) == (504, "upstream_timeout", "false")
        await stage.expect(on.model, upstream_error=1)

    async def test_a_routes_timeout_ends_with_the_first_byte(self, stage: Stage) -> None:
        """A stream may take longer than that."""
        on = await stage.serve(saying(EVENTS_HEAD, *[chunk(EVENT)] * 400, chunk(DONE) + END), kind=Kind.HASTY)
        answer = await stage.ask(on.model)
        assert (answer.is_whole, answer.body) == (True, EVENT * 400 + DONE)
        await stage.expect(on.model, ok=1)

    async def test_a_stream_that_falls_silent_ends_with_an_error_event(self, stage: Stage) -> None:
        """After the longest silence that is allowed."""
        on = await stage.serve(saying(EVENTS_HEAD, chunk(EVENT), is_kept=True))
        assert (await stage.ask(on.model)).last_error == "upstream_error"
        await stage.expect(on.model, upstream_error=1)

    async def test_bytes_behind_an_answer_never_reach_the_next_client(self, stage: Stage) -> None:
        """A connection that says more than it was asked is used no more."""
        poison = plain(b"poison")
        on = await stage.serve(answering(plain(b"{}") + poison))
        for _ in range(3):
            assert (await stage.ask(on.model)).body == b"{}"
        assert on.engines[0].connections == 3

    async def test_a_connection_that_the_engine_closes_is_nobodys_error(self, stage: Stage) -> None:
        """A pooled one may just have been closed: the request goes on another."""

        async def once(heard: Heard) -> None:
            await heard.request()
            await heard.write(plain(b"{}"))
            await heard.reader.readexactly(1)  # the second request is on its way

        on = await stage.serve(once, answering(plain(b"{}")))
        for _ in range(2):
            assert (await stage.ask(on.model)).status == 200
        assert on.engines[0].connections == 2
        await stage.expect(on.model, ok=2)

    async def test_a_client_that_leaves_takes_its_engine_with_it(self, stage: Stage) -> None:
        """Before the answer, and within it."""
        for pieces in ((), (EVENTS_HEAD, chunk(EVENT))):
            on = await stage.serve(saying(*pieces, is_kept=True))
            async with stage.connected() as client:
                client.send(request(body_of(on.model)))
                await stage.until_asked(on)
                if pieces:
                    await client.reader.readuntil(EVENT[-6:])
                heard = on.engines[0].open[0]
            async with stage.limit():
                await heard.gone.wait()
            await stage.expect(on.model, client_gone=1)
