"""Answers pass byte for byte, however they are framed and cut; and are what they seem."""

import gzip

import pytest

from rayfleet.testing.suites.data_plane.client import body_of, request
from rayfleet.testing.suites.data_plane.engines import (
    DONE,
    END,
    EVENT,
    EVENTS_HEAD,
    answering,
    chunk,
    events,
    plain,
    saying,
)
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane

_STREAM = EVENT + b"data: odd spacing \r\n\r\n: a comment\n\nevent: x\nid: 1\ndata: {}\n\n" + DONE
_JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_EARLY = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
_FRAMED = {
    "a length": plain(b'{"a": 1}'),
    "a length of zero": plain(b""),
    "chunks": _JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b'{"a"') + chunk(b": 1}") + END,
    "chunks with extensions": _JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n8;x=y\r\n" + b'{"a": 1}\r\n' + END,
    "chunks and trailers": _JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(b"{}") + b"0\r\nX: y\r\n\r\n",
    "chunks in capitals": _JSON_HEAD + b"transfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n" + END,
    "until the end": _JSON_HEAD + b"\r\n" + b'{"a": 1}',
    "until the end, empty": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
    "HTTP/1.0": _JSON_HEAD.replace(b"1.1", b"1.0") + b"\r\n{}",
    "after interim answers": _EARLY + plain(b"{}"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n",
    "no reason": plain(b"{}", "200 "),
    "a status of its own": plain(b"{}", "299 Odd"),
    "a big one": plain(b"x" * (3 << 20)),
    "any bytes": plain(bytes(range(256)) * 40, kind=b"application/octet-stream"),
    "packed": plain(gzip.compress(b"{}"), "200 OK", b"Content-Encoding: gzip"),
}
_BODIES = {
    "chunks in capitals": b"0123456789",
    "a big one": b"x" * (3 << 20),
    "any bytes": bytes(range(256)) * 40,
    "packed": gzip.compress(b"{}"),
    **dict.fromkeys(["a length of zero", "until the end, empty", "no content", "not modified"], b""),
    **dict.fromkeys(["a length", "chunks", "chunks with extensions", "until the end"], b'{"a": 1}'),
}
_STATUSES = {
    "no content": (204, "ok"),
    "not modified": (304, "ok"),
    "a status of its own": (299, "ok"),
}
_ERRORS = (400, 401, 403, 404, 409, 413, 422, 429, 500, 501, 502, 503, 504, 529)
_PASSED_ON = ("X-Own: 1", "Set-Cookie: a=1", "Retry-After: 7", "Cache-Control: no-store", "openai-processing-ms: 5")
_HOPS = ("Keep-Alive: timeout=5", "Proxy-Connection: close", "Upgrade: h2c", "Trailer: X", "X-Hop: 1")


class AnswerChecks(TestedPlane):
    """What an engine says is what its client hears."""

    @pytest.mark.parametrize("name", _FRAMED)
    async def test_an_answer_passes_in_every_framing(self, stage: Stage, name: str) -> None:
        """Body and status; one outcome."""
        on = await stage.serve(saying(_FRAMED[name]))
        answer = await stage.ask(on.model)
        status, result = _STATUSES.get(name, (200, "ok"))
        assert (answer.status, answer.is_whole) == (status, True)
        assert answer.body == _BODIES.get(name, b"{}")
        assert answer.interim == ()
        await stage.expect(on.model, **{result: 1})

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 11, 13, 17, 23, 31, 47, 64, 100, 1000])
    async def test_a_stream_passes_however_its_bytes_are_cut(self, stage: Stage, size: int) -> None:
        """Into segments of ``size`` bytes, framing and all."""
        whole = EVENTS_HEAD + b"".join(map(chunk, _STREAM.split(b"|"))) + END
        cut = max(size, len(whole) // 60)  # no more segments than are quick
        first = [whole[place : place + size] for place in range(0, 60 * size, size)] if cut > size else []
        start = len(b"".join(first))
        pieces = first + [whole[place : place + cut] for place in range(start, len(whole), cut)]
        on = await stage.serve(saying(*pieces))
        answer = await stage.ask(on.model)
        assert (answer.body, answer.is_whole) == (_STREAM, True)
        await stage.expect(on.model, ok=1)

    @pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13, 21, 34])
    async def test_a_stream_passes_however_its_chunks_are_cut(self, stage: Stage, size: int) -> None:
        """Chunks of ``size`` bytes know nothing of events."""
        pieces = [_STREAM[place : place + size] for place in range(0, len(_STREAM), size)]
        on = await stage.serve(saying(events(*pieces)))
        assert (await stage.ask(on.model)).body == _STREAM
        await stage.expect(on.model, ok=1)

    async def test_an_event_is_passed_on_when_it_comes(self, stage: Stage) -> None:
        """Not when the next one does, nor at the end."""
        on = await stage.serve(saying(EVENTS_HEAD, chunk(EVENT), is_kept=True))
        answer_head = b"text/event-stream"
        async with stage.connected() as client:
            client.send(request(body_of(on.model)))
            assert answer_head in await client.reader.readuntil(b"\r\n\r\n")
            assert EVENT.strip() in await client.reader.readuntil(EVENT[-6:])

    @pytest.mark.parametrize("rest", [b"", chunk(b": a comment\n\n"), b"ZZ\r\n", chunk(EVENT)])
    async def test_a_stream_ends_at_done(self, stage: Stage, rest: bytes) -> None:
        """Whatever the engine does then: it says no more, a comment, nonsense."""
        self.need(Capability.TRUTH)
        on = await stage.serve(saying(EVENTS_HEAD, chunk(EVENT), chunk(DONE), rest, is_kept=True))
        answer = await stage.ask(on.model)
        assert (answer.body, answer.is_whole) == (EVENT + DONE, True)
        await stage.expect(on.model, ok=1)

    @pytest.mark.parametrize("status", _ERRORS)
    async def test_an_engines_error_passes_as_it_is(self, stage: Stage, status: int) -> None:
        """One in OpenAI's shape, with its headers."""
        body = b'{"error": {"message": "no", "type": "x", "param": null, "code": "own"}}'
        on = await stage.serve(answering(plain(body, f"{status} X", b"Retry-After: 7")))
        answer = await stage.ask(on.model)
        assert (answer.status, answer.body, answer.header("retry-after")) == (status, body, "7")
        await stage.expect(on.model, **{f"{status // 100}xx": 1})

    @pytest.mark.parametrize("body", [b"Internal Server Error", b"<html>", b"", b"[]"])
    async def test_an_error_that_no_client_can_read_is_put_into_words(self, stage: Stage, body: bytes) -> None:
        """In OpenAI's shape, with the engine's status."""
        on = await stage.serve(answering(plain(body, "500 X", kind=b"text/plain")))
        answer = await stage.ask(on.model)
        assert (answer.status, answer.code) == (500, "upstream_error")
        assert body.decode() in answer.error
        await stage.expect(on.model, **{"5xx": 1})

    @pytest.mark.parametrize("line", _PASSED_ON)
    async def test_an_engines_headers_pass(self, stage: Stage, line: str) -> None:
        """Those that are for the client."""
        on = await stage.serve(answering(plain(b"{}", "200 OK", line.encode())))
        name, _, value = line.partition(": ")
        assert (await stage.ask(on.model)).header(name.lower()) == value

    @pytest.mark.parametrize("line", _HOPS)
    async def test_headers_of_one_connection_end_there(self, stage: Stage, line: str) -> None:
        """The engine's are not the client's."""
        on = await stage.serve(answering(plain(b"{}", "200 OK", line.encode(), b"Connection: keep-alive, X-Hop")))
        assert (await stage.ask(on.model)).header(line.partition(":")[0].lower()) is None

    @pytest.mark.parametrize(
        ("place", "seen"),
        [("http://10.1.2.3:8000/v1/x?a=1", "/v1/x?a=1"), ("/v1/x", "/v1/x"), ("//10.1.2.3:8000/x", "/x")],
    )
    async def test_a_redirect_of_an_engine_tells_no_address(self, stage: Stage, place: str, seen: str) -> None:
        """It passes, is not followed, and becomes a path."""
        on = await stage.serve(answering(plain(b"", "307 X", f"Location: {place}".encode())))
        answer = await stage.ask(on.model)
        assert (answer.status, answer.header("location")) == (307, seen)
        assert len(on.requests) == 1
