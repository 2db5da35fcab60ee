"""Which methods and paths a rule opens, on the wire."""

import pytest
from aiohttp import web
from pytest_aiohttp import AiohttpServer

from rayfleet_gateway.model.values import Endpoint
from rayfleet_gateway.route.filters import Filters, Redirect
from rayfleet_gateway.route.match import Match, PathKind
from rayfleet_gateway.route.table import Backend, Rule, table_of
from rayfleet_gateway.testing import GatewayServer, OpenGateway


@pytest.fixture
async def engine(aiohttp_server: AiohttpServer) -> Endpoint:
    async def echoes(request: web.Request) -> web.StreamResponse:
        return web.json_response({"asked": f"{request.method} {request.path}"})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", echoes)
    server = await aiohttp_server(app, shutdown_timeout=0.1)
    return Endpoint(address="127.0.0.1", port=server.port or 0)


def rule(order: int, match: Match, engine: Endpoint, filters: Filters | None = None) -> Rule:
    backend = Backend(service="default/s", weight=1, endpoints=(engine,))
    return Rule(match=match, route=f"default/{order}", rank=(order,), backends=(backend,), filters=filters or Filters())


async def test_a_rule_that_asks_for_a_method_gets_it_on_a_listed_path_too(
    engine: Endpoint, open_gateway: OpenGateway
) -> None:
    """Without a model where no body names one; a rule for any method is still one for POST there."""
    everything = Match(path="/v1", headers={"model": "m"})
    table = table_of(rule(0, Match(path="/v1/responses", method="GET"), engine), rule(1, everything, engine))
    client = await open_gateway(GatewayServer(table))
    listed = await client.get("/v1/responses")
    assert await listed.json() == {"asked": "GET /v1/responses"}
    posted = await client.post("/v1/responses", json={"model": "m"})
    assert await posted.json() == {"asked": "POST /v1/responses"}
    for method, path in (("DELETE", "/v1/responses"), ("GET", "/v1/completions")):
        refused = await client.request(method, path, headers={"model": "m"})
        assert (refused.status, refused.headers["Allow"]) == (405, "POST")


async def test_a_rule_for_any_method_takes_no_other_than_post_beside_one_that_does(
    engine: Endpoint, open_gateway: OpenGateway
) -> None:
    ours = Match(path="/v1/responses", method="GET", headers={"model": "a"})
    table = table_of(rule(0, ours, engine), rule(1, Match(path="/v1", headers={"model": "b"}), engine))
    client = await open_gateway(GatewayServer(table))
    statuses = [(await client.get("/v1/responses", headers={"model": model})).status for model in ("a", "b")]
    assert statuses == [200, 405]


async def test_a_redirect_takes_every_path_that_it_covers(engine: Endpoint, open_gateway: OpenGateway) -> None:
    """No engine is reached by it, so no path has to be opened."""
    away = Filters(redirect=Redirect(scheme="https", status=301))
    sign = Match(path="/sleep", kind=PathKind.EXACT)
    client = await open_gateway(GatewayServer(table_of(rule(0, sign, engine), rule(1, Match(path="/"), engine, away))))
    response = await client.get("/docs/a", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (301, "https://127.0.0.1/docs/a")
    assert await (await client.post("/sleep")).json() == {"asked": "POST /sleep"}


async def test_a_redirect_takes_every_method_of_a_listed_path_where_no_other_rule_does(
    engine: Endpoint, open_gateway: OpenGateway
) -> None:
    away = Filters(redirect=Redirect(scheme="https"))
    ours = Match(path="/v1/completions", headers={"model": "m"})
    client = await open_gateway(GatewayServer(table_of(rule(0, ours, engine), rule(1, Match(path="/"), engine, away))))
    elsewhere = await client.get("/v1/completions", allow_redirects=False)
    assert (elsewhere.status, elsewhere.headers["Location"]) == (302, "https://127.0.0.1/v1/completions")
    here = await client.get("/v1/completions", headers={"model": "m"}, allow_redirects=False)
    assert here.status == 405


@pytest.mark.parametrize("status", [200, 304])
async def test_an_answer_without_a_body_may_say_what_it_would_be_packed_in(
    status: int, aiohttp_server: AiohttpServer, open_gateway: OpenGateway
) -> None:
    """It was taken for a packed answer that was cut, and its client was reset."""

    async def packed(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"Content-Encoding": "gzip", "Content-Length": "100", "ETag": "x"})

    app = web.Application()
    app.router.add_route("*", "/docs", packed)
    server = await aiohttp_server(app)
    table = table_of(rule(0, Match(path="/docs"), Endpoint(address="127.0.0.1", port=server.port or 0)))
    gateway = GatewayServer(table)
    client = await open_gateway(gateway)
    response = await client.head("/docs")
    assert (response.status, response.headers["Content-Encoding"]) == (status, "gzip")
    assert gateway.counted() == {("unknown", str(status), "ok"): 1}


async def test_a_request_that_no_rule_of_its_path_takes_is_not_sent_to_that_path(
    engine: Endpoint, open_gateway: OpenGateway
) -> None:
    """It said: not served at /v1/completions but at /v1."""
    asking = Match(path="/v1", headers={"model": "m"}, query={"v": "1"})
    client = await open_gateway(GatewayServer(table_of(rule(0, asking, engine))))
    response = await client.post("/v1/completions", json={"model": "m"})
    message = (await response.json())["error"]["message"]
    assert (response.status, "is served at /v1/completions, but not for this host" in message) == (404, True)
