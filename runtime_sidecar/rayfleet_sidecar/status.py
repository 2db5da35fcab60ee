"""``GET /status``: everything that the judge knows, for people: each check, the stages of the start, the requests.

It is answered from memory, so it comes at once whatever the engine does. Nothing is decided on it.
"""

from aiohttp import web

from rayfleet.model.json import Json
from rayfleet_sidecar.checks import Check
from rayfleet_sidecar.judge import Judge
from rayfleet_sidecar.keys import CLOCK, JUDGE, SETTINGS
from rayfleet_sidecar.readiness import Moment
from rayfleet_sidecar.stages import Stage


def add_status(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get("/status", _status)


def status_content(judge: Judge, engine: str, now: Moment) -> Json:
    """Return what is known at ``now``."""
    verdict, current = judge.verdict(), judge.stages.current
    return {
        "engine": engine,
        "ready": verdict.is_ready,
        "reason": verdict.reason,
        "message": verdict.message,
        "since": verdict.since.isoformat(),
        "duty": {"leave": judge.duty.leave, "since": judge.duty.since.isoformat()},
        "stage": current.name if current is not None else None,
        "stalled_stage": current.name if current is not None and current.is_overdue(now) else None,
        "stages": [_stage(stage, now) for stage in judge.stages.stages],
        "checks": [_check(check) for check in judge.checks],
        "in_flight": judge.traffic.in_flight,
        "generations": dict(judge.generations),
        "transitions": judge.transitions,
        "judge_errors": judge.errors,
    }


async def _status(request: web.Request) -> web.Response:
    app = request.app
    return web.json_response(status_content(app[JUDGE], app[SETTINGS].engine, app[CLOCK]()))


def _stage(stage: Stage, now: Moment) -> Json:
    return {
        "name": stage.name,
        "since": stage.began.date.isoformat(),
        "seconds": round(stage.lasted(now).total_seconds(), 3),
        "is_over": stage.ended is not None,
    }


def _check(check: Check) -> Json:
    return {
        "name": check.name,
        "passed": check.is_passed,
        "reason": check.reason,
        "message": check.message,
        "since": check.since.isoformat(),
    }
