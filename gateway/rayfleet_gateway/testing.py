"""A gateway in this process over a fixed route table: the real data path, its real limits, real sockets.

And the smallest of what its rooms take: a request that names a model, a table of one model.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from time import monotonic
from typing import Self

from aiohttp import ClientSession
from yarl import URL

from rayfleet.model.json import Json
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import ResourceType
from rayfleet.objects.meta import key_of
from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint, InferenceRequest, RequestHead
from rayfleet_gateway.pick.profiles import Contributed, Profiles
from rayfleet_gateway.route.compiling import RouteCompiler
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, RouteTable, Rule, table_of
from rayfleet_gateway.serving import Gateway
from rayfleet_gateway.state.tables import Effort, TableSource
from rayfleet_gateway.telemetry.counts import Telemetry

_HOST = "127.0.0.1"
FLEET_PATHS = ("/v1/completions", "/v1/chat/completions")


@dataclass(slots=True)
class FixedTable:
    """A table source that shows one table, synced from the start."""

    table: RouteTable
    is_synced: bool = True
    is_stale: bool = False
    effort: Effort = field(default_factory=Effort)
    problems: Mapping[str, int] = field(default_factory=dict)

    def problem_reasons(self) -> Mapping[str, int]:
        """Return ``problems``."""
        return self.problems

    async def run(
        self,
        on_table: Callable[[RouteTable], None],
        on_part: Callable[[RouteTable], None] = lambda _: None,  # noqa: ARG002 - the protocol's; it is never in parts
    ) -> None:
        """Show the table, and wait."""
        on_table(self.table)
        await asyncio.Event().wait()


class GatewayServer:
    """A gateway over one table on free loopback ports (those of ``settings`` do not count): ``async with`` runs it.

    ``port`` is that of another one, to take over from it.
    It stops without a lag window unless ``settings`` has another than the default; ``hurry`` ends a drain at once.
    """

    def __init__(
        self,
        table: RouteTable,
        settings: GatewaySettings | None = None,
        *,
        contributed: Contributed | None = None,
        port: int = 0,
    ) -> None:
        plain = GatewaySettings()
        chosen = settings or plain
        lag = timedelta(0) if chosen.lag == plain.lag else chosen.lag
        self.settings = replace(chosen, host=_HOST, port=port, admin_port=0, lag=lag)
        self.hurry = asyncio.Event()
        self.port = 0
        self._table = table
        self._contributed = contributed or Contributed()
        self._gateway: Gateway | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    @property
    def gateway(self) -> Gateway:
        """What runs; there is one once it was started."""
        assert self._gateway is not None
        return self._gateway

    @property
    def url(self) -> str:
        """Where clients ask, without a path."""
        return f"http://{_HOST}:{self.port}"

    @property
    def admin_url(self) -> str:
        """Where operators ask, without a path."""
        return f"http://{_HOST}:{self.gateway.admin_port}"

    async def start(self) -> None:
        """Listen."""
        self._gateway = gateway_of(self.settings, FixedTable(self._table), self._contributed)
        await self._gateway.start()
        self.port = self._gateway.plane.port
        await asyncio.sleep(0)  # the table is taken in the first turn

    async def close(self) -> None:
        """Drain and stop; a second time does nothing."""
        if not self._is_closed:
            self._is_closed = True
            await self.gateway.drain(self.hurry, asyncio.Event())

    def counted(self) -> dict[tuple[str, str, str], int]:
        """Return (model, status, result) -> number of requests."""
        return {
            (series.name, str(status), result.value): number
            for series in self.gateway.telemetry.all_series
            for (status, result), number in series.answers.items()
        }

    def in_flight(self) -> int:
        """Return the number of requests upstream."""
        return sum(series.in_flight for series in self.gateway.telemetry.all_series)

    @property
    def connections(self) -> int:
        """The number of clients that are connected."""
        return len(self.gateway.plane.shared.connections)

    @property
    def running(self) -> int:
        """The number of requests that are served now."""
        return len(self.gateway.plane.shared.running)


def gateway_of(settings: GatewaySettings, tables: TableSource, contributed: Contributed | None = None) -> Gateway:
    """Return a gateway with these contributions, and no other plugin's; to be made in its loop."""
    telemetry = Telemetry(has_model_histograms=settings.has_model_histograms)
    profiles = Profiles(
        contributed or Contributed(),
        default=settings.default_profile,
        clock=monotonic,
        report=lambda name, _: telemetry.tallies.plugin_failures.add(name),
    )
    return Gateway(settings, tables, profiles, telemetry)


def compiler_of(objects: Mapping[ResourceType, Iterable[Json]], only: ObjectKey | None = None) -> RouteCompiler:
    """Return a compiler that has worked off these objects, in their order."""
    compiler = RouteCompiler(only)
    for resource, of_kind in objects.items():
        for raw in of_kind:
            compiler.put(resource, key_of(raw), raw)
    compiler.work()
    compiler.miss(compiler.take_awaited())
    compiler.work()
    return compiler


def request_for(model: str = "m", body: bytes = b"") -> InferenceRequest:
    """Return a completion request for ``model`` as the rooms behind the body see it."""
    head = RequestHead(
        method="POST",
        target=b"/v1/completions",
        path="/v1/completions",
        query="",
        host="gw",
        headers=(),
        joined={},
        length=len(body),
        is_keep_alive=True,
    )
    return InferenceRequest(head=head, body=body, model=model, label=model, request_id="r")


def endpoint_of(url: str) -> Endpoint:
    """Return the address in a URL with a port."""
    parts = URL(url)
    return Endpoint(address=parts.host or "", port=parts.port or 0)


def table_for(
    model: str, *endpoints: Endpoint, timeout: timedelta | None = None, paths: Sequence[str] = FLEET_PATHS
) -> RouteTable:
    """Return a table in which the endpoints serve ``model`` on ``paths``, at first the two that fleets have."""
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


OpenGateway = Callable[[GatewayServer], Awaitable[ClientSession]]
"""Starts a gateway and returns a client of it, which asks by path."""
