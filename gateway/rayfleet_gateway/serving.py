"""One process, one listener: from start to the end of the drain. Imported only when there is something to serve."""

import asyncio
import logging

from aiohttp import web
from aiohttp.http import HttpProcessingError

from rayfleet.model.errors import EnvironmentProblem
from rayfleet.process import stop_event
from rayfleet_gateway.app import ENDED, make_app
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.state.sources import open_tables


class _OnlyOurFaults(logging.Filter):
    """Drops the trace that aiohttp logs for each request which is no HTTP.

    The client is told, and anybody could fill the log.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record stays."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_ONLY_OURS = _OnlyOurFaults()


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; then accept no more and let running answers finish within ``settings.drain``.

    Raises EnvironmentProblem when the port cannot be used.
    """
    async with open_tables(settings) as tables:
        app = make_app(settings, tables)
        runner = make_runner(app, settings)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
        except OSError as error:
            await runner.cleanup()
            raise EnvironmentProblem(
                f"--port {settings.port}: {settings.host}:{settings.port} cannot be used: {error.strerror or error}",
                way_out="End what listens there, or choose another with --port.",
            ) from error
        logging.getLogger(__name__).info("listening on http://%s:%d", settings.host, settings.port)
        await _first_of(stop, app[ENDED])
        await runner.cleanup()  # raises what ended the watches


async def serve_until_signal(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT."""
    await serve(settings, stop_event())


def make_runner(app: web.Application, settings: GatewaySettings) -> web.AppRunner:
    """Return the application's runner, with the limits of ``settings``."""
    logger = logging.getLogger("rayfleet_gateway.http")
    logger.addFilter(_ONLY_OURS)
    return web.AppRunner(
        app,
        logger=logger,
        access_log=None,
        handler_cancellation=True,  # a client that goes away cancels its handler, which closes the upstream
        auto_decompress=False,  # packed bodies go on as they came
        shutdown_timeout=settings.drain.total_seconds() + 1,  # the application itself ends what runs at the limit
        keepalive_timeout=75,
        max_line_size=settings.head_limit_bytes,
        max_field_size=settings.head_limit_bytes,
    )


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
