"""The sidecar's application: wiring, and the endpoints that others ask."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from rayfleet.model.json import Json
from rayfleet.model.ports import ENGINE_PORT
from rayfleet_sidecar.aibrix import add_aibrix
from rayfleet_sidecar.clock import Clock
from rayfleet_sidecar.control import add_control
from rayfleet_sidecar.engine_client import EngineClient
from rayfleet_sidecar.evidence import EvidenceKeeper
from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.keys import CLOCK, ENGINE, JUDGE, SETTINGS
from rayfleet_sidecar.metrics.page import MetricsPage, add_metrics
from rayfleet_sidecar.readiness import Reason
from rayfleet_sidecar.settings import SidecarSettings
from rayfleet_sidecar.status import add_status, status_content


def make_app(settings: SidecarSettings, clock: Clock) -> web.Application:
    """Return the application; the judge runs from start to clean-up, by ``clock``."""
    app = web.Application()
    app[SETTINGS] = settings
    app[CLOCK] = clock
    app.cleanup_ctx.append(_judging)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/ready", _ready)
    app.router.add_get("/inflight", _inflight)
    add_status(app)
    add_control(app)
    add_metrics(app, lambda: _metrics_page(app))
    add_aibrix(app, lambda: app[ENGINE])
    return app


def _metrics_page(app: web.Application) -> MetricsPage:
    settings = app[SETTINGS]
    return MetricsPage(app[ENGINE], app[JUDGE], settings.engine, settings.metric_map, app[CLOCK])


async def _judging(app: web.Application) -> AsyncIterator[None]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=3)) as session:
        settings, clock = app[SETTINGS], app[CLOCK]
        app[ENGINE] = EngineClient(settings, session)
        port = urlsplit(settings.engine_url).port or ENGINE_PORT
        evidence = EvidenceKeeper(settings.evidence, port, lambda: status_content(app[JUDGE], settings.engine, clock()))
        app[JUDGE] = Judge(app[ENGINE], settings, clock, evidence.ask)
        tasks = [asyncio.create_task(app[JUDGE].run()), asyncio.create_task(evidence.run())]
        yield
        for task in tasks:
            task.cancel()
        for task in tasks:
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
    return _answer(content, is_good=verdict.is_ready)


async def _inflight(request: web.Request) -> web.Response:
    """Answer with the requests that the engine has now, asked this moment.

    503 with a reason when they cannot be told, or are stuck: then there is nothing that is worth waiting for.
    """
    judge = request.app[JUDGE]
    judge.leave_alone()
    if not request.app[SETTINGS].traffic.running:
        return _unknown("MetricsUnknown", "nobody has told which of the engine's metrics count its requests")
    in_flight = await judge.traffic.ask()
    if judge.judgement.reason is Reason.ENGINE_STALLED:
        return _unknown(judge.judgement.reason.value, judge.judgement.message)
    if in_flight is None:
        return _unknown("MetricsMissing", "the engine's metrics cannot be had, or lack its requests")
    return _answer({"in_flight": in_flight, "since": judge.traffic.since.isoformat()}, is_good=True)


def _unknown(reason: str, message: str) -> web.Response:
    return _answer({"in_flight": None, "reason": reason, "message": message}, is_good=False)


def _answer(content: Json, *, is_good: bool) -> web.Response:
    status = 200 if is_good else 503
    return web.Response(status=status, text=json.dumps(content) + "\n", content_type="application/json")
