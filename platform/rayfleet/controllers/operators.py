"""The controller's port for operators: whether it lives, whether it does its part, and its metrics.

A process that waits for the lease is ready: it does all that it may; one that may not even ask for it is not, and says
which right it lacks. A leader is ready once it has read every kind that
it needs; what it may not read, or what the cluster does not have, is named on the page and holds nothing back, since no
restart would mend it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from rayfleet.kube.watches import Reflectors
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.model.resources import FLEETS, REPLICA_SETS
from rayfleet.reconciling.telemetry import Telemetry, absence_families, fleet_families


class Stage(StrEnum):
    """How far a controller process has come."""

    STARTING = "starting"
    STANDING_BY = "standing by"
    LEADING = "leading"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSettings:
    """Where operators ask. ``port`` 0: any that is free."""

    host: str
    port: int


class Standing:
    """What the port tells; the process that works keeps it."""

    def __init__(self) -> None:
        self.telemetry = Telemetry()
        self.stage = Stage.STARTING
        self._reflectors: Reflectors | None = None
        self._refusal: Callable[[], str] = str

    def stands_by(self, refusal: Callable[[], str] = str) -> None:
        """The server has answered; another process may lead. ``refusal`` tells why we may not ask for the lease."""
        self.stage, self._refusal = Stage.STANDING_BY, refusal

    def leads(self, reflectors: Reflectors) -> None:
        """This process acts now, on what ``reflectors`` read."""
        self.stage, self._reflectors = Stage.LEADING, reflectors
        self.telemetry.leads(True)
        self.telemetry.shows(lambda: absence_families(reflectors, reflectors.absences(reflectors)))
        self.telemetry.shows(lambda: fleet_families(reflectors.store(FLEETS), reflectors.store(REPLICA_SETS)))
        reflectors[REPLICA_SETS].subscribe(self.telemetry.hear_replica_set)

    def readiness(self) -> tuple[bool, str]:
        """Return whether the process does its part, and the words for it."""
        if self.stage is Stage.STARTING:
            return False, "starting: the API server has not answered yet"
        if refusal := self._refusal():
            return False, f"{self.stage}: the lease may not be asked for: {refusal}"
        if self._reflectors is None:
            return True, "ok: standing by, another process leads"
        absences = self._reflectors.absences(self._reflectors)
        unread = [
            resource.plural
            for resource, reflector in self._reflectors.items()
            if not reflector.is_synced and resource not in absences
        ]
        if unread:
            return False, f"starting: not read yet: {', '.join(unread)}"
        missing = "".join(f"\n{absence.message}" for absence in absences.values())
        return True, f"ok: leading{missing}"


def make_admin(standing: Standing) -> web.Application:
    """Return the application of the port."""
    app = web.Application()
    app[_STANDING] = standing
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz)
    app.router.add_get("/metrics", _metrics)
    return app


@asynccontextmanager
async def served(standing: Standing, settings: AdminSettings) -> AsyncIterator[Callable[[], int]]:
    """Serve the port for the length of the block, which gets what tells its number. Raises EnvironmentProblem."""
    runner = web.AppRunner(make_admin(standing), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port).start()
        except OSError as error:
            raise EnvironmentProblem(
                f"--admin-port {settings.port}: {settings.host}:{settings.port} cannot be used: "
                f"{error.strerror or error}",
                way_out="Give another port, or 0 for none.",
            ) from error
        yield lambda: int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


_STANDING: web.AppKey[Standing] = web.AppKey("standing", Standing)


async def _healthz(request: web.Request) -> web.Response:  # noqa: ARG001 - aiohttp's signature
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    is_ready, words = request.app[_STANDING].readiness()
    return web.Response(status=200 if is_ready else 503, text=f"{words}\n")


async def _metrics(request: web.Request) -> web.Response:
    telemetry = request.app[_STANDING].telemetry
    process = await asyncio.to_thread(telemetry.process_page)
    return web.Response(body=telemetry.page() + process, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
