"""One request through the gateway, with real sockets and a small upstream (rayfleet_gateway.exchange)."""

import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Protocol

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from multidict import CIMultiDict
from pytest_aiohttp import AiohttpServer
from yarl import URL

from rayfleet.testing.waiting import until
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import GatewayServer, OpenGateway, table_for

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = {"model": "m", "prompt": "x"}
CHUNKS = [b'data: {"choices": [{"text": "\xc3"}]}\n\n', b"data: odd spacing \r\n\r\n", b"data: [DONE]\n\n"]


class Bench:
    """A gateway in front of upstreams that a test writes, and a client of it."""

    def __init__(self, gateway: GatewayServer, client: aiohttp.ClientSession) -> None:
        self.url = gateway.url
        self.client = client
        self.counted = gateway.counted


class OpenBench(Protocol):
    """Opens a gateway whose model ``m`` is served by the handlers; None is a port on which nobody listens."""

    def __call__(self, *handlers: Handler | None, settings: GatewaySettings | None = None) -> Awaitable[Bench]: ...


@pytest.fixture
async def bench(aiohttp_server: AiohttpServer, open_gateway: OpenGateway) -> AsyncIterator[OpenBench]:
    gateways = []

    async def endpoint(handler: Handler | None) -> Endpoint:
        if handler is None:
            return Endpoint(address="127.0.0.1", port=unused_port())
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = await aiohttp_server(app, shutdown_timeout=0.1)
        return Endpoint(address="127.0.0.1", port=server.port or 0)

    async def opened(*handlers: Handler | None, settings: GatewaySettings | None = None) -> Bench:
        endpoints = [await endpoint(handler) for handler in handlers]
        gateway = GatewayServer(table_for("m", *endpoints, timeout=timedelta(seconds=2)), settings)
        gateways.append(gateway)
        return Bench(gateway, await open_gateway(gateway))

    yield opened
    assert [gateway.in_flight() for gateway in gateways] == [0] * len(gateways)


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in CHUNKS:
        await response.write(chunk)
    return response


async def _echo(request: web.Request) -> web.StreamResponse:
    return web.json_response(
        {
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "body": (await request.read()).decode(),
        }
    )


async def _dies(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": request.query.get("type", "text/event-stream")})
    response.content_length = None
    response.enable_chunked_encoding()
    await response.prepare(request)
    await response.write(CHUNKS[0])
    assert request.transport is not None
    request.transport.abort()
    return response


async def test_a_stream_passes_byte_for_byte(bench: OpenBench) -> None:
    gateway = await bench(_stream)
    response = await gateway.client.post("/v1/completions", json=BODY)
    assert await response.read() == b"".join(CHUNKS)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert response.headers["X-Request-Id"]
    assert gateway.counted() == {("m", "200", "ok"): 1}


async def test_the_original_bytes_go_upstream_with_the_clients_request_id(bench: OpenBench) -> None:
    body = b'{ "prompt":"\\u00e9" ,"model":"m"}'
    gateway = await bench(_echo)
    headers = {"X-Request-Id": "mine", "Authorization": "Bearer k", "Connection": "keep-alive, X-Hop", "X-Hop": "1"}
    response = await gateway.client.post("/v1/completions?a=%20b", data=body, headers=headers)
    seen = await response.json()
    assert seen["body"] == body.decode()
    assert seen["headers"]["x-request-id"] == "mine"
    assert seen["headers"]["authorization"] == "Bearer k"
    assert "x-hop" not in seen["headers"]


async def test_a_refused_connection_is_tried_elsewhere(bench: OpenBench) -> None:
    gateway = await bench(None, None, _echo)
    assert (await gateway.client.post("/v1/completions", json=BODY)).status == 200


async def test_no_connection_anywhere_is_a_502_in_openai_shape(bench: OpenBench) -> None:
    gateway = await bench(None)
    response = await gateway.client.post("/v1/completions", json=BODY)
    assert response.status == 502
    assert (await response.json())["error"]["code"] == "upstream_error"
    assert gateway.counted() == {("m", "502", "upstream_error"): 1}


async def test_no_endpoint_is_a_503_that_says_when(bench: OpenBench) -> None:
    gateway = await bench()
    response = await gateway.client.post("/v1/completions", json=BODY)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) > 0
    assert (await response.json())["error"]["code"] == "model_not_ready"


async def test_an_unknown_model_is_a_404_that_names_the_nearest(bench: OpenBench) -> None:
    gateway = await bench(_echo)
    response = await gateway.client.post("/v1/completions", json={**BODY, "model": "mm"})
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (404, "model_not_found")
    assert "Did you mean m?" in error["message"]
    assert gateway.counted() == {("unknown", "404", "refused"): 1}


@pytest.mark.parametrize(
    ("path", "method", "body", "status", "code"),
    [
        ("/v1/other", "POST", b"{}", 404, "path_not_found"),
        ("/v1/completions", "GET", b"", 405, "method_not_allowed"),
        ("/v1/completions", "POST", b"{", 400, "invalid_request_error"),
        ("/v1/completions", "POST", b'{"model": "m", "model": "m"}', 400, "invalid_request_error"),
    ],
)
async def test_every_refusal_has_openais_shape(
    path: str, method: str, body: bytes, status: int, code: str, bench: OpenBench
) -> None:
    gateway = await bench(_echo)
    response = await gateway.client.request(method, path, data=body)
    error = (await response.json())["error"]
    assert (response.status, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}


async def test_a_body_over_the_limit_is_a_413(bench: OpenBench) -> None:
    gateway = await bench(_echo, settings=GatewaySettings(body_limit_bytes=1 << 20))
    response = await gateway.client.post("/v1/completions", data=io.BytesIO(b"x" * (2 << 20)))
    assert response.status == 413
    assert (await response.json())["error"]["code"] == "request_too_large"


async def test_a_stream_that_breaks_ends_with_an_error_and_without_done(bench: OpenBench) -> None:
    gateway = await bench(_dies)
    response = await gateway.client.post("/v1/completions", json=BODY)
    text = await response.read()
    last = text.rstrip().split(b"\n\n")[-1]
    assert text.startswith(CHUNKS[0])
    assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_error"
    assert b"[DONE]" not in text
    assert gateway.counted() == {("m", "200", "upstream_error"): 1}


async def test_a_plain_body_that_breaks_is_never_taken_for_whole(bench: OpenBench) -> None:
    gateway = await bench(_dies)
    response = await gateway.client.post("/v1/completions?type=application/json", json=BODY)
    with pytest.raises(aiohttp.ClientPayloadError):
        await response.read()


async def test_a_client_that_goes_away_takes_its_upstream_with_it(bench: OpenBench) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        began.set()
        try:
            while True:
                await response.write(CHUNKS[0])
                await asyncio.sleep(0.01)
        except (ConnectionResetError, asyncio.CancelledError):
            gone.set()
            raise

    gateway = await bench(endless)
    response = await gateway.client.post("/v1/completions", json=BODY)
    await response.content.readany()
    async with asyncio.timeout(10):
        await began.wait()
        response.close()
        await gone.wait()
    assert await until(gateway.counted, "the request is counted", 10) == {("m", "200", "client_gone"): 1}


async def test_a_client_that_goes_away_before_the_answer_takes_its_upstream_with_it(bench: OpenBench) -> None:
    began, gone = asyncio.Event(), asyncio.Event()

    async def thinks(request: web.Request) -> web.StreamResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:  # cancelled, or its connection is gone
            gone.set()
        return web.Response()

    gateway = await bench(thinks)
    asked = asyncio.create_task(gateway.client.post("/v1/completions", json=BODY))
    async with asyncio.timeout(10):
        await began.wait()
        asked.cancel()
        await gone.wait()
    assert await until(gateway.counted, "the request is counted", 10) == {("m", "0", "client_gone"): 1}


async def test_an_engines_own_error_passes_as_it_is(bench: OpenBench) -> None:
    async def refuses(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "too long"}}, status=400)

    gateway = await bench(refuses)
    response = await gateway.client.post("/v1/completions", json=BODY)
    assert response.status == 400
    assert await response.json() == {"error": {"message": "too long"}}
    assert gateway.counted() == {("m", "400", "4xx"): 1}


async def test_a_request_that_an_engine_lost_before_a_byte_is_anothers(bench: OpenBench) -> None:
    asked: list[str] = []

    async def dies_once(request: web.Request) -> web.StreamResponse:
        asked.append(request.host)
        if len(asked) > 1:
            return await _echo(request)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    gateway = await bench(dies_once, dies_once)
    assert (await gateway.client.post("/v1/completions", json=BODY)).status == 200
    assert len(asked) == 2
    assert gateway.counted() == {("m", "200", "ok"): 1}


async def test_an_engine_that_says_nothing_in_time_is_a_504(bench: OpenBench) -> None:
    release = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    gateway = await bench(silent)
    response = await gateway.client.post("/v1/completions", json=BODY)
    release.set()
    assert response.status == 504
    assert response.headers["x-should-retry"] == "false"
    assert gateway.counted() == {("m", "504", "upstream_error"): 1}


async def test_the_request_timeout_ends_with_the_first_byte(bench: OpenBench) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(CHUNKS[0])
        await asyncio.sleep(2.2)  # longer than the route's request timeout: the time itself is what is tested
        await response.write(CHUNKS[2])
        return response

    gateway = await bench(slow)
    response = await gateway.client.post("/v1/completions", json=BODY)
    assert await response.read() == CHUNKS[0] + CHUNKS[2]


async def test_a_stream_that_falls_silent_ends_with_an_error(bench: OpenBench) -> None:
    release = asyncio.Event()

    async def stalls(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(CHUNKS[0])
        await release.wait()
        return response

    gateway = await bench(stalls, settings=GatewaySettings(idle_timeout=timedelta(seconds=0.2)))
    text = await (await gateway.client.post("/v1/completions", json=BODY)).read()
    release.set()
    assert "silent" in json.loads(text.rstrip().split(b"data: ")[-1])["error"]["message"]
    assert gateway.counted() == {("m", "200", "upstream_error"): 1}


async def test_packed_bytes_pass_in_both_directions(bench: OpenBench) -> None:
    packed = gzip.compress(json.dumps(BODY).encode())
    seen = bytearray()

    async def packs(request: web.Request) -> web.StreamResponse:
        seen.extend(await request.read())
        return web.Response(body=packed, headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})

    gateway = await bench(packs)
    response = await gateway.client.post("/v1/completions", data=packed, headers={"Content-Encoding": "gzip"})
    assert (response.status, response.headers["Content-Encoding"]) == (200, "gzip")
    assert await response.read() == packed
    assert json.loads(seen) == BODY


@pytest.mark.parametrize(("coding", "status"), [("br", 415), ("gzip", 400)])
async def test_a_body_that_cannot_be_unpacked_is_refused(coding: str, status: int, bench: OpenBench) -> None:
    gateway = await bench(_echo)
    headers = {"Content-Encoding": coding, "model": "m"}
    response = await gateway.client.post("/v1/completions", data=b"{}", headers=headers)
    assert response.status == status


async def test_a_large_body_passes_whole(bench: OpenBench) -> None:
    body = json.dumps({"model": "m", "prompt": "x" * (8 << 20)}).encode()
    gateway = await bench(_length)
    response = await gateway.client.post("/v1/completions", data=io.BytesIO(body))
    assert await response.json() == len(body)


async def _length(request: web.Request) -> web.StreamResponse:
    request._client_max_size = 0  # this upstream has no limit
    return web.json_response(len(await request.read()))


async def test_the_model_header_given_twice_is_refused(bench: OpenBench) -> None:
    gateway = await bench(_echo)
    headers = CIMultiDict([("model", "m"), ("model", "m")])
    response = await gateway.client.post("/v1/completions", json=BODY, headers=headers)
    assert response.status == 400


@pytest.mark.parametrize("path", ["/v1/completions/../../metrics", "/v1/completions/%2e%2e/x", "/v1/completions%2f.."])
async def test_a_path_that_climbs_reaches_nothing(path: str, bench: OpenBench) -> None:
    gateway = await bench(_echo)
    sent = URL(gateway.url + path, encoded=True)  # as it is written: a joined URL would be tidied up
    response = await gateway.client.post(sent, json=BODY)
    assert (response.status, (await response.json())["error"]["code"]) == (404, "path_not_found")
    assert ".." in (await response.json())["error"]["message"]  # so it arrived as it was sent


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET", "DELETE"])
async def test_other_methods_are_refused_with_what_is_allowed(method: str, bench: OpenBench) -> None:
    gateway = await bench(_echo)
    response = await gateway.client.request(method, "/v1/completions")
    assert (response.status, response.headers["Allow"]) == (405, "POST")


async def test_half_a_surrogate_in_a_name_is_an_unknown_model(bench: OpenBench) -> None:
    gateway = await bench(_echo)
    response = await gateway.client.post("/v1/completions", data=b'{"model": "\\ud800"}')
    assert (response.status, (await response.json())["error"]["code"]) == (404, "model_not_found")


async def test_an_error_that_is_no_json_is_made_readable(bench: OpenBench) -> None:
    async def fails(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text="Internal Server Error", headers={"Retry-After": "7"})

    gateway = await bench(fails)
    response = await gateway.client.post("/v1/completions", json=BODY)
    error = (await response.json())["error"]
    assert (response.status, error["code"], response.headers["Retry-After"]) == (500, "upstream_error", "7")
    assert "Internal Server Error" in error["message"]
    assert gateway.counted() == {("m", "500", "5xx"): 1}
