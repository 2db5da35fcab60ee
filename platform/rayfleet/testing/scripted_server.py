"""An API server that answers what a test tells it to.

For the answers that a well-behaved one gives too rarely to wait for.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

from rayfleet.kube.address import KubeAddress
from rayfleet.model.json import Json, ReadOnlyJson

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def json_answer(body: ReadOnlyJson, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json", headers=headers)


def status_answer(code: int, reason: str = "", **details: Any) -> web.Response:
    """Return a Status object, as the API server refuses."""
    body: Json = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": f"no: {reason}",
    }
    return json_answer(body | {"reason": reason, "details": details}, status=code)


@asynccontextmanager
async def scripted_server(answer: Answer, port: int | None = None) -> AsyncIterator[KubeAddress]:
    """Run a server on loopback that answers every request by ``answer``; ``port`` None: any that is free."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port or 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield KubeAddress(url=url, token="scripted")  # noqa: S106 - guards nothing
    finally:
        await runner.cleanup()
