"""What a client or an upstream writes stays where it is: out of the labels, and where it was sent."""

from datetime import timedelta

from aiohttp import web
from aiohttp.test_utils import TestClient, make_mocked_request
from pytest_aiohttp import AiohttpClient, AiohttpServer

from rayfleet_gateway.exchange_note import ExchangeNote
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.testing import GatewayServer, table_for


async def test_a_model_that_no_route_names_stays_out_of_the_labels() -> None:
    note = ExchangeNote(make_mocked_request("POST", "/v1/completions"))
    note.name_model("whatever a client wrote", is_known=False)  # a route that takes every model
    assert (note.model, note.outcome().model) == ("whatever a client wrote", "unknown")


async def test_a_redirect_passes_and_is_not_followed(
    aiohttp_server: AiohttpServer, aiohttp_client: AiohttpClient
) -> None:
    asked: list[str] = []

    async def points_elsewhere(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/latest/meta-data"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", points_elsewhere)
    upstream = await aiohttp_server(app, shutdown_timeout=0.1)
    table = table_for("m", Endpoint(address="127.0.0.1", port=upstream.port or 0), timeout=timedelta(seconds=2))
    client: TestClient[web.Request, None] = await aiohttp_client(GatewayServer(table))
    response = await client.post("/v1/completions", json={"model": "m", "prompt": "x"}, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (307, "/latest/meta-data")
    assert asked == ["/v1/completions"]
