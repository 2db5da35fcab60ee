"""``python -m rayfleet_llamacpp.driver``: one OpenAI API over a llama.cpp server on every node of a Ray cluster.

Runs on the head. Exit code 0 after SIGTERM, 1 for something that this machine lacks, 2 for a wrong flag, 3 when Ray's
head service is gone; all but the first let the container restart.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence

import aiohttp
from aiohttp import web

from rayfleet.logs import configure_logging
from rayfleet.model.errors import EnvironmentProblem, RayfleetError, SettingsError
from rayfleet.process import heed_signals, stop_event
from rayfleet_llamacpp.connection import RayConnection
from rayfleet_llamacpp.models import fetch_gguf
from rayfleet_llamacpp.options import Options, decode_options
from rayfleet_llamacpp.proxy import Proxy
from rayfleet_llamacpp.replica import RayGone, Replica

log = logging.getLogger(__name__)

_BODY_LIMIT_BYTES = 64 * 1024 * 1024
_LEAVE_SECONDS = 5.0
_POLL_SECONDS = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; return the exit code."""
    configure_logging()
    try:
        options = decode_options(sys.argv[1:] if arguments is None else arguments, os.environ)
        _run_to_end(options)
    except SettingsError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except RayGone as error:
        log.error("%s", error)
        return 3
    except RayfleetError as error:
        log.error("%s", error)
        return 1
    return 0


def _run_to_end(options: Options) -> None:
    # Not asyncio.run: it waits for the threads, and one inside a Ray call may hang for a minute when the head is gone.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(serve(options))
    finally:
        loop.close()


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Raises what ends the replica (a RayfleetError)."""
    stop = stop_event()
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        proxy = Proxy(options.served_model_name, session)
        # Ray's own handler of SIGTERM aborts the process 3 s later, however long requests may still take.
        connection = RayConnection(options.ray_address, options.host, on_joined=lambda: heed_signals(stop))
        replica = Replica(options, connection, session, on_lost=proxy.keep_counts)
        proxy.replica = replica
        application = web.Application(client_max_size=_BODY_LIMIT_BYTES)
        application.add_routes(proxy.routes())
        # A client that leaves cancels its handler, which closes the connection to the server, which frees its slot.
        runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await _listen(runner, options)
            await _live(options, replica, proxy, stop)
            await _leave(connection)
        finally:
            await runner.cleanup()


async def _listen(runner: web.AppRunner, options: Options) -> None:
    try:
        await web.TCPSite(runner, options.host, options.port).start()
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}",
            way_out="Something else holds the port, or the address is not of this machine; see `ss -ltnp`.",
        ) from error
    log.info("listening http://%s:%d", options.host, options.port)


async def _live(options: Options, replica: Replica, proxy: Proxy, stop: asyncio.Event) -> None:
    running = asyncio.create_task(_run(options, replica))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await _drain(options, replica, proxy)
    finally:
        stopping.cancel()
        running.cancel()
        try:
            await running
        except asyncio.CancelledError:
            pass
        except ExceptionGroup as group:
            raise _first(group) from group


async def _run(options: Options, replica: Replica) -> None:
    async with asyncio.TaskGroup() as tasks:
        # Brought here while Ray is imported: the actors of this machine then find it in the cache.
        tasks.create_task(asyncio.to_thread(fetch_gguf, options.model, options.disabled_plugins))
        tasks.create_task(replica.assemble())
    await replica.keep()


def _first(group: ExceptionGroup) -> BaseException:
    """Return the error that ended a task group: one of ours before others."""
    ours = group.subgroup(RayfleetError)
    leaf: BaseException = ours or group
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    return leaf


async def _drain(options: Options, replica: Replica, proxy: Proxy) -> None:
    replica.is_draining = True
    log.info("draining %d requests (at most %.0f s)", proxy.running_requests, options.drain_seconds)
    deadline = time.monotonic() + options.drain_seconds
    while proxy.running_requests and time.monotonic() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
    log.info("drained; %d requests cut", proxy.running_requests)


async def _leave(connection: RayConnection) -> None:
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            await asyncio.to_thread(connection.leave)
    except TimeoutError:
        log.warning("Ray did not let go within %.0f s", _LEAVE_SECONDS)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Not sys.exit: Ray's own exit handler and a thread inside a Ray call may hang for a minute when the head is gone.
    os._exit(code)
