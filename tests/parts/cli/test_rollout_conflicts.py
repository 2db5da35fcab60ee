"""``rayfleet rollout`` beside controllers that write the fleet's status between its read and its write."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import yaml
from aiohttp import web

from rayfleet.model.json import Json
from rayfleet.objects.labels import RESTARTED_ANNOTATION
from rayfleet.testing.command_line import Command
from rayfleet.testing.fleet_world import fleet_manifest
from rayfleet.testing.scripted_server import json_answer, scripted_server, status_answer


class BusyFleet:
    """An API server with one fleet whose status somebody else writes after each of its first ``writes`` reads."""

    def __init__(self, writes: int) -> None:
        self.writes = writes
        self.version = 1
        self.patches: list[Json] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "PATCH":
            patch = orjson.loads(await request.read())
            if patch["metadata"]["resourceVersion"] != str(self.version):
                return status_answer(409, "Conflict")
            self.patches.append(patch)
        manifest = fleet_manifest("default")
        manifest["metadata"]["resourceVersion"] = str(self.version)
        if request.method == "GET" and self.writes:
            self.writes -= 1
            self.version += 1
        return json_answer(manifest)


@pytest.fixture
def fleet(request: pytest.FixtureRequest) -> BusyFleet:
    return BusyFleet(request.param)


@pytest.fixture
async def command(fleet: BusyFleet, tmp_path: Path) -> AsyncIterator[Command]:
    async with scripted_server(fleet.answer) as address:
        named = {"name": "a"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "a",
            "clusters": [{**named, "cluster": {"server": address.url}}],
            "contexts": [{**named, "context": {"cluster": "a", "user": "a"}}],
            "users": [{**named, "user": {"token": "t"}}],
        }
        (tmp_path / "kubeconfig").write_text(yaml.safe_dump(document))
        yield Command(kubeconfig=tmp_path / "kubeconfig")


@pytest.mark.parametrize("fleet", [1, 4], indirect=True)
async def test_a_restart_beside_writes_of_the_status_is_written_once(fleet: BusyFleet, command: Command) -> None:
    done = await asyncio.to_thread(command, "rollout", "restart", "rcf/model")
    assert done.output == "rayclusterfleets/model restarted\n"
    (patch,) = fleet.patches
    assert patch["spec"]["template"]["metadata"]["annotations"].keys() == {RESTARTED_ANNOTATION}


@pytest.mark.parametrize("fleet", [99], indirect=True)
async def test_a_restart_that_somebody_always_forestalls_is_given_up(fleet: BusyFleet, command: Command) -> None:
    done = await asyncio.to_thread(command, "rollout", "restart", "rcf/model", code=1)
    assert "no: Conflict" in done.output
    assert fleet.patches == []
