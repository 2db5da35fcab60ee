"""The admin port: probes, metrics in both texts, the table in pieces."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import ClientResponse
from multidict import MultiMapping
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from pytest_aiohttp.plugin import AiohttpClient

from rayfleet_gateway.admin import AdminParts, make_admin
from rayfleet_gateway.model.values import Endpoint, Outcome, Result
from rayfleet_gateway.route.table import RouteTable
from rayfleet_gateway.telemetry.counts import Telemetry
from rayfleet_gateway.testing import FixedTable, table_for

ENDPOINT = Endpoint(address="10.0.0.1", port=8000)


@dataclass
class Port:
    """An admin port under test, and what it looks at."""

    table: FixedTable = field(default_factory=lambda: FixedTable(table_for("m", ENDPOINT)))
    telemetry: Telemetry = field(default_factory=Telemetry)
    is_leaving: bool = False

    def explain(self, query: MultiMapping[str]) -> Mapping[str, object]:
        if "path" not in query:
            raise ValueError("path: say which")
        return {"path": query["path"], "headers": query.getall("header", [])}

    async def get(self, aiohttp_client: AiohttpClient, path: str, **headers: str) -> ClientResponse:
        parts = AdminParts(
            telemetry=self.telemetry,
            tables=self.table,
            is_leaving=lambda: self.is_leaving,
            refresh=lambda: None,
            explain=self.explain,
        )
        return await (await aiohttp_client(make_admin(parts))).get(path, headers=headers)


async def test_it_is_ready_once_routes_are_read_and_until_it_leaves(aiohttp_client: AiohttpClient) -> None:
    port = Port()
    assert (await port.get(aiohttp_client, "/readyz")).status == 200
    port.is_leaving = True
    leaving = await port.get(aiohttp_client, "/readyz")
    assert (leaving.status, (await leaving.text()).split(":")[0]) == (503, "draining")
    starting = await Port(FixedTable(RouteTable(), is_synced=False)).get(aiohttp_client, "/readyz")
    assert (starting.status, (await starting.text()).split(":")[0]) == (503, "starting")
    assert (await port.get(aiohttp_client, "/healthz")).status == 200, "it runs, whatever else"
    stale = await Port(FixedTable(RouteTable(), is_stale=True)).get(aiohttp_client, "/readyz")
    assert (stale.status, "earlier run" in await stale.text()) == (200, True)


async def test_metrics_are_classic_text_or_openmetrics_on_request(aiohttp_client: AiohttpClient) -> None:
    port = Port()
    port.telemetry.count(Outcome(model="gone", status=200, result=Result.OK, seconds=1))
    port.telemetry.count(Outcome(model="m", status=200, result=Result.OK, seconds=1))
    port.telemetry.tallies.loop_lag_seconds = 9.0
    port.table.problems = {"BackendNotFound": 2}
    port.table.effort.steps = 3
    classic = await port.get(aiohttp_client, "/metrics")
    assert classic.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = await classic.text()
    assert 'rayfleet_gateway_ready_endpoints{model="m"} 1.0\n' in text
    assert 'model="gone"' not in text, "the table has it no more"
    assert "rayfleet_gateway_loop_lag_seconds 9.0\n" in text
    assert 'rayfleet_gateway_problems{reason="BackendNotFound"} 2.0\n' in text
    assert "rayfleet_gateway_table_compiles_total 3.0\n" in text
    modern = await port.get(aiohttp_client, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert modern.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    page = text_string_to_metric_families(await modern.text())  # type: ignore[no-untyped-call] # it has no types
    families = {family.name: family for family in page}
    assert [sample.value for sample in families["rayfleet_gateway_requests"].samples] == [1]
    assert families["rayfleet_gateway_loop_lag_seconds"].samples[0].value < 9.0, "each scrape looks anew"


async def test_the_table_is_shown_in_pieces(aiohttp_client: AiohttpClient) -> None:
    names = [f"m{number:03}" for number in range(250)]
    rules = table_for("m", ENDPOINT).by_model["m"]
    port = Port(FixedTable(RouteTable(by_model=dict.fromkeys(names, rules), models=tuple(names))))
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        answer = await (await port.get(aiohttp_client, f"/debug/table?limit=100&after={after}")).json()
        assert answer["count"] == 250
        seen += answer["models"]
        after = answer["next"]
        assert len(seen) % 50 == 0
    assert seen == names
    assert answer["models"]["m200"][0]["backends"][0]["endpoints"] == ["10.0.0.1:8000"]
    for wrong in ("0", "1001", "x", "-1", "9" * 5000):
        assert (await port.get(aiohttp_client, f"/debug/table?limit={wrong}")).status == 400


async def test_explain_is_asked_with_the_query(aiohttp_client: AiohttpClient) -> None:
    answer = await Port().get(aiohttp_client, "/debug/explain?path=/v1/x&header=a:b&header=c:d")
    assert await answer.json() == {"path": "/v1/x", "headers": ["a:b", "c:d"]}
    wrong = await Port().get(aiohttp_client, "/debug/explain")
    assert (wrong.status, await wrong.text()) == (400, "path: say which\n")
