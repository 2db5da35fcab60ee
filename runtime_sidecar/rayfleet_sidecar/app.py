"""The sidecar's application: wiring and its three endpoints."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.engine_client import EngineClient
from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.pages import own_page, usable_page
from rayfleet_sidecar.settings import SidecarSettings

SETTINGS: web.AppKey[SidecarSettings] = web.AppKey("settings", SidecarSettings)
CLOCK: web.AppKey[Clock] = web.AppKey("clock")
ENGINE: web.AppKey[EngineClient] = web.AppKey("engine", EngineClient)
JUDGE: web.AppKey[Judge] = web.AppKey("judge", Judge)


def make_app(settings: SidecarSettings, clock: Clock) -> web.Application:
    """Return the application; the judge runs from start to clean-up, by ``clock``."""
    app = web.Application()
    app[SETTINGS] = settings
    app[CLOCK] = clock
    app.cleanup_ctx.append(_judging)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/metrics", _metrics)
    return app


async def _judging(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=3)) as session:
        app[ENGINE] = EngineClient(app[SETTINGS], session)
        app[JUDGE] = Judge(app[ENGINE], app[SETTINGS], app[CLOCK])
        task = asyncio.create_task(app[JUDGE].run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    """Answer for this process alone, in aibrix_runtime's words.

    Never for the engine, or its trouble would restart the sidecar.
    """
    return web.json_response({"status": "ok"})


async def _ready(request: web.Request) -> web.Response:
    """Answer from the newest judgement at once: 200 when the engine is ready, else 503 with the reason."""
    verdict = request.app[JUDGE].verdict()
    content = {
        "status": "ready" if verdict.is_ready else "not ready",  # aibrix_runtime's word for it
        "ready": verdict.is_ready,
        "reason": verdict.reason,
        "message": verdict.message,
        "since": verdict.since.isoformat(),
        "engine": request.app[SETTINGS].engine,
    }
    status = 200 if verdict.is_ready else 503
    return web.Response(status=status, text=json.dumps(content) + "\n", content_type="application/json")


async def _metrics(request: web.Request) -> web.Response:
    app = request.app
    engine_page = usable_page(await app[ENGINE].metrics_page())
    own = own_page(app[JUDGE], app[SETTINGS].engine, app[CLOCK](), has_engine_page=bool(engine_page))
    headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
    return web.Response(body=(own + engine_page).encode(), headers=headers)
