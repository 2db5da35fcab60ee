"""One process: the data path, the port of operators, the watches; from start to the end of the drain.

Imported only when there is something to serve.
"""

import asyncio
import contextlib
import gc
import logging
import os
from collections.abc import Mapping
from secrets import token_hex
from typing import Protocol

from aiohttp import web
from multidict import MultiMapping

from rayfleet.model.errors import EnvironmentProblem
from rayfleet_gateway.admin import AdminParts, make_admin
from rayfleet_gateway.attempt.explain import explained, question_of
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Outcome
from rayfleet_gateway.pick.profiles import Profiles
from rayfleet_gateway.planes.python.listener import unusable
from rayfleet_gateway.planes.python.plane import Plane
from rayfleet_gateway.planes.python.shared import Shared
from rayfleet_gateway.planes.python.signals import hear_signals, until_gone
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.state.endpoints import EndpointBook
from rayfleet_gateway.state.plugins import load_profiles
from rayfleet_gateway.state.sources import open_tables
from rayfleet_gateway.state.tables import TableSource
from rayfleet_gateway.telemetry.access_log import AccessLog
from rayfleet_gateway.telemetry.counts import Telemetry

log = logging.getLogger(__name__)


class _Outlet(Protocol):
    """Where outcomes go beside the counters. ``close`` blocks for seconds at most."""

    def start(self) -> None: ...

    def put(self, outcome: Outcome) -> None: ...

    def close(self) -> None: ...


class Gateway:
    """One gateway over a source of tables. Make it in its loop, ``start`` it, and ``drain`` it when it shall end.

    ``ended`` is set when the watches have ended, which they do only by a fault: routes would grow old unseen.
    """

    def __init__(
        self, settings: GatewaySettings, tables: TableSource, profiles: Profiles, telemetry: Telemetry
    ) -> None:
        self.telemetry = telemetry
        self.book = EndpointBook(token_hex(8), telemetry.tallies.ejections.add)
        self.plane = Plane(Shared(settings, tables, profiles, telemetry=telemetry, book=self.book))
        self.ended = asyncio.Event()
        self._settings = settings
        self._tables = tables
        self._outlets: list[_Outlet] = []
        self._admin = web.AppRunner(make_admin(self._shown()), access_log=None, shutdown_timeout=1)
        self._watching: asyncio.Task[None] | None = None

    @property
    def admin_port(self) -> int:
        """The port of operators."""
        return int(self._admin.addresses[0][1])

    async def start(self) -> None:
        """Watch and listen. Raises EnvironmentProblem when a port, or the file of the log, cannot be used."""
        try:
            self._outlets = _started_outlets(self._settings, self.telemetry)
            await self._admin.setup()
            await _listen(self._admin, self._settings)
            await self.plane.start()
        except EnvironmentProblem:
            await self._admin.cleanup()
            await self._close_outlets()
            raise
        self._watching = asyncio.create_task(self._tables.run(self._take, self._prepare))
        self._watching.add_done_callback(lambda _: self.ended.set())

    async def drain(self, hurry: asyncio.Event, orphaned: asyncio.Event) -> None:
        """Let what runs finish, as ``Plane`` says; raises what ended the watches, if something did.

        A worker that is ``orphaned`` frees its port of operators at once: the parent's successor needs it for a worker.
        """
        freeing = asyncio.create_task(self._free_admin(orphaned))
        try:
            await self.plane.drain(hurry)
        finally:
            if not orphaned.is_set():
                freeing.cancel()
            await asyncio.gather(freeing, return_exceptions=True)
        await self._admin.cleanup()
        await self._close_outlets()
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def _free_admin(self, orphaned: asyncio.Event) -> None:
        await orphaned.wait()
        await self._admin.cleanup()

    async def _close_outlets(self) -> None:
        for outlet in self._outlets:
            await asyncio.to_thread(outlet.close)

    def _prepare(self, part: RouteTable) -> None:
        self.book.prepare(part)
        self.plane.shared.model_list.take(part)

    def _take(self, table: RouteTable) -> None:
        self.book.sync(table)
        asyncio.get_running_loop().call_soon(self._let_go)
        self.telemetry.tallies.table_changed_at = asyncio.get_running_loop().time()
        self.telemetry.keep(table.by_model)
        self.plane.shared.model_list.take(table)

    def _let_go(self) -> None:
        if self.book.let_go():
            asyncio.get_running_loop().call_soon(self._let_go)

    def _explained(self, query: MultiMapping[str]) -> Mapping[str, object]:
        question = question_of(list(query.items()))
        now = asyncio.get_running_loop().time()
        return explained(self._tables.table, self.book, self.plane.shared.profiles, question, now)

    def _shown(self) -> AdminParts:
        return AdminParts(
            telemetry=self.telemetry,
            tables=self._tables,
            is_leaving=lambda: self.plane.is_leaving,
            refresh=self._refresh,
            explain=self._explained,
        )

    def _refresh(self) -> None:
        tallies, shared = self.telemetry.tallies, self.plane.shared
        tallies.connections_open = len(shared.connections)
        tallies.body_bytes = shared.bodies.used_bytes


async def serve_until_signal(settings: GatewaySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain; the same once more ends at once what is left, with errors."""
    stop, hurry, orphaned = asyncio.Event(), asyncio.Event(), asyncio.Event()
    hear_signals(stop.set, hurry.set)
    watching = asyncio.create_task(_watch_parent(settings.parent, stop, orphaned))
    try:
        await _serve(settings, stop, hurry, orphaned)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch_parent(parent: int | None, stop: asyncio.Event, orphaned: asyncio.Event) -> None:
    if parent is not None:
        await until_gone(parent)
        orphaned.set()
        stop.set()


async def _serve(settings: GatewaySettings, stop: asyncio.Event, hurry: asyncio.Event, orphaned: asyncio.Event) -> None:
    telemetry = Telemetry(has_model_histograms=settings.has_model_histograms)
    on_fault = telemetry.tallies.plugin_failures.add
    profiles = load_profiles(settings.profiles, settings.default_profile, on_fault)  # nobody waits for the loop yet
    async with open_tables(settings, profiles.fault_of) as tables:
        if stop.is_set() or settings.parent not in {None, os.getppid()}:
            return  # whoever comes next needs the ports
        gateway = Gateway(settings, tables, profiles, telemetry)
        await gateway.start()
        gc.collect()
        gc.freeze()  # what a start leaves behind stays for ever: no collection has to look at it
        log.info("listening on http://%s:%d", settings.host, gateway.plane.port)
        await _first_of(stop, gateway.ended)
        await gateway.drain(hurry, orphaned)


def _started_outlets(settings: GatewaySettings, telemetry: Telemetry) -> list[_Outlet]:
    outlets: list[_Outlet] = []
    if settings.access_log is not None:
        outlets.append(AccessLog(settings.access_log, telemetry.tallies.access_log))
    if settings.has_traces:
        outlets.append(_spans(telemetry))
    for outlet in outlets:
        try:
            outlet.start()
        except OSError as error:
            raise EnvironmentProblem(
                f"--access-log {settings.access_log}: cannot be written: {error.strerror}",
                way_out="Choose a file that can be written.",
            ) from error
        telemetry.sinks.append(outlet.put)
    return outlets


def _spans(telemetry: Telemetry) -> _Outlet:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        from rayfleet_gateway.telemetry.spans import Spans
    except ImportError as error:
        raise EnvironmentProblem(
            "--traces: OpenTelemetry is not installed", way_out="pip install 'rayfleet[otel]'"
        ) from error
    return Spans(OTLPSpanExporter(), telemetry.tallies.spans)


async def _listen(admin: web.AppRunner, settings: GatewaySettings) -> None:
    host, port = settings.host, settings.admin_port
    try:
        await web.TCPSite(admin, host, port).start()
    except OSError as error:
        raise unusable(error, "--admin-port", host, port) from error


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
