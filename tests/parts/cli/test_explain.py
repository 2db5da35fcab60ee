"""``explain`` asks the gateway's admin port."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from rayfleet.cli.explain import explain_command

REQUEST = {"method": "POST", "host": "gw", "path": "/v1/chat/completions", "query": "", "model": "m", "headers": {}}
EXPLANATION = {"request": REQUEST, "candidates": [], "refused": "404: no route names this model"}


async def _shown(status: int, *arguments: str) -> tuple[int, str, list[tuple[str, str]]]:
    """Return exit code and output of the command against an admin port that answers so, and what it was asked."""
    asked: list[tuple[str, str]] = []

    async def explain(request: web.Request) -> web.Response:
        asked.extend(request.query.items())
        if status != 200:
            return web.Response(status=status, text="header: 'x' is not `name: value`\n")
        return web.json_response(EXPLANATION)

    app = web.Application()
    app.router.add_get("/debug/explain", explain)
    async with TestServer(app) as server:
        words = ["m", *arguments, "--admin", str(server.make_url("/"))]
        shown = await _in_thread(words)
    return shown[0], shown[1], asked


async def _in_thread(words: list[str]) -> tuple[int, str]:

    result = await asyncio.to_thread(CliRunner().invoke, explain_command, words)
    return result.exit_code, result.output


async def test_the_question_reaches_the_gateway_whole() -> None:
    code, output, asked = await _shown(200, "--host", "gw", "--header", "a: b", "--header", "c: d", "-o", "json")
    assert (code, json.loads(output)) == (0, EXPLANATION)
    assert sorted(asked) == [
        ("header", "a: b"),
        ("header", "c: d"),
        ("host", "gw"),
        ("method", "POST"),
        ("model", "m"),
        ("path", "/v1/chat/completions"),
    ]


@pytest.mark.parametrize(("status", "code", "words"), [(400, 2, "is not `name: value`"), (500, 1, "no explanation")])
async def test_what_the_gateway_refuses_is_told(status: int, code: int, words: str) -> None:
    shown = await _shown(status)
    assert shown[0] == code
    assert words in shown[1]


async def test_an_admin_port_that_is_away_is_told_with_a_way_out() -> None:
    code, output = await _in_thread(["m", "--admin", "http://127.0.0.1:9"])
    assert code == 1
    assert "--admin" in output
