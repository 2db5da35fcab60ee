"""The gateway's application: wiring, the endpoints of its own, start and stop in pairs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import orjson
from aiohttp import web

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.exchange import Forwarder, refusal_response
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.request.headers import request_id
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.tables import TableSource
from rayfleet_gateway.telemetry.counts import Telemetry
from rayfleet_gateway.telemetry.page import page
from rayfleet_gateway.upstream import open_upstreams

TABLES: web.AppKey[TableSource] = web.AppKey("tables", TableSource)
FORWARDER: web.AppKey[Forwarder] = web.AppKey("forwarder", Forwarder)
TELEMETRY: web.AppKey[Telemetry] = web.AppKey("telemetry", Telemetry)
# Set when the watches have ended, which they do only by a fault: routes would grow old unseen.
ENDED: web.AppKey[asyncio.Event] = web.AppKey("ended", asyncio.Event)
SETTINGS: web.AppKey[GatewaySettings] = web.AppKey("settings", GatewaySettings)


def make_app(settings: GatewaySettings, tables: TableSource) -> web.Application:
    """Return the application; it runs ``tables`` as long as itself."""
    app = web.Application(client_max_size=settings.body_limit_bytes)
    app[SETTINGS] = settings
    app[ENDED] = asyncio.Event()
    app[TELEMETRY] = Telemetry()
    app[TABLES] = tables
    app.cleanup_ctx.append(_forwarding)
    app.cleanup_ctx.append(_discovering)
    app.on_shutdown.append(_limit_drain)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/v1/models", _models)
    app.router.add_get("/v1/models/{model:.+}", _model)
    app.router.add_route("*", "/{path:.*}", _forward)
    return app


async def _forwarding(app: web.Application) -> AsyncIterator[None]:
    async with open_upstreams(app[SETTINGS]) as upstreams:
        app[FORWARDER] = Forwarder(app[SETTINGS], upstreams, app[TELEMETRY])
        yield


async def _discovering(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(app[TABLES].run(lambda table: _show_table(app[TELEMETRY], table)))
    task.add_done_callback(lambda _: app[ENDED].set())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _limit_drain(app: web.Application) -> None:
    asyncio.get_running_loop().call_later(app[SETTINGS].drain.total_seconds(), app[FORWARDER].cut)


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    if not request.app[TABLES].is_synced:
        return refusal_response(refusals.not_synced(), request_id(request.headers))
    is_stale = request.app[TABLES].is_stale
    return web.Response(text="ok, with the routes of an earlier run\n" if is_stale else "ok\n")


async def _metrics(request: web.Request) -> web.Response:
    table = request.app[TABLES].table
    ready = ((name, len(table.endpoints_of(name))) for name in table.models)
    body, content_type = await page(request.app[TELEMETRY], ready, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _models(request: web.Request) -> web.Response:
    if not request.app[TABLES].is_synced:
        return refusal_response(refusals.not_synced(), request_id(request.headers))
    table = request.app[TABLES].table
    return _json({"object": "list", "data": [_described(table, name) for name in table.models]})


async def _model(request: web.Request) -> web.Response:
    if not request.app[TABLES].is_synced:
        return refusal_response(refusals.not_synced(), request_id(request.headers))
    table, name = request.app[TABLES].table, request.match_info["model"]
    if name not in table.by_model:
        return refusal_response(refusals.model_not_found(name, table.models), request_id(request.headers))
    return _json(_described(table, name))


async def _forward(request: web.Request) -> web.StreamResponse:
    tables = request.app[TABLES]
    if not tables.is_synced:
        return refusal_response(refusals.not_synced(), request_id(request.headers))
    return await request.app[FORWARDER].serve(request, tables.table)


def _described(table: RouteTable, name: str) -> dict[str, object]:
    """Return a model in OpenAI's shape; ``ready_endpoints`` is ours. ``created`` is not known to a gateway: 0."""
    endpoints = table.endpoints_of(name)
    return {"id": name, "object": "model", "created": 0, "owned_by": "rayfleet", "ready_endpoints": len(endpoints)}


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content), content_type="application/json")


def _show_table(telemetry: Telemetry, table: RouteTable) -> None:
    telemetry.tallies.table_changed_at = asyncio.get_running_loop().time()
    telemetry.keep(table.by_model)
