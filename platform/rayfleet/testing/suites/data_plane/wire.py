"""Requests as clients send them: in pieces, pipelined, packed, as forms, of old versions, too late or too much."""

import asyncio
import gzip
import zlib

import pytest

from rayfleet.testing.suites.data_plane.client import body_of, request
from rayfleet.testing.suites.data_plane.engines import DONE, EVENT, chunk, echoing, events, saying
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane
from rayfleet.testing.suites.data_plane.world import HOST

_FORM_PATHS = ("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/edits", "/v1/images/variations")
_GONE = (
    "Connection: X-Hop",
    "X-Hop: 1",
    "Keep-Alive: 1",
    "TE: trailers",
    "Proxy-Authorization: x",
    "X-Rayfleet-Y: 1",
    "X-Envoy-Y: 1",
    "X-Gateway-Destination-Endpoint: 10.0.0.1:1",
    "Accept-Encoding: gzip",
)
_KEPT = ("Authorization: Bearer k", "X-Request-Id: mine", "X-Own: 1", "Content-Language: de", "User-Agent: x")
_TOO_LITTLE = (
    b"POST /v1/completions HTTP/1.1\r\nHost:",
    request(b"{}")[:-1],
    request(b"{}")[:-2],
    request(None, "Transfer-Encoding: chunked") + b"5\r\n",
)
_UNREADABLE = {
    "an unknown coding": ("br", b"{}", 415),
    "another one": ("zstd", b"{}", 415),
    "no gzip": ("gzip", b"{}", 400),
    "half of it": ("gzip", gzip.compress(b'{"model": "m"}')[:-4], 400),
    "a bomb": ("gzip", gzip.compress(b" " * (65 << 20), compresslevel=1), 413),
}
_TOO_MUCH = {
    "one long line": (["X: " + "x" * 70_000], 431),
    "many lines": ([f"X-{number}: y" for number in range(120)], 431),
    "lines of 64 KiB in all": ([f"X-{number}: {'y' * 1000}" for number in range(70)], 431),
}


def _form(model: str, *, is_first: bool = True) -> tuple[bytes, str]:
    """Return a form with a file and a model, and its type."""
    named = f'--cut\r\nContent-Disposition: form-data; name="model"\r\n\r\n{model}\r\n'.encode()
    file = b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + b"\x00\xff" * 5000
    parts = (named, file + b"\r\n") if is_first else (file + b"\r\n", named)
    return b"".join(parts) + b"--cut--\r\n", "multipart/form-data; boundary=cut"


class WireChecks(TestedPlane):
    """An engine sees the request that the client sent, once."""

    async def test_the_bytes_of_a_body_pass_as_they_are(self, stage: Stage) -> None:
        """Spaces, escapes and order."""
        on = await stage.serve(echoing("x"))
        body = b'{ "prompt":"\\u00e9\xc3\xa9" ,"model":"%b"}' % on.model.encode()
        assert (await stage.send(request(body))).told("body") == body.decode("latin-1")

    @pytest.mark.parametrize("size", [1, 1000, 65_536, 300_000, 5 << 20])
    async def test_a_body_of_any_size_passes(self, stage: Stage, size: int) -> None:
        """With a length."""
        on = await stage.serve(echoing("x"))
        body = body_of(on.model, prompt="x" * size)
        seen = (await stage.send(request(body))).told("body")
        assert seen == (body.decode() if len(body) < 100_000 else len(body))

    @pytest.mark.parametrize("size", [1, 7, 20])
    async def test_a_chunked_body_passes(self, stage: Stage, size: int) -> None:
        """However it is cut."""
        on = await stage.serve(echoing("x"))
        body = body_of(on.model)
        head = request(None, "Transfer-Encoding: chunked", "Content-Type: application/json")
        chunks = [chunk(body[place : place + size]) for place in range(0, len(body), size)]
        assert (await stage.send(head, *chunks, chunk(b""))).told("body") == body.decode()

    async def test_a_request_may_come_byte_by_byte(self, stage: Stage) -> None:
        """Head and body."""
        on = await stage.serve(echoing("x"))
        sent = request(body_of(on.model))
        async with stage.connected() as client:
            for place in range(len(sent)):
                client.send(sent[place : place + 1])
                await asyncio.sleep(0)
            assert (await client.answer()).status == 200

    @pytest.mark.parametrize("line", _GONE)
    async def test_headers_of_this_connection_and_of_the_gateway_end_here(self, stage: Stage, line: str) -> None:
        """Hop by hop ones, and those that only a gateway says."""
        on = await stage.serve(echoing("x"))
        lines = [line] if line == _GONE[0] else [line, "Connection: close, X-Hop"]
        sent = request(body_of(on.model), *lines, is_last=False)
        seen = {name for name, _ in (await stage.send(sent)).told("headers")}
        assert line.partition(":")[0].lower() not in seen

    @pytest.mark.parametrize("line", _KEPT)
    async def test_the_clients_own_headers_go_on(self, stage: Stage, line: str) -> None:
        """As they are."""
        on = await stage.serve(echoing("x"))
        name, _, value = line.partition(": ")
        assert [name.lower(), value] in (await stage.ask(on.model, line)).told("headers")

    async def test_a_name_with_a_low_line_is_refused(self, stage: Stage) -> None:
        """Behind some servers it is one with a hyphen."""
        on = await stage.serve(echoing("x"))
        answer = await stage.ask(on.model, "X_Y: 1")
        assert (answer.status, answer.code, on.requests) == (400, "invalid_request_error", [])
        await stage.expect("unknown", refused=1)

    async def test_every_answer_has_the_id_of_its_request(self, stage: Stage) -> None:
        """The client's, or a new one; of errors too."""
        on = await stage.serve(echoing("x"))
        assert (await stage.ask(on.model, "X-Request-Id: mine")).header("x-request-id") == "mine"
        assert (await stage.ask(on.model)).header("x-request-id")
        assert (await stage.ask("nobody", "X-Request-Id: mine")).header("x-request-id") == "mine"

    async def test_a_connection_is_kept(self, stage: Stage) -> None:
        """For one request after the other, refused ones too."""
        on = await stage.serve(echoing("x"))
        async with stage.connected() as client:
            for model in (on.model, "nobody", on.model, on.model):
                client.send(request(body_of(model), host=HOST, is_last=False))
                assert (await client.answer()).status == (404 if model == "nobody" else 200)
        assert on.engines[0].connections == 1
        await stage.expect(on.model, ok=3)

    async def test_pipelined_requests_are_answered_in_their_order(self, stage: Stage) -> None:
        """Refused ones in their place."""
        self.need(Capability.PIPELINING)
        on = await stage.serve(echoing("x"))
        lines = [f"POST /v1/completions?n={number} HTTP/1.1" for number in range(30)]
        sent = [request(body_of(on.model), line=line, is_last=False) for line in lines]
        sent[7] = request(line="GET /nowhere/else HTTP/1.1", host="nowhere.example", is_last=False)
        async with stage.connected() as client:
            client.send(b"".join(sent))
            for number in range(30):
                answer = await client.answer()
                assert (answer.status == 404) if number == 7 else answer.told("target").endswith(f"={number}")
        await stage.expect(on.model, ok=29)

    async def test_expect_is_answered_here(self, stage: Stage) -> None:
        """And does not go on."""
        on = await stage.serve(echoing("x"))
        body = body_of(on.model)
        sent = request(body, "Expect: 100-continue")
        async with stage.connected() as client:
            client.send(sent[: -len(body)])
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.send(body)
            answer = await client.answer()
        assert (answer.status, "expect" in dict(answer.told("headers"))) == (200, False)

    async def test_expect_is_not_continued_when_the_body_is_refused(self, stage: Stage) -> None:
        """Nor anything else expected."""
        head = request(None, "Expect: 100-continue", "Content-Length: 99999999")
        answer = await stage.send(head)
        assert (answer.status, answer.code, answer.interim) == (413, "request_too_large", ())
        other = await stage.send(request(b"{}", "Expect: more"))
        assert (other.status, other.code) == (417, "expectation_failed")
        await stage.expect("unknown", refused=2)

    @pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.3"])
    async def test_an_upgrade_is_an_ordinary_request_and_the_last(self, stage: Stage, protocol: str) -> None:
        """Nothing behind it could be told from what was switched to."""
        on = await stage.serve(echoing("x"))
        sent = request(body_of(on.model), "Connection: Upgrade", f"Upgrade: {protocol}", is_last=False)
        answer = await stage.send(sent)
        assert (answer.status, answer.header("connection")) == (200, "close")

    async def test_an_answer_to_http_1_0_has_no_chunks(self, stage: Stage) -> None:
        """It ends with its connection."""
        self.need(Capability.HTTP_1_0)
        on = await stage.serve(saying(events(EVENT, DONE)))
        body = body_of(on.model)
        line = "POST /v1/completions HTTP/1.0"
        answer = await stage.send(request(body, line=line))
        assert (answer.status, answer.header("transfer-encoding"), answer.body) == (200, None, EVENT + DONE)

    @pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3.0"])
    async def test_other_versions_are_refused(self, stage: Stage, version: str) -> None:
        """Aloud."""
        answer = await stage.send(request(b"{}", line=f"POST /v1/completions {version}"))
        assert answer.status in {400, 505}
        assert answer.code
        await stage.expect("unknown", refused=1)

    @pytest.mark.parametrize("path", ["/v1/models", "/v1/models/one-000"])
    async def test_head_is_get_without_a_body(self, stage: Stage, path: str) -> None:
        """With its length."""
        got = await stage.send(request(line=f"GET {path} HTTP/1.1"), method="GET")
        head = await stage.send(request(line=f"HEAD {path} HTTP/1.1"), method="HEAD")
        assert (head.status, head.body, head.header("content-length")) == (200, b"", got.header("content-length"))

    @pytest.mark.parametrize("name", _TOO_MUCH)
    async def test_a_head_that_is_too_much_is_refused(self, stage: Stage, name: str) -> None:
        """In all, not by the line."""
        lines, status = _TOO_MUCH[name]
        answer = await stage.send(request(b"{}", *lines))
        assert (answer.status, answer.code) == (status, "head_too_large")
        await stage.expect("unknown", refused=1)

    async def test_a_token_of_40_kb_and_bytes_that_are_no_utf8_go_on(self, stage: Stage) -> None:
        """Clients have such."""
        on = await stage.serve(echoing("x"))
        answer = await stage.ask(on.model, "Authorization: Bearer " + "t" * 40_960, "X-Name: caf\xe9")
        assert ["x-name", "caf\xe9"] in answer.told("headers")

    async def test_a_body_over_the_limit_is_refused_without_reading_it(self, stage: Stage) -> None:
        """By its length; a chunked one when there is too much of it."""
        head = request(None, f"Content-Length: {65 << 20}", is_last=False)
        answer = await stage.send(head)
        assert (answer.status, answer.code) == (413, "request_too_large")
        await stage.expect("unknown", refused=1)

    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    async def test_the_model_of_a_packed_body_is_read(self, stage: Stage, coding: str) -> None:
        """And the engine gets it as it came."""
        self.need(Capability.PACKED_BODIES)
        on = await stage.serve(echoing("x"))
        body = body_of(on.model)
        packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
        answer = await stage.send(request(packed, f"Content-Encoding: {coding}"))
        assert answer.told("body") == packed.decode("latin-1")

    @pytest.mark.parametrize("name", _UNREADABLE)
    async def test_a_packed_body_that_cannot_be_read_is_refused(self, stage: Stage, name: str) -> None:
        """A coding that nobody here knows, one that is none, one that breaks off, a bomb."""
        self.need(Capability.PACKED_BODIES)
        coding, body, status = _UNREADABLE[name]
        answer = await stage.send(request(body, f"Content-Encoding: {coding}", "model: m"))
        assert (answer.status, bool(answer.code)) == (status, True)
        await stage.expect("unknown", refused=1)

    @pytest.mark.parametrize("path", _FORM_PATHS)
    @pytest.mark.parametrize("is_first", [True, False])
    async def test_the_model_of_a_form_is_read(self, stage: Stage, path: str, is_first: bool) -> None:
        """Before its file or behind it; the form goes on byte for byte."""
        self.need(Capability.FORMS)
        on = await stage.serve(echoing("x"))
        form, kind = _form(on.model, is_first=is_first)
        answer = await stage.send(request(form, f"Content-Type: {kind}", line=f"POST {path} HTTP/1.1"))
        assert (answer.status, answer.told("body")) == (200, form.decode("latin-1"))
        await stage.expect(on.model, ok=1)

    @pytest.mark.parametrize("change", [(b'name="model"', b'name="other"'), (b"--cut--", b""), (b"--cut", b"--dut")])
    async def test_a_form_that_names_no_model_is_refused(self, stage: Stage, change: tuple[bytes, bytes]) -> None:
        """Or is none."""
        self.need(Capability.FORMS)
        form, kind = _form("m")
        answer = await stage.send(
            request(form.replace(*change), f"Content-Type: {kind}", line=f"POST {_FORM_PATHS[0]} HTTP/1.1")
        )
        assert (answer.status, answer.code) == (400, "invalid_request_error")
        await stage.expect("unknown", refused=1)

    async def test_a_form_and_a_header_that_disagree_are_refused(self, stage: Stage) -> None:
        """As with JSON."""
        self.need(Capability.FORMS)
        form, kind = _form("m")
        sent = request(form, f"Content-Type: {kind}", "model: n", line=f"POST {_FORM_PATHS[0]} HTTP/1.1")
        assert (await stage.send(sent)).status == 400

    @pytest.mark.parametrize("sent", _TOO_LITTLE)
    async def test_a_client_that_says_too_little_in_time_is_told_so(self, stage: Stage, sent: bytes) -> None:
        """Half a head, half a body."""
        async with stage.connected() as client:
            client.send(sent)
            assert (await client.rest())[9:12] == b"408"
        await stage.expect("unknown", refused=1)
