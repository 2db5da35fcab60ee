"""``rayfleet-gateway``: one process, one listener."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from aiohttp import web
from aiohttp.http import HttpProcessingError

from rayfleet.kube.config import connect
from rayfleet.logs import configure_logging
from rayfleet.model.errors import EnvironmentProblem, RayfleetError
from rayfleet_gateway.app import ENDED, make_app
from rayfleet_gateway.discovery import Discovery
from rayfleet_gateway.settings import GatewaySettings


class _OnlyOurFaults(logging.Filter):
    """Drops the trace that aiohttp logs for each request which is no HTTP: the client is told, and anybody could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record stays."""
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_ONLY_OURS = _OnlyOurFaults()


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    settings = _settings(arguments)
    configure_logging()
    try:
        _run(settings)
    except RayfleetError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


async def serve(settings: GatewaySettings, stop: asyncio.Event) -> None:
    """Serve until ``stop`` is set; then accept no more and let running answers finish within ``settings.drain``.

    Raises EnvironmentProblem when the port cannot be used.
    """
    async with await connect(settings.kubeconfig) as client:
        app = make_app(settings, Discovery(client))
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


def _run(settings: GatewaySettings) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_until_signal(settings))
    else:
        uvloop.run(_until_signal(settings))


async def _until_signal(settings: GatewaySettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop)


def _settings(arguments: list[str] | None) -> GatewaySettings:
    parser = argparse.ArgumentParser(
        prog="rayfleet-gateway",
        description="Send OpenAI-compatible requests to the fleet that their model names, by the HTTPRoutes of an API server "
        "(of any Gateway: parentRefs are not compared).",
    )
    parser.add_argument("--kubeconfig", type=Path, help="API server to watch (default: the pod's own)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    return GatewaySettings(kubeconfig=chosen.kubeconfig, host=chosen.host, port=chosen.port)


if __name__ == "__main__":
    sys.exit(main())
