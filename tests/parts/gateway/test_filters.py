"""What a route's filters change, on the wire."""

from datetime import timedelta

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from rayfleet_gateway.model.settings import GatewaySettings
from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.filters import Filters, HeaderEdit, PathChange, Redirect, Rewrite
from rayfleet_gateway.route.match import Match
from rayfleet_gateway.route.table import Backend, Rule, table_of
from rayfleet_gateway.testing import GatewayServer, OpenGateway

BODY = {"model": "m", "prompt": "x"}


@pytest.fixture
async def engine(aiohttp_server: AiohttpServer) -> Endpoint:
    async def echoes(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        seen = {"path": request.path_qs, "headers": headers}
        return web.json_response(seen, headers={"X-Engine": "1", "Access-Control-Allow-Origin": "https://engine"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echoes)
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    return Endpoint(address="127.0.0.1", port=server.port or 0)


def gateway(engine: Endpoint, filters: Filters, settings: GatewaySettings | None = None) -> GatewayServer:
    rule = Rule(
        match=Match(path="/v1/completions", headers={"model": "m"}),
        route="default/r",
        rank=(0,),
        backends=(Backend(service="default/s", weight=1, endpoints=(engine,)),),
        request_timeout=timedelta(seconds=5),
        filters=filters,
    )
    return GatewayServer(table_of(rule), settings)


async def test_headers_path_and_host_are_those_of_the_rule(engine: Endpoint, open_gateway: OpenGateway) -> None:
    filters = Filters(
        request_headers=HeaderEdit(set=((b"X-Set", b"a"),), add=((b"X-Add", b"b"),), remove=frozenset({b"x-gone"})),
        response_headers=HeaderEdit(set=((b"X-Engine", b"2"),)),
        rewrite=Rewrite(hostname="inner.example", path=PathChange(full="/v1/chat/completions")),
    )
    client = await open_gateway(gateway(engine, filters))
    headers = {"X-Set": "client", "X-Gone": "1"}
    response = await client.post("/v1/completions?a=1", json=BODY, headers=headers)
    seen = await response.json()
    assert seen["path"] == "/v1/chat/completions?a=1"
    assert (seen["headers"]["x-set"], seen["headers"]["x-add"], seen["headers"]["host"]) == ("a", "b", "inner.example")
    assert "x-gone" not in seen["headers"]
    assert response.headers.getall("X-Engine") == ["2"]


async def test_a_header_that_a_rule_sets_or_adds_and_removes_goes_nowhere(
    engine: Endpoint, open_gateway: OpenGateway
) -> None:
    """Set, add, remove, in this order: as Envoy does."""
    edit = HeaderEdit(set=((b"X-Set", b"a"),), add=((b"X-Add", b"b"),), remove=frozenset({b"x-set", b"x-add"}))
    client = await open_gateway(gateway(engine, Filters(request_headers=edit, response_headers=edit)))
    response = await client.post("/v1/completions", json=BODY, headers={"X-Set": "client"})
    seen = (await response.json())["headers"].keys() | {name.lower() for name in response.headers}
    assert seen & {"x-set", "x-add"} == set()


async def test_a_redirect_of_the_rule_reaches_no_engine(engine: Endpoint, open_gateway: OpenGateway) -> None:
    served = gateway(engine, Filters(redirect=Redirect(hostname="other.example", status=301)))
    client = await open_gateway(served)
    response = await client.post("/v1/completions?a=1", json=BODY, allow_redirects=False)
    assert response.status == 301
    assert response.headers["Location"].endswith("/v1/completions?a=1")
    assert "other.example" in response.headers["Location"]
    assert served.counted() == {("m", "301", "ok"): 1}


async def test_a_page_of_a_named_origin_may_read_answers(engine: Endpoint, open_gateway: OpenGateway) -> None:
    settings = GatewaySettings(cors_origins=frozenset({"https://chat.example"}))
    client = await open_gateway(gateway(engine, Filters(), settings))
    origin = {"Origin": "https://chat.example"}
    asked = await client.options("/v1/completions", headers=origin | {"Access-Control-Request-Method": "POST"})
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, "https://chat.example")
    answered = await client.post("/v1/completions", json=BODY, headers=origin)
    refused = await client.post("/v1/completions", json={"model": "n"}, headers=origin)
    models = await client.get("/v1/models/", headers=origin)
    assert [each.status for each in (answered, refused, models)] == [200, 404, 200]
    assert {each.headers["Access-Control-Allow-Origin"] for each in (answered, refused, models)} == {
        "https://chat.example"
    }


async def test_a_page_of_a_named_origin_may_follow_a_redirect(engine: Endpoint, open_gateway: OpenGateway) -> None:
    settings = GatewaySettings(cors_origins=frozenset({"https://chat.example"}))
    filters = Filters(
        redirect=Redirect(hostname="other.example"), response_headers=HeaderEdit(set=((b"X-Rule", b"1"),))
    )
    client = await open_gateway(gateway(engine, filters, settings))
    response = await client.post(
        "/v1/completions", json=BODY, headers={"Origin": "https://chat.example"}, allow_redirects=False
    )
    assert (response.status, response.headers["X-Rule"]) == (302, "1")
    assert response.headers["Access-Control-Allow-Origin"] == "https://chat.example"
