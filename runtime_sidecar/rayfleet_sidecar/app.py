"""The sidecar's application: wiring and its three endpoints."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.pages import own_page, usable_page
from rayfleet_sidecar.settings import SidecarSettings

SETTINGS: web.AppKey[SidecarSettings] = web.AppKey("settings", SidecarSettings)
JUDGE: web.AppKey[Judge] = web.AppKey("judge", Judge)


def make_app(settings: SidecarSettings) -> web.Application:
    """Return the application; the judge runs from start to clean-up."""
    app = web.Application()
    app[SETTINGS] = settings
    app.cleanup_ctx.append(_judging)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/metrics", _metrics)
    return app


async def _judging(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=3)) as session:
        app[JUDGE] = Judge(app[SETTINGS], session)
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
    judge = request.app[JUDGE]
    judgement = judge.judgement
    is_stale = judge.is_stale
    is_ready = judgement.is_ready and not is_stale
    content = {
        "status": "ready" if is_ready else "not ready",  # aibrix_runtime's word for it
        "ready": is_ready,
        "reason": "JudgeStalled" if is_stale else judgement.reason.value,
        "message": "the sidecar's own judge stands still" if is_stale else judgement.message,
        "since": judgement.since.isoformat(),
        "engine": request.app[SETTINGS].engine,
    }
    return web.Response(
        status=200 if is_ready else 503, text=json.dumps(content) + "\n", content_type="application/json"
    )


async def _metrics(request: web.Request) -> web.Response:
    judge = request.app[JUDGE]
    engine = usable_page(await judge.engine_metrics())
    page = own_page(judge, request.app[SETTINGS], has_engine_page=bool(engine)) + engine
    return web.Response(body=page.encode(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})
