"""``rayfleet-sidecar``: one process beside every engine."""

import asyncio
import contextlib
import sys

from aiohttp import web

from rayfleet.logs import configure_logging
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.process import exit_code, stop_event
from rayfleet_sidecar.app import make_app
from rayfleet_sidecar.clock import system_clock
from rayfleet_sidecar.engine_client import EngineClient
from rayfleet_sidecar.keys import ENGINE
from rayfleet_sidecar.observation import Answer
from rayfleet_sidecar.settings import SidecarSettings, read_settings

_POLL_SECONDS = 0.2


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT, and until the engine has ended; return the exit code."""
    return exit_code(lambda: _run(read_settings(arguments)))


async def serve(settings: SidecarSettings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set, and on while the engine does, for ``settings.linger`` at most.

    Raises EnvironmentProblem when the port cannot be used.
    """
    app = make_app(settings, system_clock)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        raise EnvironmentProblem(
            f"--port {settings.port}: {settings.host}:{settings.port} cannot be used: {error.strerror or error}",
            way_out="In a pod with Ray its metrics-export-port is 8080 by default; give one of them another port.",
        ) from error
    else:
        await stop.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.linger.total_seconds()):
                await _engine_end(app[ENGINE])
    finally:
        await runner.cleanup()


async def _engine_end(engine: EngineClient) -> None:
    """Return when the engine's port is closed: whoever drains the replica asks the sidecar until then."""
    while (await engine.observed()).answer is not Answer.NONE:
        await asyncio.sleep(_POLL_SECONDS)


def _run(settings: SidecarSettings) -> None:
    configure_logging(settings.log_format)
    asyncio.run(_until_signal(settings))


async def _until_signal(settings: SidecarSettings) -> None:
    await serve(settings, stop_event())


if __name__ == "__main__":
    sys.exit(main())
