"""A gateway in this process over a fixed route table: the real application, its real runner, a real socket."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of
from rayfleet_gateway.app import FORWARDER, TELEMETRY, make_app
from rayfleet_gateway.exchange import Forwarder
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.compiling import RouteCompiler
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, RouteTable, Rule, table_of
from rayfleet_gateway.serving import make_runner


@dataclass(slots=True)
class FixedTable:
    """A table source that shows one table, synced from the start."""

    table: RouteTable
    is_synced: bool = True
    is_stale: bool = False

    async def run(self, on_table: Callable[[RouteTable], None]) -> None:
        """Show the table, and wait."""
        on_table(self.table)
        await asyncio.Event().wait()


class GatewayServer(TestServer):
    """A gateway over one table on a free loopback port (``settings.port`` does not count): ``async with`` runs it.

    Or give it to pytest-aiohttp's ``aiohttp_client``.
    """

    def __init__(self, table: RouteTable, settings: GatewaySettings | None = None) -> None:
        self._settings = settings or GatewaySettings()
        super().__init__(make_app(self._settings, FixedTable(table)))

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def forwarder(self) -> Forwarder:
        """What forwards; there is one once it runs."""
        return self.app[FORWARDER]

    def counted(self) -> dict[tuple[str, str, str], int]:
        """Return (model, status, result) -> number of requests."""
        return {
            (series.name, str(status), result.value): number
            for series in self.app[TELEMETRY].all_series
            for (status, result), number in series.answers.items()
        }

    def in_flight(self) -> int:
        """Return the number of requests upstream."""
        return sum(series.in_flight for series in self.app[TELEMETRY].all_series)

    async def _make_runner(self, **_options: Any) -> web.AppRunner:
        return make_runner(self.app, self._settings)  # with the real limits, not a test server's


def compiler_of(objects: Mapping[ResourceType, Iterable[Json]], only: ObjectKey | None = None) -> RouteCompiler:
    """Return a compiler that has worked off these objects, in their order."""
    compiler = RouteCompiler(only)
    for resource, of_kind in objects.items():
        for raw in of_kind:
            compiler.put(resource, key_of(raw), raw)
    compiler.work()
    return compiler


def endpoint_of(url: str) -> Endpoint:
    """Return the address in a URL with a port."""
    parts = URL(url)
    return Endpoint(address=parts.host or "", port=parts.port or 0)


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
    return table_of(*rules)
