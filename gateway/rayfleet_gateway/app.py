"""The gateway's application: wiring, the endpoints of its own, start and stop in pairs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import orjson
from aiohttp import web

from rayfleet.kube.client import KubeClient
from rayfleet_gateway import errors
from rayfleet_gateway.discovery import Discovery
from rayfleet_gateway.exchange import REQUEST_ID, Forwarder, refusal_response
from rayfleet_gateway.routes import RouteTable
from rayfleet_gateway.settings import GatewaySettings
from rayfleet_gateway.telemetry import Telemetry

DISCOVERY: web.AppKey[Discovery] = web.AppKey("discovery", Discovery)
FORWARDER: web.AppKey[Forwarder] = web.AppKey("forwarder", Forwarder)
TELEMETRY: web.AppKey[Telemetry] = web.AppKey("telemetry", Telemetry)
SETTINGS: web.AppKey[GatewaySettings] = web.AppKey("settings", GatewaySettings)


def make_app(settings: GatewaySettings, client: KubeClient) -> web.Application:
    """Return the application; it watches through ``client``, which the caller opened and closes."""
    app = web.Application(client_max_size=settings.body_limit_bytes)
    app[SETTINGS] = settings
    app[TELEMETRY] = Telemetry()
    app[DISCOVERY] = Discovery(client, lambda table: _show_endpoints(app[TELEMETRY], table))
    app.cleanup_ctx.append(_forwarding)
    app.cleanup_ctx.append(_discovering)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/v1/models/{model:.+}", _model)
    app.router.add_route("*", "/{path:.*}", _forward)
    return app


async def _forwarding(app: web.Application) -> AsyncIterator[None]:
    # Shorter than any engine keeps an idle connection (uvicorn, vLLM: 5 s): a request must not meet one that is just closing.
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0, keepalive_timeout=3)
    async with aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        app[FORWARDER] = Forwarder(app[SETTINGS], session, app[TELEMETRY])
        yield


async def _discovering(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[DISCOVERY].run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    if not request.app[DISCOVERY].is_synced:
        return refusal_response(errors.not_synced(), request.headers.get(REQUEST_ID, ""))
    return web.Response(text="ok\n")


async def _metrics(request: web.Request) -> web.Response:
    page = request.app[TELEMETRY].page()
    return web.Response(body=page, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _models(request: web.Request) -> web.Response:
    table = request.app[DISCOVERY].table
    return _json({"object": "list", "data": [_described(table, name) for name in table.models]})


async def _model(request: web.Request) -> web.Response:
    table, name = request.app[DISCOVERY].table, request.match_info["model"]
    if name not in table.by_model:
        return refusal_response(errors.model_not_found(name, table.models), request.headers.get(REQUEST_ID, ""))
    return _json(_described(table, name))


async def _forward(request: web.Request) -> web.StreamResponse:
    discovery = request.app[DISCOVERY]
    if not discovery.is_synced:
        return refusal_response(errors.not_synced(), request.headers.get(REQUEST_ID, ""))
    return await request.app[FORWARDER].serve(request, discovery.table)


def _described(table: RouteTable, name: str) -> dict[str, object]:
    """Return a model in OpenAI's shape; ``ready_endpoints`` is ours. ``created`` is not known to a gateway: 0."""
    endpoints = {each for rule in table.by_model[name] for backend in rule.backends for each in backend.endpoints}
    return {"id": name, "object": "model", "created": 0, "owned_by": "rayfleet", "ready_endpoints": len(endpoints)}


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")


def _show_endpoints(telemetry: Telemetry, table: RouteTable) -> None:
    telemetry.endpoints.clear()
    for name, rules in table.by_model.items():
        endpoints = {each for rule in rules for backend in rule.backends for each in backend.endpoints}
        telemetry.endpoints.labels(name).set(len(endpoints))
