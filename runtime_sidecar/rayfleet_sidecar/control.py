"""The routes that change something: drain, sleep and wake. Each wants the sidecar's token as a bearer token.

Without a token in the sidecar's environment nobody may: the sidecar listens on the pod's address, where everything that
runs in the cluster may come by. What was asked for is told by ``/ready`` and ``/status``.
"""

import functools
import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web

from rayfleet.model.json import Json
from rayfleet_sidecar.duty import Leave
from rayfleet_sidecar.keys import ENGINE, JUDGE, SETTINGS
from rayfleet_sidecar.settings import TOKEN_VARIABLE

Handler = Callable[[web.Request], Awaitable[web.Response]]


def guarded(handler: Handler) -> Handler:
    """Return the handler behind the token: 403 while the sidecar has none, 401 for a wrong one."""

    @functools.wraps(handler)
    async def guard(request: web.Request) -> web.Response:
        token = request.app[SETTINGS].token
        if not token:
            words = f"this sidecar has no token; set {TOKEN_VARIABLE} in its environment, from a Secret"
            return refused(403, "no_token", words)
        shown = request.headers.get("Authorization", "")
        if not hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()):
            return refused(
                401, "wrong_token", f"show the sidecar's token ({TOKEN_VARIABLE}): Authorization: Bearer ..."
            )
        return await handler(request)

    return guard


def refused(status: int, code: str, message: str) -> web.Response:
    """Return an error in OpenAI's shape."""
    return web.json_response({"error": {"message": message, "type": "sidecar_error", "code": code}}, status=status)


def add_control(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_post("/drain", guarded(_drain))
    app.router.add_delete("/drain", guarded(_end_drain))
    app.router.add_post("/sleep", guarded(_sleep))
    app.router.add_post("/wake", guarded(_wake))


async def _drain(request: web.Request) -> web.Response:
    """Take the engine out of service until DELETE; the answer's ``in_flight`` and ``/inflight`` tell what is left."""
    judge = request.app[JUDGE]
    judge.set_duty(Leave.DRAINING)
    return _answer(request, {"in_flight": await judge.traffic.ask()})


async def _end_drain(request: web.Request) -> web.Response:
    judge = request.app[JUDGE]
    if judge.duty.leave is Leave.ASLEEP:
        return refused(409, "asleep", "the engine sleeps; POST /wake")
    judge.set_duty(None)
    return _answer(request, {})


async def _sleep(request: web.Request) -> web.Response:
    """Take the engine out of service and put it to sleep; refused while it has requests, or cannot tell."""
    judge, engine, path = request.app[JUDGE], request.app[ENGINE], request.app[SETTINGS].sleep_path
    if not path:
        return _cannot(request, "sleep", "--sleep-path")
    if judge.duty.leave is Leave.ASLEEP:
        return _answer(request, {})
    in_flight = await judge.traffic.ask()
    if in_flight != 0:
        count = "an unknown number of" if in_flight is None else str(in_flight)
        return refused(409, "busy", f"the engine has {count} requests; POST /drain and wait until it has none")
    before = judge.duty.leave
    judge.set_duty(Leave.ASLEEP)
    status, words = await engine.operate(path)
    if status // 100 != 2:
        judge.set_duty(before)
        return refused(502, "engine_refused", f"the engine did not go to sleep: {words or status}")
    return _answer(request, {})


async def _wake(request: web.Request) -> web.Response:
    """Wake the engine; it is in service again when a token came."""
    judge, engine, path = request.app[JUDGE], request.app[ENGINE], request.app[SETTINGS].wake_path
    if not path:
        return _cannot(request, "wake", "--wake-path")
    status, words = await engine.operate(path)
    failure = (words or f"status {status}") if status // 100 != 2 else await engine.token_failure()
    if failure:
        return refused(502, "engine_refused", f"the engine did not wake: {failure}")
    judge.set_duty(None)
    return _answer(request, {})


def _cannot(request: web.Request, what: str, flag: str) -> web.Response:
    engine = request.app[SETTINGS].engine
    return refused(501, "not_supported", f"{engine} has no operation to {what} that this sidecar knows of ({flag})")


def _answer(request: web.Request, more: Json) -> web.Response:
    duty = request.app[JUDGE].duty
    return web.json_response({"leave": duty.leave, "since": duty.since.isoformat(), **more})
