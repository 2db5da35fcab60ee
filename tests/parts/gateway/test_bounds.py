"""What a client or an upstream writes stays where it is: out of the labels, and where it was sent."""

import gzip
from typing import Any

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, RouteTable, Rule, table_of
from rayfleet_gateway.testing import GatewayServer, OpenGateway, table_for


async def test_a_model_that_no_route_names_stays_out_of_the_labels(
    aiohttp_server: AiohttpServer, open_gateway: OpenGateway
) -> None:
    async def answers(request: web.Request) -> web.StreamResponse:
        return web.json_response(await request.json())

    app = web.Application()
    app.router.add_post("/v1/completions", answers)
    upstream = await aiohttp_server(app, shutdown_timeout=0.1)
    endpoint = Endpoint(address="127.0.0.1", port=upstream.port or 0)
    backend = Backend(service="default/any", weight=1, endpoints=(endpoint,))
    takes_every_model = Rule(match=Match(path="/v1/completions"), route="default/any", rank=(0,), backends=(backend,))
    gateway = GatewayServer(table_of(takes_every_model))
    client = await open_gateway(gateway)
    response = await client.post("/v1/completions", json={"model": "whatever a client wrote"})
    assert (await response.json())["model"] == "whatever a client wrote"
    assert gateway.counted() == {("unknown", "200", "ok"): 1}


class BrokenTable(RouteTable):
    """A table with a fault of ours."""

    def rule_for(self, **_: Any) -> Rule | None:
        raise RuntimeError("a fault")


@pytest.mark.parametrize("how", ["at once", "in slices", "unpacked in a thread"])
async def test_a_fault_of_ours_is_a_500_wherever_it_happens(how: str, open_gateway: OpenGateway) -> None:
    sound = table_for("m")
    table = BrokenTable(by_model=sound.by_model, models=sound.models, paths=sound.paths)
    gateway = GatewayServer(table)
    client = await open_gateway(gateway)
    body = b'{"model": "m", "prompt": "%b"}' % (b"x" * (200_000 if how == "in slices" else 10))
    packed = gzip.compress(body) if how == "unpacked in a thread" else body
    headers = {"Content-Encoding": "gzip"} if packed is not body else {}
    response = await client.post("/v1/completions", data=packed, headers=headers)
    assert (response.status, (await response.json())["error"]["code"]) == (500, "internal_error")
    assert gateway.counted() == {("unknown", "500", "failed"): 1}
