"""What the controller process says when the cluster lacks something."""

from datetime import timedelta

import pytest
from aiohttp import web

from rayfleet.controllers.run import check_kinds
from rayfleet.kube.client import KubeClient
from rayfleet.kube.errors import Unreachable
from rayfleet.model.errors import EnvironmentProblem
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer

NOW = timedelta(0)


@pytest.mark.parametrize(
    ("missing", "way_out"),
    [("rayclusterfleets", "rayfleet install"), ("rayclusters", "KubeRay"), ("httproutes", "Gateway API")],
)
async def test_a_missing_kind_is_named_with_what_to_install(missing: str, way_out: str) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return status_answer(404, "NotFound") if request.path.endswith(f"/{missing}") else json_answer({"items": []})

    async with scripted_server(answer) as address, KubeClient(address) as client:
        with pytest.raises(EnvironmentProblem, match=missing) as problem:
            await check_kinds(client, limit=NOW)
    assert way_out in problem.value.way_out


async def test_a_kind_that_appears_in_time_is_waited_for() -> None:
    answers = [status_answer(404, "NotFound"), status_answer(404, "NotFound")]

    async def answer(_request: web.Request) -> web.StreamResponse:
        return answers.pop() if answers else json_answer({"items": []})

    async with scripted_server(answer) as address, KubeClient(address) as client:
        await check_kinds(client, limit=timedelta(seconds=20))
    assert answers == []


async def test_no_server_is_unreachable() -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return json_answer({})

    async with scripted_server(answer) as address:
        pass
    async with KubeClient(address) as client:
        with pytest.raises(Unreachable):
            await check_kinds(client, limit=NOW)
