"""The admin port: what operators, probes and Prometheus ask. Clients of the gateway never reach it.

It shares the loop with every stream, so nothing here takes long at a stretch: the metrics page is made by ``page``, the
table is shown in pieces.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from itertools import islice

import orjson
from aiohttp import web
from multidict import MultiMapping

from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.tables import TableSource
from rayfleet_gateway.telemetry.counts import Tallies, Telemetry
from rayfleet_gateway.telemetry.page import page

_LAG_SECONDS = 0.1
_MOST_MODELS, _USUAL_MODELS, _MOST_DIGITS = 1000, 100, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminParts:
    """What the port shows. ``is_leaving``: the process is about to stop, so no new requests should come.

    ``refresh`` brings into the tallies what the data path holds as it is: called before each page.
    ``explain`` says why a request would go where; it raises ValueError for a query that it cannot read.
    """

    telemetry: Telemetry
    tables: TableSource
    is_leaving: Callable[[], bool]
    refresh: Callable[[], None]
    explain: Callable[[MultiMapping[str]], Mapping[str, object]]


def make_admin(parts: AdminParts) -> web.Application:
    """Return the application of the admin port; while it runs, it also watches how late the loop is."""
    app = web.Application()
    app[_PARTS] = parts
    app.cleanup_ctx.append(_watching_the_loop)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/debug/explain", _explain)
    app.router.add_get("/debug/table", _table)
    return app


_PARTS: web.AppKey[AdminParts] = web.AppKey("parts", AdminParts)


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    parts = request.app[_PARTS]
    if parts.is_leaving():
        return web.Response(status=503, text="draining: the process is about to stop\n")
    if not parts.tables.is_synced:
        return web.Response(status=503, text="starting: the routes have not been read yet\n")
    if parts.tables.is_stale:
        return web.Response(text="ok: these are the routes of an earlier run, the API server has not answered yet\n")
    return web.Response(text="ok\n")


async def _metrics(request: web.Request) -> web.Response:
    parts = request.app[_PARTS]
    table = parts.tables.table
    parts.refresh()
    parts.telemetry.keep(table.by_model)
    tallies, effort = parts.telemetry.tallies, parts.tables.effort
    tallies.problems = dict(parts.tables.problem_reasons())
    tallies.table_compiles, tallies.table_compile_seconds = effort.steps, effort.seconds
    ready = ((name, len(table.endpoints_of(name))) for name in table.models)
    body, content_type = await page(parts.telemetry, ready, request.headers.getone("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _explain(request: web.Request) -> web.Response:
    try:
        return _json(request.app[_PARTS].explain(request.query))
    except ValueError as error:
        return web.Response(status=400, text=f"{error}\n")


async def _table(request: web.Request) -> web.Response:
    limit = request.query.getone("limit", str(_USUAL_MODELS))
    if not limit.isdecimal() or len(limit) > _MOST_DIGITS or not 0 < int(limit) <= _MOST_MODELS:
        return web.Response(status=400, text=f"limit: {limit!r:.40} is not 1 to {_MOST_MODELS}\n")
    return _json(_shown(request.app[_PARTS].tables.table, request.query.getone("after", ""), int(limit)))


def _shown(table: RouteTable, after: str, limit: int) -> Mapping[str, object]:
    """Return the models whose names follow ``after``; ``next`` is the ``after`` of the piece that follows, if any."""
    names = tuple(islice((name for name in table.models if name > after), limit + 1))
    shown = {
        name: [
            {
                "route": rule.route,
                "path": rule.match.path,
                "backends": [
                    {
                        "service": backend.service,
                        "weight": backend.weight,
                        "endpoints": [str(endpoint) for endpoint in backend.endpoints],
                    }
                    for backend in rule.backends
                ],
            }
            for rule in table.by_model[name]
        ]
        for name in names[:limit]
    }
    return {"count": len(table.models), "models": shown, "next": names[limit - 1] if len(names) > limit else None}


async def _watching_the_loop(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_watch(app[_PARTS].telemetry.tallies))
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _watch(tallies: Tallies) -> None:
    """Note how late the loop calls what it was to call: every stream was as late."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + _LAG_SECONDS
        await asyncio.sleep(_LAG_SECONDS)
        tallies.loop_lag_seconds = max(tallies.loop_lag_seconds, clock() - due)


def _json(content: object) -> web.Response:
    return web.Response(body=orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE), content_type="application/json")
