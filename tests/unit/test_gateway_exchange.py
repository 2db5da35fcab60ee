"""One request through the gateway, with real sockets and a small upstream (rayfleet_gateway.exchange)."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, unused_port

from rayfleet_gateway.exchange import Forwarder, forwarded_headers
from rayfleet_gateway.routes import Backend, Endpoint, Match, RouteTable, Rule
from rayfleet_gateway.settings import GatewaySettings
from rayfleet_gateway.telemetry import Telemetry

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = {"model": "m", "prompt": "x"}
CHUNKS = [b'data: {"choices": [{"text": "\xc3"}]}\n\n', b"data: odd spacing \r\n\r\n", b"data: [DONE]\n\n"]


class Bench:
    """A gateway in front of upstreams that a test writes."""

    def __init__(self, client: "TestClient[web.Request, web.Application]", telemetry: Telemetry) -> None:
        self.client = client
        self.telemetry = telemetry

    def counted(self) -> dict[tuple[str, str, str], float]:
        """Return (model, status, result) -> number of requests."""
        return {
            (sample.labels["model"], sample.labels["status"], sample.labels["result"]): sample.value
            for metric in self.telemetry.requests.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }


@asynccontextmanager
async def bench(*handlers: Handler | None, settings: GatewaySettings | None = None) -> AsyncIterator[Bench]:
    """Yield a gateway whose model ``m`` is served by the handlers; None is a port on which nobody listens."""
    servers = []
    endpoints = []
    for handler in handlers:
        if handler is None:
            endpoints.append(Endpoint(address="127.0.0.1", port=unused_port()))
            continue
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        endpoints.append(Endpoint(address="127.0.0.1", port=server.port or 0))
    backend = Backend(service="default/s", weight=1, endpoints=tuple(endpoints))
    match = Match(path="/v1/completions", headers={"model": "m"})
    rule = Rule(match=match, route="default/r", rank=(), backends=(backend,), request_timeout=timedelta(seconds=2))
    table = RouteTable(by_model={"m": (rule,)})
    settings = settings or GatewaySettings()
    telemetry = Telemetry()
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        forwarder = Forwarder(settings, session, telemetry)
        gateway = web.Application(client_max_size=settings.body_limit_bytes)

        async def serve(request: web.Request) -> web.StreamResponse:
            return await forwarder.serve(request, table)

        gateway.router.add_route("*", "/{path:.*}", serve)
        async with TestClient(TestServer(gateway, handler_cancellation=True)) as client:
            yield Bench(client, telemetry)
    for server in servers:
        await server.close()


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


async def test_a_stream_passes_byte_for_byte() -> None:
    async with bench(_stream) as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        assert await response.read() == b"".join(CHUNKS)
        assert response.headers["Content-Type"] == "text/event-stream"
        assert response.headers["X-Request-Id"]
        assert gateway.counted() == {("m", "200", "ok"): 1}


async def test_the_original_bytes_go_upstream_with_the_clients_request_id() -> None:
    body = b'{ "prompt":"\\u00e9" ,"model":"m"}'
    async with bench(_echo) as gateway:
        headers = {"X-Request-Id": "mine", "Authorization": "Bearer k", "Connection": "keep-alive, X-Hop", "X-Hop": "1"}
        response = await gateway.client.post("/v1/completions?a=%20b", data=body, headers=headers)
        seen = await response.json()
    assert seen["body"] == body.decode()
    assert seen["headers"]["x-request-id"] == "mine"
    assert seen["headers"]["authorization"] == "Bearer k"
    assert "x-hop" not in seen["headers"]


async def test_a_refused_connection_is_tried_elsewhere() -> None:
    async with bench(None, None, _echo) as gateway:
        for _ in range(6):
            assert (await gateway.client.post("/v1/completions", json=BODY)).status == 200


async def test_no_connection_anywhere_is_a_502_in_openai_shape() -> None:
    async with bench(None) as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        assert response.status == 502
        assert (await response.json())["error"]["code"] == "upstream_error"
        assert gateway.counted() == {("m", "502", "upstream_error"): 1}


async def test_no_endpoint_is_a_503_that_says_when() -> None:
    async with bench() as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert (await response.json())["error"]["code"] == "model_not_ready"


async def test_an_unknown_model_is_a_404_that_names_the_nearest() -> None:
    async with bench(_echo) as gateway:
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
async def test_every_refusal_has_openais_shape(path: str, method: str, body: bytes, status: int, code: str) -> None:
    async with bench(_echo) as gateway:
        response = await gateway.client.request(method, path, data=body)
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (status, code)
        assert set(error) == {"message", "type", "param", "code"}


async def test_a_body_over_the_limit_is_a_413() -> None:
    async with bench(_echo, settings=GatewaySettings(body_limit_bytes=1 << 20)) as gateway:
        response = await gateway.client.post("/v1/completions", data=io.BytesIO(b"x" * (2 << 20)))
        assert response.status == 413
        assert (await response.json())["error"]["code"] == "request_too_large"


async def test_a_stream_that_breaks_ends_with_an_error_and_without_done() -> None:
    async with bench(_dies) as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        text = await response.read()
        last = text.rstrip().split(b"\n\n")[-1]
        assert text.startswith(CHUNKS[0])
        assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "upstream_error"
        assert b"[DONE]" not in text
        assert gateway.counted() == {("m", "200", "upstream_error"): 1}


async def test_a_plain_body_that_breaks_is_never_taken_for_whole() -> None:
    async with bench(_dies) as gateway:
        response = await gateway.client.post("/v1/completions?type=application/json", json=BODY)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_client_that_goes_away_takes_its_upstream_with_it() -> None:
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

    async with bench(endless) as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        await response.content.readany()
        async with asyncio.timeout(10):
            await began.wait()
            response.close()
            await gone.wait()
        assert gateway.counted() == {("m", "200", "client_gone"): 1}


async def test_an_engines_own_error_passes_as_it_is() -> None:
    async def refuses(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"message": "too long"}}, status=400)

    async with bench(refuses) as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        assert response.status == 400
        assert await response.json() == {"error": {"message": "too long"}}
        assert gateway.counted() == {("m", "400", "4xx"): 1}


async def test_an_engine_that_says_nothing_in_time_is_a_504() -> None:
    release = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    async with bench(silent) as gateway:
        response = await gateway.client.post("/v1/completions", json=BODY)
        release.set()
        assert response.status == 504


def test_hop_by_hop_headers_stay_here() -> None:
    kept = forwarded_headers({"Host": "h", "TE": "trailers", "Content-Type": "application/json", "X-A": "1"}, "id")
    assert dict(kept) == {"Content-Type": "application/json", "X-A": "1", "X-Request-Id": "id"}
