"""A gateway in this process over a fixed route table: the real application, its real runner, a real socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from rayfleet_gateway.app import FORWARDER, TELEMETRY, make_app
from rayfleet_gateway.exchange import Forwarder
from rayfleet_gateway.routes import Backend, Endpoint, Match, RouteTable, Rule
from rayfleet_gateway.serving import make_runner
from rayfleet_gateway.settings import GatewaySettings
from rayfleet_gateway.telemetry import Telemetry


@dataclass(slots=True)
class FixedTable:
    """A table source that shows one table, synced from the start."""

    table: RouteTable
    is_synced: bool = True

    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        """Show the table, and wait."""
        on_table(self.table)
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningGateway:
    """``url`` has no path."""

    url: str
    port: int
    runner: web.AppRunner
    forwarder: Forwarder
    telemetry: Telemetry

    def counted(self) -> dict[tuple[str, str, str], float]:
        """Return (model, status, result) -> number of requests."""
        return {
            (sample.labels["model"], sample.labels["status"], sample.labels["result"]): sample.value
            for metric in self.telemetry.requests.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        }

    def in_flight(self) -> float:
        """Return the number of requests upstream, by the metric."""
        return sum(sample.value for metric in self.telemetry.in_flight.collect() for sample in metric.samples)


def table_for(model: str, *endpoints: Endpoint, timeout: timedelta | None = None) -> RouteTable:
    """Return a table in which the endpoints serve ``model`` on the two paths that fleets have."""
    paths: Sequence[str] = ("/v1/completions", "/v1/chat/completions")
    backend = Backend(service="default/fleet", weight=1, endpoints=endpoints)
    rules = tuple(
        Rule(
            match=Match(path=path, headers={"model": model}),
            route="default/fleet",
            rank=(order,),
            backends=(backend,),
            request_timeout=timeout,
        )
        for order, path in enumerate(paths)
    )
    return RouteTable(by_model={model: rules})


@asynccontextmanager
async def running_gateway(table: RouteTable, settings: GatewaySettings | None = None) -> AsyncIterator[RunningGateway]:
    """Run a gateway on a free loopback port (``settings.port`` does not count)."""
    settings = settings or GatewaySettings()
    app = make_app(settings, FixedTable(table))
    runner = make_runner(app, settings)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        yield RunningGateway(
            url=f"http://127.0.0.1:{port}",
            port=port,
            runner=runner,
            forwarder=app[FORWARDER],
            telemetry=app[TELEMETRY],
        )
    finally:
        await runner.cleanup()
